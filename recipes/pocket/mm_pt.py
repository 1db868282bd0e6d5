"""MM-PT of the pocket bundle: the projectors, trained through the nodes that a flow runs. All else is frozen.

    python -m recipes.pocket.mm_pt --cache .pocket --out build/pocket

Input side: equation 2 of the survey (arXiv 2401.13601), text cross-entropy on picture-caption pairs through encode,
project and reason; only Theta_{X->T} trains. Output side: equation 4 (the condition against tau_X of the caption) and
then equation 5 as well (denoising of real clips under the condition) through reason, decode, output_project and
generate; only Theta_{T->X} trains.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from orchestrator.nodes.project import Project
from orchestrator.nodes.reason import Reason, ReasonConfig
from orchestrator.nodes.stage import Config, Progress
from recipes.pocket import loop, scenes, world
from recipes.pocket.bundle import write_spec
from recipes.pocket.sources import TRAIN_SETS, drawings

RECIPE = "recipes/pocket/mm_pt.py"


@dataclass(frozen=True)
class How:
    """Length and pace of a training."""

    steps: int
    batch: int
    lr: float


READ = How(steps=2500, batch=64, lr=2e-3)  # equation 2
MATCH = How(steps=3000, batch=64, lr=1e-3)  # equation 4
DENOISE = How(steps=400, batch=8, lr=2e-4)  # equations 4 and 5
MATCH_WEIGHT = 1.0  # of equation 4 beside equation 5


class Parts:
    """The engine's services in training (nodes.stage.Context): frozen parts loaded once, the trained one given."""

    device = "cpu"

    def __init__(self, bundle: Bundle, loaded: dict[str, Any] | None = None, seeds: Sequence[int] = (0,)) -> None:
        self.bundle, self.loaded, self.seeds = bundle, loaded or {}, seeds

    def load(self, part: str) -> Any:
        if part not in self.loaded:
            self.loaded[part] = load_part(self.bundle, part, self.device, torch.float32)
        return self.loaded[part]

    def report(self, request: int, progress: Progress) -> None:
        """Training shows its own progress."""


def train_reader(bundle: Bundle, cache: Path) -> None:
    """Theta_{X->T}: equation 2."""
    part = "input_projectors.image"
    projector = new_projector(bundle, part, "mlp", recipe=RECIPE, num_tokens=4)
    parts = Parts(bundle, {part: projector})
    encode, project, reason = (
        Encode(EncodeConfig()),
        Project(Config()),
        Reason(ReasonConfig(template="Describe the picture.")),
    )
    styles = [drawings(name, cache) for name in ("3d", *TRAIN_SETS)]
    llm = parts.load("llm")

    def batch(step: int) -> list[dict[str, Any]]:
        rng = random.Random(step)
        made: list[dict[str, Any]] = []
        while len(made) < READ.batch:
            scene, style = world.sample(rng), rng.choice(styles)
            if (name := world.CONCEPTS[scene.concept]) in style:
                pixels = augment(scenes.picture(style[name], scene, rng), rng)
                made.append({"media": Media("image", pixels), "target": llm.target(scene.caption())})
        return made

    def loss(requests: Sequence[dict[str, Any]]) -> Tensor:
        features = encode.run(requests, parts)
        prompts = project.run(features, parts)
        return reason.loss(
            [{"media": (p["prompts"],), "target": r["target"]} for p, r in zip(prompts, requests, strict=True)], parts
        )

    _train("image_in", bundle, projector, batch, loss, READ)
    _save(bundle, part, projector, READ.steps)


def train_writer(bundle: Bundle, cache: Path) -> None:
    """Theta_{T->X}: equation 4 alone, then equations 4 and 5."""
    part = "output_projectors.video"
    projector = new_projector(bundle, part, "transformer", recipe=RECIPE, hidden_dim=128, layers=2, ffn_dim=256)
    parts = Parts(bundle, {part: projector})
    reason, decode = Reason(ReasonConfig(template="Film this: {prompt}")), Decode(Config())
    bridge, film = OutputProject(OutputProjectConfig()), Generate(GenerateConfig())
    still, moving = drawings("3d", cache), drawings("animated", cache)
    llm = parts.load("llm")

    def clip(scene: world.Scene, rng: random.Random) -> np.ndarray:
        name = world.CONCEPTS[scene.concept]
        animated = scene.motion == "still" and name in moving
        return scenes.clip(moving[name] if animated else still[name][None], scene, rng)

    def signals(step: int, size: int) -> tuple[list[dict[str, Any]], list[world.Scene], random.Random]:
        """S_X of captions, as the frozen LLM has it when it films them."""
        rng = random.Random(step)
        chosen = [world.sample(rng, moving=True) for _ in range(size)]
        asked = [
            {"prompt": Media.load(s.caption(), "text"), "target": llm.target(s.caption(), ["video"])} for s in chosen
        ]
        with torch.no_grad():
            replies = decode.run(reason.teach(asked, parts), parts)
        return [{"signal": reply["video"]} for reply in replies], chosen, rng

    def denoise(step: int) -> Any:
        found, chosen, rng = signals(step, DENOISE.batch)
        return found, [clip(scene, rng) for scene in chosen]

    def both(data: tuple[list[dict[str, Any]], list[np.ndarray]]) -> Tensor:
        found, clips = data
        made = bridge.run(found, parts)
        asked = [{**condition, "media": media} for condition, media in zip(made, clips, strict=True)]
        return film.loss(asked, parts) + MATCH_WEIGHT * bridge.loss(found, parts)

    _train("video_out_4", bundle, projector, lambda step: signals(step, MATCH.batch)[0],
           lambda found: bridge.loss(found, parts), MATCH)  # fmt: skip
    _train("video_out_45", bundle, projector, denoise, both, DENOISE)
    _save(bundle, part, projector, MATCH.steps + DENOISE.steps)


def augment(pixels: np.ndarray, rng: random.Random) -> np.ndarray:
    """A picture with other brightness, contrast and colours: styles that no set has."""
    noise = np.random.default_rng(rng.getrandbits(32))
    gain = 1 + noise.normal(0, 0.06, 3)
    return np.clip((pixels.astype(np.float32) - 128) * gain + 128 + noise.normal(0, 5, 3), 0, 255).astype(np.uint8)


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
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".pocket"))
    parser.add_argument("--out", type=Path, default=Path("build/pocket"))
    args = parser.parse_args()
    bundle = write_spec(args.out)
    torch.manual_seed(0)
    for part, train in (("input_projectors.image", train_reader), ("output_projectors.video", train_writer)):
        if not (args.out / bundle.part(part).path).exists():
            train(bundle, args.cache)


if __name__ == "__main__":
    main()
