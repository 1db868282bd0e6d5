"""How the LLM is spoken to: turns of texts, soft prompts and calls -> one row of token ids with labels.

The chat template is any that takes a role and a content. It is rendered with marks in place of what is said, so that
nobody can say special tokens, and so that it is known which tokens are the assistant's. n tokens, d the LLM's width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any

import torch
from jinja2 import TemplateError

from orchestrator.errors import BundleError, InputError
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import SignalTokens

if TYPE_CHECKING:
    from torch import Tensor

Segment = Any  # a text, (modality, P_X [k, d]), or in the assistant's turn a Call
Turn = tuple[str, Sequence[Segment]]  # (system, user or assistant; what is said)
ASSISTANT = "assistant"
UNLABELLED = -100
MARK = "\ue000{}\ue001"  # stands for segment i while the chat template is rendered (private use characters)
MARKS = re.compile("\ue000(\\d+)\ue001")


@dataclass(frozen=True)
class Dialogue:
    """A dialogue as the LLM reads it: `ids` [n], with the soft prompts `soft` (start, [k, d]) in place of some.

    `labels` [n] are the ids that the assistant writes, its end tokens included, and -100 elsewhere; `said` [m] are the
    positions of what it says, without end tokens; `answer` is where the reply that it ends with begins.
    """

    ids: Tensor
    labels: Tensor
    said: Tensor
    soft: tuple[tuple[int, Tensor], ...]
    answer: int

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def labelled(self) -> Tensor:
        """The positions of the labels, [l]."""
        return (self.labels != UNLABELLED).nonzero().squeeze(1)

    def filled(self, soft: Sequence[Tensor]) -> Dialogue:
        """The same dialogue with soft prompts [k, d] in the places of its own, which were empty, in order."""
        starts = torch.tensor([start for start, _ in self.soft], dtype=torch.long)
        lengths = torch.tensor([len(tokens) for tokens in soft], dtype=torch.long)

        def moved(places: Tensor) -> Tensor:
            return places + ((starts <= places[..., None]) * lengths).sum(-1)

        at = moved(torch.arange(len(self)))
        size = len(self) + int(lengths.sum())
        ids, labels = torch.zeros(size, dtype=torch.long), torch.full((size,), UNLABELLED)
        ids[at], labels[at] = self.ids, self.labels
        first = (starts + lengths.cumsum(0) - lengths).tolist()
        placed = tuple(zip(first, soft, strict=True))
        return Dialogue(ids, labels, moved(self.said), placed, int(moved(torch.tensor(self.answer))))

    def embed(self, embedded: Tensor) -> Tensor:
        """Put the soft prompts in: embeddings of the ids [n, d] -> [n, d]."""
        pieces, done = [], 0
        for start, tokens in self.soft:
            pieces += [embedded[done:start], tokens.to(embedded.device, embedded.dtype)]
            done = start + len(tokens)
        return torch.cat([*pieces, embedded[done:]])


@dataclass
class _Row:
    """A dialogue while it is written."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    said: list[int] = field(default_factory=list)
    soft: list[tuple[int, Tensor]] = field(default_factory=list)

    def write(self, ids: Sequence[int], label: bool = False) -> None:
        self.ids += ids
        self.labels += ids if label else [UNLABELLED] * len(ids)

    def say(self, ids: Sequence[int]) -> None:
        self.said += range(len(self.ids), len(self.ids) + len(ids))
        self.write(ids, label=True)

    def show(self, tokens: Tensor) -> None:
        self.soft.append((len(self.ids), tokens))
        self.write([0] * len(tokens))

    def dialogue(self, answer: int) -> Dialogue:
        ids, labels, said = (torch.tensor(row, dtype=torch.long) for row in (self.ids, self.labels, self.said))
        return Dialogue(ids, labels, said, tuple(self.soft), answer)


