"""What is asked of a model in an evaluation, and what is expected of it: dialogues of one question and one answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from orchestrator.errors import InputError
from orchestrator.train.data.report import FORM, Report
from orchestrator.train.data.sample import MediaRef, Sample

TEXT = "text"


@dataclass(frozen=True)
class Asked:
    """One request. `number` counts the samples of a seed: it tells the noise that a generator starts from."""

    number: int
    sample: Sample
    text: str
    media: tuple[MediaRef, ...]
    references: tuple[str, ...]
    expected: tuple[str, ...]  # the modalities of the media that the answer has, in order

    @property
    def where(self) -> str:
        """The place of its sample."""
        return self.sample.where

    @property
    def labels(self) -> Mapping[str, tuple[str, ...]]:
        """What is known of the medium: group -> words, any of which is right."""
        return self.sample.labels

    @property
    def inputs(self) -> tuple[str, ...]:
        """The modalities that it brings, text last."""
        return (*(ref.modality for ref in self.media), *([TEXT] if self.text else []))

    @property
    def seen(self) -> str:
        """What the model sees: `image`, `image+audio`; `text` where there is nothing but text."""
        return "+".join(ref.modality for ref in self.media) or TEXT

    @property
    def route(self) -> str:
        """What the model is to answer with: `video`, `image+audio`; `text` where nothing but text."""
        return "+".join(sorted(set(self.expected))) or TEXT

    def values(self, takes: Mapping[str, str]) -> dict[str, Any]:
        """Its values for the inputs (name -> modality) of a flow. Raises InputError."""
        given = [(ref.modality, ref) for ref in self.media] + ([(TEXT, self.text)] if self.text else [])
        free = dict(takes)
        values: dict[str, Any] = {}
        for modality, value in given:
            name = next((n for n, m in free.items() if m == modality), None)
            if name is None:
                count = Counter(takes.values())[modality]
                raise InputError(f"{self.where}: it brings {self.seen}; the flow takes {count or 'no'} {modality}")
            del free[name]
            values[name] = value.load() if isinstance(value, MediaRef) else value
        return values


def asked(number: int, sample: Sample) -> Asked:
    """The request of a sample. Raises InputError for a sample that is no question with an answer."""
    roles = tuple(turn.role for turn in sample.turns)
    if roles != ("user", "assistant"):
        raise InputError(f"{sample.where}: its turns are {', '.join(roles)}; an evaluation takes user, assistant")
    question, answer = sample.turns
    text = question.text.strip()
    if not (text or question.media):
        raise InputError(f"{sample.where}: the question is empty")
    said = (answer.text.strip(),) if answer.text.strip() else ()
    return Asked(number, sample, text, question.media, said, tuple(ref.modality for ref in answer.media))


def collect(samples: Iterable[Sample], report: Report, merges: bool, limit: int | None = None) -> list[Asked]:
    """The requests of samples, at most `limit`. With `merges`, those that ask the same become one with all their
    references: COCO has five captions a picture. What is no request is reported."""
    found: dict[Any, Asked] = {}
    for sample in samples:
        try:
            request = asked(len(found), sample)
        except InputError as error:
            report.add(sample.where, str(error), FORM)
            continue
        key = _key(request) if merges else request.number
        if key in found:
            found[key] = replace(found[key], references=(*found[key].references, *request.references))
        elif len(found) == limit:
            break
        else:
            found[key] = request
    return list(found.values())


def _key(request: Asked) -> tuple[Any, ...]:
    """What a request asks; objects in memory are the same only if they are one."""
    sources = [m.source if isinstance(m.source, (str, Path, bytes)) else id(m.source) for m in request.media]
    return (request.text, *(ref.modality for ref in request.media), *sources)


def by_inputs(requests: Iterable[Asked]) -> dict[tuple[str, ...], list[Asked]]:
    """Requests that the same flow can take, batched together."""
    groups: dict[tuple[str, ...], list[Asked]] = {}
    for request in requests:
        groups.setdefault(request.inputs, []).append(request)
    return groups


def batches(requests: Sequence[Asked], size: int) -> list[Sequence[Asked]]:
    """Pieces of at most `size`."""
    return [requests[i : i + size] for i in range(0, len(requests), size)]
