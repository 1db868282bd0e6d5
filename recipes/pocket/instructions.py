"""The data of MM-IT: dialogues of several turns and modalities (SFT), and pairs of a better and a worse reply (DPO).

    python -m recipes.pocket.instructions --cache .pocket --out build/pocket

Media that the assistant makes are named by their captions alone.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from recipes.pocket import options, steps, wordings, world
from recipes.pocket.corpus import Turn
from recipes.pocket.data import answered, told, write
from recipes.pocket.paraphrase import Paraphrases
from recipes.pocket.sources import vocabulary
from recipes.pocket.studio import Studio

DIALOGUES, PREFERENCES = 18_000, 2_000


def worse(turn: Turn, rng: random.Random) -> Turn:
    """The same turn with another thing named, or other media made than were asked for."""
    if rng.random() < 0.5 or turn.about is None:
        other = [m for m in wordings.MODALITIES if m not in turn.makes]
        return replace(turn, makes=(rng.choice(other),) if other else turn.makes[:-1])
    concepts = list(world.SOUNDS if isinstance(turn.about, world.Sound) else world.CONCEPTS)
    concept = rng.choice([c for c in concepts if c != turn.about.concept])
    return replace(turn, answer=replace(turn.about, concept=concept).caption())


def lines(cache: Path, count: int, seed: int, pairs: bool) -> Callable[[Path], Iterator[dict[str, Any]]]:
    """Dialogues; with `pairs`, each with a worse last turn."""

    def made(folder: Path) -> Iterator[dict[str, Any]]:
        rng, words, number = random.Random(seed), vocabulary(cache), 0
        studio, other = Studio(cache, rng), Paraphrases.read(cache)
        while number < count:
            turns = other.dialogue(steps.mixed(words, rng), rng)
            line: dict[str, Any] = {"turns": told(turns, studio, folder / f"{number:05d}")}
            if pairs:
                rejected = worse(turns[-1], rng)
                if (rejected.answer, rejected.makes) == (turns[-1].answer, turns[-1].makes):
                    continue
                line["rejected"] = answered(rejected)
            number += 1
            yield line

    return made


def main() -> None:
    args = options.parse(__doc__)
    out = args.out / "data"
    write("dialogues", out, lines(args.cache, DIALOGUES, 2, pairs=False))
    write("preferences", out, lines(args.cache, PREFERENCES, 3, pairs=True))


if __name__ == "__main__":
    main()
