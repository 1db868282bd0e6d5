"""The data of MM-PT as `orch train` reads them: manifests, and media made once.

    python -m recipes.pocket.data --cache .pocket --out build/pocket

`mm_pt_input.jsonl` has pictures, sounds and films with captions (equation 2), `mm_pt_output.jsonl` requests for
pictures, sounds and films (equation 4), some with what is to be made (equation 5).
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL.Image import fromarray

from recipes.pocket import corpus, encoder, options, wordings, world
from recipes.pocket.augment import Bank
from recipes.pocket.corpus import Shown, Turn
from recipes.pocket.sources import TRAIN_SETS, drawings, vocabulary
from recipes.pocket.studio import Studio

PICTURES, SOUNDS, FILMS = 80_000, 14_000, 15_000  # that are shown
REQUESTS, MADE = 6_000, 500  # of each modality, and those of them with a medium
SEVERAL = 2_000  # requests for two or three media at once
STRENGTH = replace(encoder.STRENGTH, off_ground=0.0)  # as strong as the encoder's own: styles that no set has


def shown(cache: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Media in all training styles, and what they show, in many wordings of the request."""
    rng = random.Random(1)
    for file, scene in pictures(cache, folder, PICTURES):
        yield described("image", scene, file, rng)
    studio, concepts = Studio(cache, rng), {"audio": list(world.SOUNDS), "video": list(world.CONCEPTS)}
    for modality, count in (("audio", SOUNDS), ("video", FILMS)):
        for i in range(count):
            concept = concepts[modality][i % len(concepts[modality])]
            what = world.sample_sound(rng, concept) if modality == "audio" else world.sample(rng, concept, moving=True)
            yield described(modality, what, studio.make(modality, what, folder / f"{modality}-{i:05d}"), rng)


def pictures(cache: Path, folder: Path, count: int) -> Iterator[tuple[Path, world.Scene]]:
    """Pictures in all training styles, augmented as the encoder's own, and what they show."""
    concepts = list(world.CONCEPTS)
    moving, names = drawings("animated", cache), list(enumerate(world.CONCEPTS.values()))
    stills = [drawings(style, cache) for style in ("3d", *TRAIN_SETS)]
    entries = [(found[name], label, 1.0) for found in stills for label, name in names if name in found]
    entries += [(frame, label, 0.25) for label, name in names if name in moving for frame in moving[name][::2]]
    grounds, places, sizes = list(world.GROUNDS), list(world.PLACES), list(world.SIZES)
    torch.manual_seed(1)
    bank, made = Bank(entries), 0
    while made < count:
        drawn = bank.batch(256, STRENGTH)
        pixels = (drawn.pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        labels = zip(*(t.tolist() for t in (drawn.label, drawn.ground, drawn.place, drawn.size)), strict=True)
        for picture, (c, g, p, s) in zip(pixels[: count - made], labels, strict=False):
            file = folder / f"image-{made:05d}.png"
            fromarray(picture).save(file)
            made += 1
            yield file, world.Scene(concepts[c], grounds[g], places[p], sizes[s])


def described(modality: str, what: corpus.Thing, file: Path, rng: random.Random) -> dict[str, Any]:
    """A medium, a request to describe it, and its caption."""
    asked = rng.choice((*wordings.DESCRIBE, *wordings.DESCRIBE_OF[modality]))
    content = [{modality: f"{file.parent.name}/{file.name}"}, asked.format(n=rng.choice(wordings.NOUNS[modality]))]
    return {"turns": [{"role": "user", "content": content}, answered(Turn((), what.caption()))]}


def asked(cache: Path, folder: Path) -> Iterator[dict[str, Any]]:
    """Requests for media in many wordings; the first of each modality with the medium, in the generator's style."""
    rng = random.Random(2)
    studio, words = Studio(cache, rng), vocabulary(cache)
    for modality in wordings.MODALITIES:
        for i in range(REQUESTS):
            what = corpus.thing(rng, modality)
            text = corpus.ended(corpus.request_for((modality,), corpus.describe(what, rng), rng), rng)
            answer = answered(Turn((), what.caption(), (modality,)))
            if i < MADE:
                made = studio.make(modality, what, folder / f"{modality}-{i:05d}", own=True)
                answer["content"][1][modality] = f"{folder.name}/{made.name}"
            yield {"turns": [{"role": "user", "content": [text]}, answer]}
    for _ in range(SEVERAL):
        turn = corpus.make_text(words, rng)
        while len(turn.makes) < 2:
            turn = corpus.make_text(words, rng)
        yield {"turns": [{"role": "user", "content": list(turn.request)}, answered(turn)]}


def told(turns: Sequence[Turn], studio: Studio, file: Path) -> list[dict[str, Any]]:
    """Turns as a manifest has them; what is shown is made beside `file`, under names that begin with its own."""
    lines: list[dict[str, Any]] = []
    for turn in turns:
        content: list[Any] = []
        for part in turn.request:
            if isinstance(part, Shown):
                made = studio.make(part.modality, part.what, file.with_name(f"{file.name}-{len(lines)}"))
                content.append({part.modality: f"{made.parent.name}/{made.name}"})
            elif part:
                content.append(part)
        lines += [{"role": "user", "content": content}, answered(turn)]
    return lines


def answered(turn: Turn) -> dict[str, Any]:
    """What the assistant says, and the media that it asks for."""
    makes = [{modality: None, "caption": turn.answer} for modality in turn.makes]
    return {"role": "assistant", "content": [turn.answer, *makes]}


def write(name: str, out: Path, lines: Callable[[Path], Iterator[dict[str, Any]]]) -> None:
    """Write a manifest, its media first in a folder of its name; nothing if it is there."""
    manifest, media = out / f"{name}.jsonl", out / name
    if manifest.exists():
        return
    media.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(line) + "\n" for line in lines(media))
    manifest.write_text(text, encoding="utf-8")
    print(f"{manifest}: {text.count(chr(10))} dialogues", flush=True)


def main() -> None:
    args = options.parse(__doc__)
    out = args.out / "data"
    write("mm_pt_input", out, lambda folder: shown(args.cache, folder))
    write("mm_pt_output", out, lambda folder: asked(args.cache, folder))


if __name__ == "__main__":
    main()