class Chat:
    """A tokenizer with its chat template (`template`, or its own), the text around soft prompts, the signal tokens and
    the tokens that end a reply."""

    def __init__(
        self,
        tokenizer: Any,
        template: str | None,
        media: Mapping[str, str],
        signals: SignalTokens,
        ends: Sequence[int],
    ) -> None:
        self.tokenizer, self.template, self.media = tokenizer, template, media
        self.signals, self.ends = signals, ends
        self._special: dict[str, list[int]] = {}  # the ids of the template's pieces, which are few

    def encode(self, turns: Sequence[Turn]) -> Dialogue:
        """A dialogue as the LLM reads it; one that ends with another than the assistant is a prompt for its reply.

        The last reply stands where `generate` would write it and ends as the template ends replies; the turns before it
        are as the template writes what is past. Raises InputError if the template does not take these turns, or
        somebody calls who can't.
        """
        turns = [(role, _joined(said)) for role, said in turns]
        segments = [(role, segment) for role, said in turns for segment in said]
        number = count()
        marked = [(role, "".join(self._marked(next(number), s) for s in said)) for role, said in turns]
        replied = bool(turns) and turns[-1][0] == ASSISTANT
        text = self._render(marked[:-1] if replied else marked) + (marked[-1][1] if replied else "")
        self._check(turns, text)
        return self._write(text, segments, len(turns[-1][1]) if replied else None)

    def _write(self, text: str, segments: Sequence[tuple[str, Segment]], last: int | None) -> Dialogue:
        """`last` segments are those of the reply that the dialogue ends with, if it does."""
        row, role, answer = _Row(), "", None
        for i, piece in enumerate(MARKS.split(text)):  # template text, index, template text, index, ...
            if i % 2:
                role, segment = segments[int(piece)]
                if last and int(piece) == len(segments) - last:
                    answer = len(row.ids)
                self._say(row, segment, role)
            else:
                ids = self.ids(piece, special=True)
                ended = self._end(ids) if role == ASSISTANT else 0
                row.write(ids[:ended], label=True)
                row.write(ids[ended:])
        answer = len(row.ids) if answer is None else answer
        if last is not None:
            row.write([self.closing], label=True)
        return row.dialogue(answer)

    def _say(self, row: _Row, segment: Segment, role: str) -> None:
        if isinstance(segment, tuple):
            row.show(segment[1])
            return
        ids = self.signals.ids[segment.name] if isinstance(segment, Call) else self.ids(segment)
        (row.say if role == ASSISTANT else row.write)(ids)

    def ids(self, text: str, special: bool = False) -> list[int]:
        """The ids of a text. What somebody says can't smuggle in special tokens: they count only where `special`."""
        if special and text in self._special:
            return self._special[text]
        found: list[int] = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not special)["input_ids"]
        if special:
            self._special[text] = found
        return found

    @cached_property
    def closing(self) -> int:
        """The token that ends a reply: the one that the template writes there, else the LLM's first."""
        said = [MARK.format(i) for i in range(2)]
        text = self._render([("user", said[0]), (ASSISTANT, said[1])], reply=False)
        after = self.ids(text.rpartition(said[1])[2], special=True)
        return next((token for token in after if token in self.ends), self.ends[0])

    def _end(self, ids: Sequence[int]) -> int:
        """How many tokens after a reply belong to its end: blanks and an end token, or none."""
        for i, token in enumerate(ids):
            if token in self.ends:
                return i + 1
            if self.tokenizer.decode([token]).strip():
                break
        return 0

    def _marked(self, index: int, segment: Segment) -> str:
        wrap = self.media.get(segment[0], "{}") if isinstance(segment, tuple) else "{}"
        return wrap.format(MARK.format(index))

    def _render(self, turns: Sequence[tuple[str, str]], reply: bool = True) -> str:
        """The template's text for the turns; `reply` opens a turn of the assistant after them."""
        if self.template is None and self.tokenizer.chat_template is None:
            raise BundleError("the LLM's tokenizer has no chat template; name one: `llm: {chat: pocket}`")
        try:
            text: str = self.tokenizer.apply_chat_template(
                [{"role": role, "content": said} for role, said in turns],
                chat_template=self.template,
                tokenize=False,
                add_generation_prompt=reply,
            )
        except TemplateError as error:
            roles = ", ".join(role for role, _ in turns) or "none"
            how = "leave out what it has no place for, or name another template in the bundle: `llm: {chat: ...}`"
            raise InputError(f"the chat template does not take these turns ({roles}): {error}; {how}") from None
        return text

    def _check(self, turns: Sequence[Turn], text: str) -> None:
        """Raises InputError for all that is wrong with a dialogue."""
        problems = []
        number, found = count(), [int(index) for index in MARKS.findall(text)]
        for role, said in turns:
            marks = [next(number) for _ in said]
            if any(found.count(mark) != 1 for mark in marks):
                problems.append(f"the chat template has no place for a turn of the {role}: leave it out")
            for call in (segment for segment in said if isinstance(segment, Call)):
                if role != ASSISTANT:
                    problems.append(f"only the assistant calls for {call.name}, not the {role}")
                if call.name not in self.signals.ids:
                    has = ", ".join(self.signals.ids) or "none"
                    problems.append(f"the bundle has no signal for {call.name}, which is called for; it has: {has}")
        if problems:
            raise InputError("\n".join(dict.fromkeys(problems)))


def _joined(said: Sequence[Segment]) -> list[Segment]:
    """Texts that follow each other as one, since tokens may span them."""
    out: list[Segment] = []
    for segment in said:
        if out and isinstance(segment, str) and isinstance(out[-1], str):
            out[-1] += segment
        elif segment != "":
            out.append(segment)
    return out
