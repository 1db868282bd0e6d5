"""MM-PT of the pocket bundle: the projectors, trained through the nodes that a flow runs. All else is frozen.

    python -m recipes.pocket.mm_pt --cache .pocket --out build/pocket

Input side: equation 2 of the survey (arXiv 2401.13601), text cross-entropy on picture-caption pairs through encode,
project and reason; only Theta_{X->T} trains. Output side: equation 4 (the condition against tau_X of the caption) and
then equation 5 as well (denoising of real clips under the condition) through reason, decode, output_project and
generate; only Theta_{T->X} trains.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from orchestrator.models.bundle import Bundle
from orchestrator.models.loading import load_part
from orchestrator.models.manifest import new_projector, save_projector
from orchestrator.nodes.decode import Decode
from orchestrator.nodes.encode import Encode, EncodeConfig
from orchestrator.nodes.generate import Generate, GenerateConfig
from orchestrator.nodes.media import Media
from orchestrator.nodes.output_project import OutputProject, OutputProjectConfig
from orchestrator.nodes.ports import Features, Signals
from orchestrator.nodes.project import Project
from orchestrator.nodes.reason import Reason, ReasonConfig
from orchestrator.nodes.stage import Config, Progress
from recipes.pocket import autoencoder, corpus, encoder, loop, options, scenes, world
from recipes.pocket.augment import Bank
from recipes.pocket.bundle import write_spec
from recipes.pocket.sources import TRAIN_SETS, drawings

RECIPE = "recipes/pocket/mm_pt.py"


@dataclass(frozen=True)
class How:
    """Length and pace of a training."""

    steps: int
    batch: int
    lr: float


READ = How(steps=1500, batch=64, lr=2e-3)  # equation 2
MATCH = How(steps=3000, batch=64, lr=1e-3)  # equation 4
DENOISE = How(steps=300, batch=8, lr=2e-4)  # equations 4 and 5
PICTURES = 24_000
STRENGTH = replace(encoder.STRENGTH, off_ground=0.0)  # as strong as the encoder's own: styles that no set has
CAPTIONS = 10_000


class Parts:
    """The engine's services in training (nodes.stage.Context): frozen parts loaded once, the trained one given."""

    device, watched = "cpu", False

    def __init__(self, bundle: Bundle, loaded: dict[str, Any] | None = None, seeds: Sequence[int] = (0,)) -> None:
        self.bundle, self.loaded, self.seeds = bundle, loaded or {}, seeds

    def load(self, part: str) -> Any:
        if part not in self.loaded:
            self.loaded[part] = load_part(self.bundle, part, self.device, torch.float32)
        return self.loaded[part]

    def report(self, request: int, progress: Progress) -> None:
        """Training shows its own progress."""


def train_reader(bundle: Bundle, cache: Path) -> None:
    """Theta_{X->T}: equation 2. The encoder is frozen, so F_X of all pictures is computed once."""
    part = "input_projectors.image"
    torch.manual_seed(0)
    projector: Any = new_projector(bundle, part, "mlp", recipe=RECIPE, num_tokens=4)
    parts = Parts(bundle, {part: projector})
    project, reason, llm = Project(Config()), Reason(ReasonConfig()), parts.load("llm")
    seen = pictures(parts, cache)
    standardise(projector.first, torch.cat([features.tokens for features, _ in seen]))

    def batch(step: int) -> list[dict[str, Any]]:
        rng = random.Random(step)
        return [_ask(*rng.choice(seen), rng, llm) for _ in range(READ.batch)]

    def loss(requests: Sequence[dict[str, Any]]) -> Tensor:
        prompts = project.run(requests, parts)
        return reason.loss([{**r, "media": (p["prompts"],)} for r, p in zip(requests, prompts, strict=True)], parts)

    _train("image_in", bundle, projector, batch, loss, READ)
    _save(bundle, part, projector, READ.steps)


