"""The published instructions, 200 for one turn and some for an agent: how they are read, and their samples.

Others, `DEVELOPMENT`, are there to choose by.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import yaml

from orchestrator.train.data.sample import MediaRef, Sample, Turn
from recipes.pocket import corpus, world
from recipes.pocket.eval_media import TestStyles, answer, draw, made

FILE, STEPS, DEVELOPMENT = (
    Path(__file__).with_name(f"{name}.yaml") for name in ("instructions_200", "two_steps", "instructions_dev")
)
DESCRIPTION = re.compile(r"\{(.*?)\}")
ANSWER = "i do not know that."  # to what asks for no media; routes look at the media alone
STRIDE = 7  # things are shown in an order of their own: those that follow each other in the world are alike


@dataclass(frozen=True)
class Request:
    """An instruction. `form` is the text with its description in braces, if it has one."""

    form: str
    makes: tuple[str, ...]
    shows: str | None

    @property
    def text(self) -> str:
        """What the user says."""
        return self.form.replace("{", "").replace("}", "")

    @property
    def description(self) -> str | None:
        """What the media are of; None if it is about what was shown, or about nothing."""
        found = DESCRIPTION.search(self.form)
        return found[1].lower() if found else None

    @property
    def labels(self) -> dict[str, tuple[str, ...]]:
        """The concept that it describes, the longest that its description names."""
        named = [concept for concept in world.CONCEPTS if re.search(rf"\b{concept}\b", self.description or "")]
        return {"concept": (max(named, key=len),)} if named else {}

    @property
    def pattern(self) -> str:
        """The text with `{d}` for its description."""
        return DESCRIPTION.sub("{d}", self.form)


def read(file: Path = FILE) -> list[Request]:
    """All requests, in the order of the file."""
    groups = yaml.safe_load(file.read_text(encoding="utf-8"))
    return [Request(form, tuple(g["makes"]), g.get("shows")) for g in groups for form in g["asks"]]


def samples(requests: Sequence[Request], styles: TestStyles, into: Path) -> Iterator[Sample]:
    """Requests as samples, labelled with the concept that they are about. Media that are shown are made in `into`, of
    all concepts in turn; where a sound is to be made, of those that have one."""
    for number, request in enumerate(requests):
        if request.shows is None:
            said = made(request.makes, request.description) if request.description else Turn("assistant", (ANSWER,))
            yield Sample((Turn("user", (request.text,)), said), labels=request.labels)
            continue
        known = styles.knows("audio" if "audio" in request.makes else request.shows)
        about = draw(request.shows, known[STRIDE * number % len(known)], styles.rng)
        file = styles.make(request.shows, about, into / f"{number:03d}-{about.concept}")
        asked = Turn("user", (MediaRef(request.shows, file), request.text))
        yield Sample((asked, answer(request.makes, about)), labels={"concept": (about.concept,)})


def turns(requests: Sequence[Request], rng: random.Random) -> Iterator[corpus.Turn]:
    """Requests as the corpus has them, random things being shown; their answers are the descriptions, if any."""
    for request in requests:
        if request.shows is None:
            yield corpus.Turn((request.text,), request.description or ANSWER, request.makes)
            continue
        about = corpus.thing(rng, request.shows)
        if "audio" in request.makes:
            about = replace(about, concept=rng.choice(list(world.SOUNDS)))
        yield corpus.Turn((corpus.Shown(request.shows, about), request.text), about.caption(), request.makes, about)
