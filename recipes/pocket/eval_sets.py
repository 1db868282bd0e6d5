"""The test sets of the pocket bundle, as manifests that `eval.yaml` names, and a small fixed one for the test suite."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.train.data import manifest
from orchestrator.train.data.sample import Sample
from recipes.pocket import eval_requests, sounds, world
from recipes.pocket.corpus import Thing
from recipes.pocket.eval_media import NOUNS, TestStyles, draw, shown, wanted

SETS = Path(__file__).parents[2] / "build/pocket/eval"  # where eval.yaml looks for them
ROUNDS = {"image": 1, "audio": 3, "video": 1}  # media of each concept, a seed
FIXED: dict[str, list[Thing]] = {
    "image": [world.Scene(c) for c in ("apple", "cat", "guitar", "helicopter", "owl", "pizza", "snowman", "umbrella")],
    "audio": [
        world.Sound("guitar"), world.Sound("violin", pitch="low"), world.Sound("drum", rhythm="three"),
        world.Sound("trumpet", loudness="loud"), world.Sound("flute", pitch="high", rhythm="two"),
        world.Sound("accordion", loudness="soft"),
    ],
    "video": [
        world.Scene("dog", motion="jump"), world.Scene("rocket", motion="right"), world.Scene("star", motion="spin"),
        world.Scene("banana", ground="blue", motion="grow"),
    ],
}  # fmt: skip


def make_sets(cache: Path, into: Path, seeds: Sequence[int]) -> None:
    """Write all manifests of `eval.yaml` into a folder, with their media."""
    styles = TestStyles(cache, random.Random(2000))
    _write(into, "image-plain", _plain(styles, _folder(into, "image-plain")))
    for name, file in {"instructions": eval_requests.FILE, "two-steps": eval_requests.STEPS}.items():
        _write(into, name, eval_requests.samples(eval_requests.read(file), styles, _folder(into, name)))
    for seed in seeds:
        rng = random.Random(1000 + seed)
        styles = TestStyles(cache, rng)
        for modality, rounds in ROUNDS.items():
            seen, every = styles.knows(modality), list(world.SOUNDS if modality == "audio" else world.CONCEPTS)
            name = f"{modality}-seen-{seed}"
            _write(into, name, _seen(styles, modality, seen * rounds, _folder(into, name)))
            asked = (wanted(modality, draw(modality, concept, rng)) for concept in every * rounds)
            _write(into, f"{modality}-made-{seed}", asked)


def make_fixed(cache: Path, into: Path) -> None:
    """Write the fixed sample of the test suite, a few hundred kB: `seen.jsonl` with its media, `made.jsonl`, and
    `asked.jsonl`, every sixth instruction that shows nothing.

    Its notes are of the training font with the freest licence (MIT), at pitches that no training has: the test font's
    licence (GPL-2) may be that of its notes, too.
    """
    styles = TestStyles(cache, random.Random(3000), font=sounds.OWN_FONT)
    seen: list[Sample] = []
    for modality, things in FIXED.items():
        folder = _folder(into, f"{NOUNS[modality]}s")
        for what in things:
            file = folder / what.concept
            file = styles.plain(what.concept, file) if modality == "image" else styles.make(modality, what, file)
            seen.append(shown(modality, what, file))
    _write(into, "seen", seen)
    _write(into, "made", (wanted(modality, what) for modality, things in FIXED.items() for what in things))
    asked = [request for request in eval_requests.read() if request.shows is None][::6]
    _write(into, "asked", eval_requests.samples(asked, styles, into))


def _plain(styles: TestStyles, folder: Path) -> Iterator[Sample]:
    for concept in styles.knows("image"):
        yield shown("image", world.Scene(concept), styles.plain(concept, folder / concept))


def _seen(styles: TestStyles, modality: str, concepts: Sequence[str], folder: Path) -> Iterator[Sample]:
    for i, concept in enumerate(concepts):
        what = draw(modality, concept, styles.rng)
        yield shown(modality, what, styles.make(modality, what, folder / f"{i:03d}-{concept}"))


def _folder(into: Path, name: str) -> Path:
    (into / name).mkdir(parents=True, exist_ok=True)
    return into / name


def _write(into: Path, name: str, samples: Iterator[Sample] | Sequence[Sample]) -> None:
    manifest.write(into / f"{name}.jsonl", samples)