def pictures(parts: Parts, cache: Path) -> list[tuple[Features, world.Scene]]:
    """F_X of many pictures of all training styles, and their scenes."""
    concepts, encode = list(world.CONCEPTS), Encode(EncodeConfig())
    moving, names = drawings("animated", cache), list(enumerate(world.CONCEPTS.values()))
    stills = [drawings(style, cache) for style in ("3d", *TRAIN_SETS)]
    entries = [(found[name], label, 1.0) for found in stills for label, name in names if name in found]
    entries += [(frame, label, 0.25) for label, name in names if name in moving for frame in moving[name][::2]]
    bank = Bank(entries)
    grounds, places, sizes = list(world.GROUNDS), list(world.PLACES), list(world.SIZES)
    seen: list[tuple[Features, world.Scene]] = []
    while len(seen) < PICTURES:
        drawn = bank.batch(256, STRENGTH)
        pixels = (drawn.pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        with torch.no_grad():
            made = encode.run([{"media": Media("image", p)} for p in pixels], parts)
        labels = zip(*(t.tolist() for t in (drawn.label, drawn.ground, drawn.place, drawn.size)), strict=True)
        shown = [world.Scene(concepts[c], grounds[g], places[p], sizes[s]) for c, g, p, s in labels]
        seen += [(m["features"], scene) for m, scene in zip(made, shown, strict=True)]
    return seen


def standardise(first: nn.Linear, features: Tensor) -> None:
    """Start the first layer as if its inputs [n, d] had mean 0 and deviation 1."""
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    with torch.no_grad():
        first.weight.div_(deviation)
        first.bias.sub_(first.weight @ mean)


def _ask(features: Features, scene: world.Scene, rng: random.Random, llm: Any) -> dict[str, Any]:
    asked = Media("text", rng.choice([text for text in corpus.DESCRIBE if text]))
    return {"features": features, "prompt": asked, "target": llm.target(scene.caption())}


def train_writer(bundle: Bundle, cache: Path) -> None:
    """Theta_{T->X}: equation 4 alone, then equations 4 and 5. The LLM is frozen, so S_X is computed once."""
    part = "output_projectors.video"
    torch.manual_seed(0)
    projector = new_projector(bundle, part, "transformer", recipe=RECIPE, hidden_dim=112, layers=1, ffn_dim=224)
    parts = Parts(bundle, {part: projector})
    bridge, film = OutputProject(OutputProjectConfig()), Generate(GenerateConfig())
    still, moving = drawings("3d", cache), drawings("animated", cache)
    said = films(parts)

    def match(step: int) -> list[dict[str, Any]]:
        rng = random.Random(step)
        return [{"signal": rng.choice(said)[0]} for _ in range(MATCH.batch)]

    def denoise(step: int) -> list[dict[str, Any]]:
        rng = random.Random(step)
        chosen = [rng.choice(said) for _ in range(DENOISE.batch)]
        return [{"signal": signal, "media": clip(scene, rng)} for signal, scene in chosen]

    def clip(scene: world.Scene, rng: random.Random) -> np.ndarray:
        name = world.CONCEPTS[scene.concept]
        return scenes.clip(autoencoder.film(name, still, moving, rng), scene, rng)

    def both(requests: Sequence[dict[str, Any]]) -> Tensor:
        made = bridge.run(requests, parts)
        asked = [{**condition, "media": r["media"]} for condition, r in zip(made, requests, strict=True)]
        return film.loss(asked, parts) + bridge.loss(requests, parts)

    _train("video_out_4", bundle, projector, match, lambda requests: bridge.loss(requests, parts), MATCH)
    _train("video_out_45", bundle, projector, denoise, both, DENOISE)
    _save(bundle, part, projector, MATCH.steps + DENOISE.steps)


def films(parts: Parts) -> list[tuple[Signals, world.Scene]]:
    """S_X of many captions, as the frozen LLM has it when it films them, and their scenes."""
    reason, decode = Reason(ReasonConfig(template="Film this: {prompt}")), Decode(Config())
    llm, rng = parts.load("llm"), random.Random(1)
    said: list[tuple[Signals, world.Scene]] = []
    while len(said) < CAPTIONS:
        chosen = [world.sample(rng, moving=True) for _ in range(100)]
        texts = [scene.caption() for scene in chosen]
        asked = [{"prompt": Media("text", text), "target": llm.target(text, ["video"])} for text in texts]
        with torch.no_grad():
            replies = decode.run(reason.teach(asked, parts), parts)
        said += [(reply["video"], scene) for reply, scene in zip(replies, chosen, strict=True)]
    return said


def _train(
    name: str,
    bundle: Bundle,
    projector: nn.Module,
    batch: Callable[[int], Any],
    loss: Callable[[Any], Tensor],
    how: How,
) -> None:
    loop.train(projector, batch, loss, steps=how.steps, lr=how.lr, path=bundle.root / f"{name}.ckpt", ema=0.995)


def _save(bundle: Bundle, part: str, projector: Any, step: int) -> None:
    manifest = projector.manifest.model_copy(update={"step": step})
    save_projector(projector, manifest, bundle.root / bundle.part(part).path)


def main() -> None:
    args = options.parse(__doc__)
    bundle = write_spec(args.out)
    for part, train in (("input_projectors.image", train_reader), ("output_projectors.video", train_writer)):
        if not (args.out / bundle.part(part).path).exists():
            train(bundle, args.cache)


if __name__ == "__main__":
    main()
