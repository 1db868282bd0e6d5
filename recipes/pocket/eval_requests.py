"""The published set of 200 instructions: how it is read, and the samples that `orch eval` routes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from orchestrator.train.data.sample import MediaRef, Sample, Turn
from recipes.pocket.eval_media import TestStyles, answer, draw, made

FILE = Path(__file__).with_name("instructions_200.yaml")
DESCRIPTION = re.compile(r"\{(.*?)\}")
ANSWER = "i do not know that."  # to what asks for no media; routes look at the media alone
STRIDE = 7  # things are shown in an order of their own: those that follow each other in the world are alike


@dataclass(frozen=True)
class Request:
    """One of the 200. `form` is the text with its description in braces, if it has one."""

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
    def pattern(self) -> str:
        """The text with `{d}` for its description."""
        return DESCRIPTION.sub("{d}", self.form)


def read() -> list[Request]:
    """All requests, in the order of the file."""
    groups = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    return [Request(form, tuple(g["makes"]), g.get("shows")) for g in groups for form in g["asks"]]


def samples(requests: Sequence[Request], styles: TestStyles, into: Path) -> Iterator[Sample]:
    """Requests as samples. Media that are shown are made in `into`, of all concepts in turn; where a sound is to be
    made, of those that have one."""
    for number, request in enumerate(requests):
        if request.shows is None:
            said = made(request.makes, request.description) if request.description else Turn("assistant", (ANSWER,))
            yield Sample((Turn("user", (request.text,)), said))
            continue
        known = styles.knows("audio" if "audio" in request.makes else request.shows)
        about = draw(request.shows, known[STRIDE * number % len(known)], styles.rng)
        file = styles.make(request.shows, about, into / f"{number:03d}-{about.concept}")
        asked = Turn("user", (MediaRef(request.shows, file), request.text))
        yield Sample((asked, answer(request.makes, about)))
