"""The numbers of the pocket bundle, as README and the model card print them.

    python -m recipes.pocket.evaluate --bundle pocket --cache .pocket

Captions are measured on Twemoji, a style that no training has seen: one picture a concept on plain white. Films are
measured by the judge (recipes/pocket/judge_weights), which was trained on real drawings only, over three seeds, with
the caption bridge and the signal bridge on the same generator, seeds and captions.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import ResNetForImageClassification

from orchestrator.models.bundle import Bundle
from orchestrator.nodes.decode import Decode
from orchestrator.nodes.encode import Encode, EncodeConfig
from orchestrator.nodes.generate import Generate, GenerateConfig
from orchestrator.nodes.media import Media
from orchestrator.nodes.output_project import OutputProject, OutputProjectConfig
from orchestrator.nodes.project import Project
from orchestrator.nodes.reason import Reason, ReasonConfig
from orchestrator.nodes.stage import Config
from recipes.pocket import scenes, world
from recipes.pocket.bundle import NUMBERS
from recipes.pocket.judge import judge_frames
from recipes.pocket.mm_pt import Parts
from recipes.pocket.sources import TEST_SET, drawings

JUDGE = Path(__file__).with_name("judge_weights")
SEEDS = (0, 1, 2)
BATCH = 10


def captions(bundle: Bundle, cache: Path) -> dict[str, Any]:
    """image -> text on the unseen style, plain white ground: how often the caption names the concept."""
    found, parts = drawings(TEST_SET, cache), Parts(bundle)
    asked = [
        (c, {"media": Media("image", _plain(found[name], c))}) for c, name in world.CONCEPTS.items() if name in found
    ]
    project, reason, decode = (
        Project(Config()),
        Reason(ReasonConfig(template="Describe the picture.")),
        Decode(Config()),
    )
    features = Encode(EncodeConfig()).run([request for _, request in asked], parts)
    prompts = [{"media": (p["prompts"],)} for p in project.run(features, parts)]
    texts = [reply["text"].text for reply in decode.run(reason.run(prompts, _many(parts, len(prompts))), parts)]
    right = [concept in text for (concept, _), text in zip(asked, texts, strict=True)]
    wrong = {c: t for (c, _), t, ok in zip(asked, texts, right, strict=True) if not ok}
    return {"right": sum(right), "of": len(right), "share": sum(right) / len(right), "wrong": wrong}


def films(bundle: Bundle, judge: ResNetForImageClassification, bridge: str, moving: bool) -> dict[str, Any]:
    """text -> video: how often the judge sees the concept, over the seeds; captions are random scenes when `moving`."""
    shares, count = [], 0
    for seed in SEEDS:
        rng = random.Random(1000 + seed)
        chosen = [world.sample(rng, c, moving=True) if moving else world.Scene(c) for c in world.CONCEPTS]
        clips, valid = make(bundle, chosen, bridge, seed)
        seen = judge_frames(judge, torch.from_numpy(np.stack(clips))).argmax(1).tolist()
        truth = [list(world.CONCEPTS).index(scene.concept) for scene in chosen]
        shares.append(float(np.mean([a == b for a, b in zip(seen, truth, strict=True)])))
        count += len(chosen)
    return {"share": statistics.mean(shares), "spread": statistics.stdev(shares), "of": count, "signals": valid}


def make(bundle: Bundle, chosen: Sequence[world.Scene], bridge: str, seed: int) -> tuple[list[np.ndarray], float]:
    """Films [8, 64, 64, 3] of scenes through the nodes of `text -> video`, and the share of replies with one signal."""
    parts, clips, signals = Parts(bundle), [], 0
    reason = Reason(ReasonConfig(template="Film this: {prompt}", signals=("video",)))
    decode, film = Decode(Config()), Generate(GenerateConfig())
    project = OutputProject(OutputProjectConfig.model_validate({"bridge": bridge}))
    for start in range(0, len(chosen), BATCH):
        asked = [{"prompt": Media.load(s.caption(), "text")} for s in chosen[start : start + BATCH]]
        context = _many(parts, len(asked), seed)
        replies = decode.run(reason.run(asked, context), context)
        signals += sum("video" in reply and len(reply["video"].items) == 1 for reply in replies)
        made = film.run(project.run([{"signal": reply["video"]} for reply in replies], context), context)
        clips += [result["media"].video.frames for result in made]
    return clips, signals / len(chosen)


def _plain(drawing: np.ndarray, concept: str) -> np.ndarray:
    return scenes.picture(drawing, world.Scene(concept))


def _many(parts: Parts, count: int, seed: int = 0) -> Parts:
    """The same parts for a batch: request i has its own seed."""
    return Parts(parts.bundle, parts.loaded, [seed * 1000 + i for i in range(count)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", default="pocket", help="name or folder")
    parser.add_argument("--cache", type=Path, default=Path(".pocket"))
    parser.add_argument("--write", action="store_true", help=f"also write {NUMBERS.name}, which the card takes in")
    args = parser.parse_args()
    bundle, judge = Bundle.open(args.bundle), ResNetForImageClassification.from_pretrained(JUDGE).float().eval()
    with torch.no_grad():
        numbers: dict[str, Any] = {"caption of an unseen style": captions(bundle, args.cache)}
        for bridge in ("caption", "signal"):
            for moving in (False, True):
                name = f"film, {bridge} bridge, {'random scenes' if moving else 'plain'}"
                numbers[name] = films(bundle, judge, bridge, moving)
    lines = [f"| {name} | {row['share']:.1%}{_spread(row)} | {row['of']} |" for name, row in numbers.items()]
    table = "\n".join(["| | right | of |", "| --- | --- | --- |", *lines, *_signals(numbers)])
    print(table)
    print("wrong captions:", json.dumps(numbers["caption of an unseen style"]["wrong"]))
    if args.write:
        NUMBERS.write_text(table + "\n")


def _spread(row: dict[str, Any]) -> str:
    return f" ± {row['spread']:.1%}" if "spread" in row else ""


def _signals(numbers: dict[str, Any]) -> list[str]:
    """How many replies had exactly one well-formed signal."""
    rows = [row for row in numbers.values() if "signals" in row]
    count = sum(row["of"] for row in rows)
    valid = sum(row["signals"] * row["of"] for row in rows) / count
    return [f"| replies with one well-formed signal | {valid:.1%} | {count} |"]


if __name__ == "__main__":
    main()
