"""The numbers of the pocket bundle, as README and the model card print them.

    python -m recipes.pocket.evaluate --bundle pocket --cache .pocket

Makes the test sets, and runs `eval.yaml` on them. Captions are measured on Twemoji, a style that no training has seen;
films by the judge (recipes/pocket/judge_weights), which was trained on real drawings only, with the caption bridge and
the signal bridge on the same generator, seeds and captions. Random scenes are the first draw of each seed.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.evaluation import Advanced, Evaluated, Evaluation, evaluate
from orchestrator.nodes.media import Media
from orchestrator.train.data import manifest
from orchestrator.train.data.sample import MediaRef, Sample, Turn
from recipes.pocket import scenes, world
from recipes.pocket.bundle import NUMBERS
from recipes.pocket.sources import TEST_SET, drawings

FILE = Path(__file__).with_name("eval.yaml")
SETS = Path(__file__).parents[2] / "build/pocket/eval"  # where eval.yaml looks for them

DESCRIBE = (
    "Which object do you see here?", "Tell me in a few words what is shown.", "Please name the thing in this picture.",
)  # fmt: skip
FILM = (
    "I would like a short clip of {}.", "Could you produce a little film with {}?", "Roll the camera on {}.",
)  # fmt: skip
FILM_PICTURE = (
    "I would like to watch this as a clip.", "Give me a moving version of this picture.",
    "Could you make a movie of it?",
)  # fmt: skip
EVERY = 5  # instructions are about every fifth concept


def make_sets(cache: Path, into: Path, seeds: Sequence[int]) -> None:
    """Write the manifests that eval.yaml names, with their pictures."""
    (into / "pictures").mkdir(parents=True, exist_ok=True)
    found = drawings(TEST_SET, cache)
    pictures = {
        concept: Media.load(scenes.picture(found[name], world.Scene(concept)), "image").save(
            into / "pictures" / f"{concept}.png"
        )
        for concept, name in world.SHIPPED.items()
        if name in found
    }
    sets = {
        "captions": [see(world.Scene(concept), path, "Describe the picture.") for concept, path in pictures.items()],
        "films-plain": [film(world.Scene(concept)) for concept in world.SHIPPED],
        "instructions": list(instructions(list(pictures.items())[::EVERY])),
    }
    for seed in seeds:
        rng = random.Random(1000 + seed)
        sets[f"films-{seed}"] = [film(world.sample(rng, concept, moving=True)) for concept in world.SHIPPED]
    for name, samples in sets.items():
        manifest.write(into / f"{name}.jsonl", samples)


def see(scene: world.Scene, picture: Path, request: str) -> Sample:
    """A picture is to be described."""
    turns = (Turn("user", (MediaRef("image", picture), request)), Turn("assistant", (scene.caption(),)))
    return Sample(turns, labels=said(scene))


def film(scene: world.Scene, request: str = "Film this: {}", picture: Path | None = None) -> Sample:
    """A scene, or what a picture shows, is to be filmed."""
    shown = () if picture is None else (MediaRef("image", picture),)
    answer = (scene.caption(), MediaRef("video", None, scene.caption()))
    return Sample(
        (Turn("user", (*shown, request.format(scene.caption()))), Turn("assistant", answer)), labels=said(scene)
    )


def said(scene: world.Scene) -> dict[str, tuple[str, ...]]:
    """What the caption of a scene says of it; what is as always, it does not say."""
    plain = world.Scene(scene.concept)
    groups = {"concept": (scene.concept,), "motion": (scene.motion, world.MOTIONS[scene.motion])}
    groups |= {name: (getattr(scene, name),) for name in ("ground", "place")}
    return {name: words for name, words in groups.items() if name == "concept" or words[0] != getattr(plain, name)}


def instructions(pictures: Sequence[tuple[str, Path]]) -> Iterator[Sample]:
    """Requests of every kind, about these concepts."""
    for concept, picture in pictures:
        scene = world.Scene(concept)
        yield from (see(scene, picture, request) for request in DESCRIBE)
        yield from (film(scene, request) for request in FILM)
        yield from (film(scene, request, picture) for request in FILM_PICTURE)


def table(found: Evaluated) -> str:
    """The numbers in Markdown."""
    ways = {"": "", "caption": ", caption bridge", "signal": ", signal bridge"}
    lines = [
        f"| {measure}, {modality}: {number}{ways.get(way, f', {way}')} | {value} | {count} |"
        for measure, modality, way, number, value, count in found.rows()
    ]
    return "\n".join(["| | | of |", "| --- | --- | --- |", *lines, signals(found)])


def signals(found: Evaluated) -> str:
    """How many of the films' replies had exactly one well-formed signal."""
    rows = [number for measure in found.measures for number in measure["one signal"]]
    count = sum(number.count for number in rows)
    valid = sum(number.mean * number.count for number in rows) / count
    return f"| replies with one well-formed signal | {valid:.1%} | {count} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="pocket", help="name or folder")
    parser.add_argument("--cache", type=Path, default=Path(".pocket"))
    parser.add_argument("--limit", type=int, help="only so many samples of each, for a quick look")
    parser.add_argument("--write", action="store_true", help=f"also write {NUMBERS.name}, which the card takes in")
    args = parser.parse_args()
    evaluation = Evaluation.load(FILE)
    make_sets(args.cache, SETS, evaluation.seeds)

    def tell(event: Advanced) -> None:
        print(f"{event.measure}: {event.done} of {event.total}", flush=True)

    found = evaluate(evaluation, bundle=args.bundle, limit=args.limit, on_progress=tell)
    found.write(SETS / "numbers.json")
    print(table(found))
    for case in found["caption of an unseen style"].cases:
        if not case["names"]["concept"]:
            print(f"wrong: {case['where']}: {case['said']}")
    if args.write:
        NUMBERS.write_text(table(found) + "\n")


if __name__ == "__main__":
    main()
