"""Arrow lines: `image + text -> text -> video` is short for a flow with two turns of the LLM.

A turn encodes and projects each medium on its left, lets the LLM reply and decodes the reply; for each medium on its
right it projects the signal and generates. Results are outputs under their modality's name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from itertools import pairwise
from typing import Any

from orchestrator.errors import FlowError, Problem, nearest
from orchestrator.flow.builder import FlowBuilder, NodeRef, free_name
from orchestrator.flow.refs import Ref
from orchestrator.flow.spec import FlowSpec
from orchestrator.nodes.modality import MODALITIES
from orchestrator.prompts import template

TEXT = "text"  # what the LLM itself reads and writes; every other modality is encoded and generated

Values = dict[str, Ref | NodeRef]  # modality -> where a turn finds it
Hop = tuple[str, ...]

IN_A_FILE = "for two of one modality write a flow file, begun with: orch show LINE --yaml > flow.yaml"
UNSAYABLE = {  # what people write between modalities, and what to type instead
    "|": "a line makes all that it names; for a reply that chooses, leave `require` out of the flow file: "
    "orch show 'text -> image + audio' --yaml > flow.yaml",
    ",": "modalities are joined by +, as in 'text -> image + audio'",
    "&": "modalities are joined by +, as in 'text -> image + audio'",
    "(": "a line has no brackets; each arrow is one turn, from all on its left to all on its right: 'a + b -> c + d'",
    "=": "a line has no settings; change them by --set, as in --set generate.steps=4",
}

_ARROW = re.compile(r"->|→")


def is_arrow_line(text: str) -> bool:
    """Whether a text is meant as an arrow line, not as the path of a file."""
    return bool(_ARROW.search(text))


def parse(line: str, bundle: str = "pocket", direct: Collection[str] = ()) -> FlowSpec:
    """The flow that an arrow line stands for; a `FlowError` with all its problems. The LLM is shown media of the
    modalities `direct` as they are, others are encoded and projected."""
    hops = _hops(line)
    words = [" + ".join(hop) for hop in hops]
    name = "-to-".join("-and-".join(hop) for hop in hops)
    flow = FlowBuilder(name, bundle, doc=" -> ".join(words))
    values: Values = {modality: flow.input(modality, modality) for modality in hops[0]}
    outputs: list[str] = []
    for turn, (sources, targets) in enumerate(pairwise(hops), start=1):
        values = _Turn(flow, turn, sources, targets, direct).add(values)
        for modality in targets:
            outputs.append(free_name(modality, outputs))
            flow.output(outputs[-1], values[modality])
    return flow.build()


class _Turn:
    """The nodes of one arrow."""

    def __init__(self, flow: FlowBuilder, turn: int, sources: Hop, targets: Hop, direct: Collection[str]) -> None:
        self.flow, self.turn, self.direct = flow, turn, direct
        self.text = TEXT in sources
        self.media = [m for m in sources if m != TEXT]
        self.made = [m for m in targets if m != TEXT]

    def add(self, values: Values) -> Values:
        """Add the nodes; gives where the next turn finds the results."""
        prompts = [self._prompt(modality, values[modality]) for modality in self.media]
        fields: dict[str, Any] = dict(self._instruction(values))
        fields |= ({"media": prompts} if prompts else {}) | ({"require": self.made} if self.made else {})
        reply = self.flow.add("reason", self._name("reason"), **fields)
        split = self.flow.add("decode", self._name("decode"), reply=reply)
        return {TEXT: split[TEXT]} | {modality: self._generated(modality, split[modality]) for modality in self.made}

    def _prompt(self, modality: str, media: Ref | NodeRef) -> Ref | NodeRef:
        if modality in self.direct:
            return media
        several = modality if len(self.media) > 1 else ""
        features = self.flow.add("encode", self._name("encode", several), media=media)
        return self.flow.add("project", self._name("project", several), features=features)

    def _generated(self, modality: str, signal: Ref) -> NodeRef:
        several = modality if len(self.made) > 1 else ""
        condition = self.flow.add("output_project", self._name("output_project", several), signal=signal)
        return self.flow.add("generate", self._name("generate", several), condition=condition)

    def _instruction(self, values: Values) -> dict[str, Ref | NodeRef | str]:
        """What the LLM is asked: the text of the line, as it is or as what to make; else to describe the media."""
        verbs = [MODALITIES[m].verb for m in self.made]
        media = _listed([MODALITIES[m].noun for m in self.media])
        if self.text and (self.media or not verbs):
            return {"prompt": values[TEXT]}
        if self.text:
            make = template("make").render(make=_listed(verbs).capitalize(), prompt="{prompt}")
            return {"template": make, "prompt": values[TEXT]}
        if verbs:
            make = _listed([f"{verb} it" for verb in verbs])
            return {"prompt": template("describe_then").render(media=media, make=make)}
        return {"prompt": template("describe").render(media=media)}

    def _name(self, stage: str, several: str = "") -> str:
        """The stage's name, `_<modality>` where a turn has several of that stage, and `_<turn>` from the second on."""
        return "_".join(filter(None, (stage, several, str(self.turn) if self.turn > 1 else "")))


def _listed(words: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))


def _hops(line: str) -> list[Hop]:
    """The modalities between the arrows; all problems at once, with their columns."""
    problems: list[Problem] = []
    hops: list[Hop] = []
    start = 0
    parts = _ARROW.split(line)
    arrows = [match.end() for match in _ARROW.finditer(line)]
    for part, after in zip(parts, [*arrows, len(line)], strict=True):
        hops.append(_hop(part, start, problems))
        start = after
    if len(parts) == 1:
        problems.append(_problem("a line needs an arrow, as in 'image -> text'", len(line)))
    if problems:
        raise FlowError(problems)
    return hops


def _hop(part: str, start: int, problems: list[Problem]) -> Hop:
    """The modalities of one part of a line, which begins at column `start`."""
    found: list[str] = []
    for word in part.split("+"):
        name, column = word.strip(), start + len(word) - len(word.lstrip())
        if not name:
            problems.append(_problem("a modality is missing here", start))
        elif name not in MODALITIES:
            sign = next((sign for sign in UNSAYABLE if sign in name), None)
            told = f"'{name}': {UNSAYABLE[sign]}" if sign else f"unknown modality '{name}'.{nearest(name, MODALITIES)}"
            problems.append(_problem(told, column))
        elif name in found:
            problems.append(_problem(f"'{name}' stands twice in one place; {IN_A_FILE}", column))
        found.append(name)
        start += len(word) + 1
    return tuple(found)


def _problem(message: str, offset: int) -> Problem:
    return Problem(message, "arrow line", 1, offset + 1)
