"""Signal tokens, and how a reply is read.

A signal of modality X is the run of X's tokens in order: `[VID0] [VID1] ... [VID23]`. Text outside signals is the
reply; the text right before a signal is its caption. No torch here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BundleError

if TYPE_CHECKING:
    from orchestrator.models.bundle import SignalSpec


@dataclass(frozen=True)
class Span:
    """One signal within a reply: tokens `start` to `stop` of its ids; `place` is its offset in the reply's text."""

    modality: str
    start: int
    stop: int
    place: int
    caption: str


def token_names(specs: Mapping[str, SignalSpec]) -> dict[str, list[str]]:
    """The names of each modality's tokens, in order."""
    return {modality: [spec.token.format(i) for i in range(spec.count)] for modality, spec in specs.items()}


def add_tokens(specs: Mapping[str, SignalSpec], tokenizer: Any) -> dict[str, int]:
    """Add the signal tokens that a tokenizer lacks, in the order of the bundle: name -> id of these."""
    vocabulary = tokenizer.get_vocab()
    missing = [name for names in token_names(specs).values() for name in names if name not in vocabulary]
    if missing:
        tokenizer.add_special_tokens({"additional_special_tokens": missing}, replace_extra_special_tokens=False)
    return {name: tokenizer.convert_tokens_to_ids(name) for name in missing}


class SignalTokens:
    """The signal tokens of a bundle: modality -> token ids, in order."""

    def __init__(self, ids: Mapping[str, Sequence[int]]) -> None:
        self.ids = {modality: tuple(tokens) for modality, tokens in ids.items()}
        # token id -> (modality, index)
        self.where = {token: (m, i) for m, tokens in self.ids.items() for i, token in enumerate(tokens)}

    @classmethod
    def of(cls, specs: Mapping[str, SignalSpec], tokenizer: Any) -> SignalTokens:
        """Look the tokens up. Raises BundleError naming those that the tokenizer does not have."""
        names = token_names(specs)
        vocabulary = tokenizer.get_vocab()
        missing = [name for tokens in names.values() for name in tokens if name not in vocabulary]
        if missing:
            raise BundleError(f"the tokenizer lacks {len(missing)} signal tokens: {', '.join(missing[:4])} ...")
        return cls({m: [vocabulary[name] for name in tokens] for m, tokens in names.items()})

    def runs(self, ids: Sequence[int]) -> list[tuple[str, int, int]]:
        """Complete signals as (modality, start, stop). Tokens of broken ones belong to nothing."""
        found, i = [], 0
        while i < len(ids):
            modality, index = self.where.get(ids[i], ("", -1))
            run = self.ids[modality] if index == 0 else ()
            if run and tuple(ids[i : i + len(run)]) == run:
                found.append((modality, i, i + len(run)))
                i += len(run)
            else:
                i += 1
        return found

    def read(self, ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> tuple[str, tuple[Span, ...]]:
        """The reply's text without signals, and the spans of its signals."""
        text, begin = "", 0
        spans: list[Span] = []
        for modality, start, stop in self.runs(ids):
            said = self._text(ids[begin:start], decode)
            text = (text + said).lstrip()
            caption = said.strip() or (spans[-1].caption if spans else "")  # `a dog [IMG..] [VID..]`: both are the dog
            spans.append(Span(modality, start, stop, len(text), caption))
            begin = stop
        text = (text + self._text(ids[begin:], decode)).strip()
        return text, tuple(replace(span, place=min(span.place, len(text))) for span in spans)

    def _text(self, ids: Sequence[int], decode: Callable[[Sequence[int]], str]) -> str:
        return decode([token for token in ids if token not in self.where])
