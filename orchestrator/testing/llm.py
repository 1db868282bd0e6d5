"""A scripted LLM in place of a bundle's own: it says what it is told to, and keeps what it was asked. No network.

    with ScriptedModel("A dog [image]", "It barks.") as llm:
        Flow.of("choose.yaml", bundle).run(text="Draw a dog.")
    llm.requests[0].turns

In what it says `[image]` is a whole signal of that modality, whose states follow from the script's place; everything
else is text, JSON of tool calls too. Replies are given in order, one a request; one more fails.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any

from orchestrator.engine import flow
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.store import Store
from orchestrator.errors import ModelError
from orchestrator.models import loading
from orchestrator.models.bundle import Bundle
from orchestrator.models.llm.signals import SignalTokens

if TYPE_CHECKING:
    from torch import Tensor

MARK = re.compile(r"\[(\w+)\]")
FIRST = 1_000_000  # the id of the first signal token; ids below are words


@dataclass(frozen=True)
class Asked:
    """A request: the dialogue as (role, segments), P_X as its modality in brackets, and the signals that it allowed."""

    turns: tuple[tuple[str, tuple[str, ...]], ...]
    signals: tuple[str, ...]


class ScriptedModel:
    """The LLM of every bundle that is run within its context, where nothing is known of earlier runs.

    `width` is d_llm: that of the bundle's projectors, where signals go through them. `counts` are the signal tokens of
    each modality, else those of the bundle.
    """

    def __init__(self, *replies: str, width: int = 8, counts: Mapping[str, int] | None = None) -> None:
        self.replies, self.dim, self.counts = list(replies), width, counts
        self.requests: list[Asked] = []
        self.signals = SignalTokens({})
        self._words = [""]  # the first pads shorter replies of a batch
        self._turns: list[Any] = []

    def __enter__(self) -> ScriptedModel:
        self._before = (loading.LOADERS["llm"], flow.STORE, flow.POOL)
        loading.LOADERS["llm"], flow.STORE, flow.POOL = self._load, Store(), ModelPool()  # what is real stays apart
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        loading.LOADERS["llm"], flow.STORE, flow.POOL = self._before

    def _load(self, bundle: Bundle, part: str, device: str, dtype: Any) -> ScriptedModel:
        counts = self.counts or {m: spec.count for m, spec in bundle.spec.signals.items()}
        starts = {m: FIRST + sum(list(counts.values())[:i]) for i, m in enumerate(counts)}
        self.signals = SignalTokens({m: range(starts[m], starts[m] + count) for m, count in counts.items()})
        return self

    # --- what the reason stage asks of an LLM

    def prompt(self, segments: Sequence[Any]) -> Tensor:
        """One turn of the user."""
        return self.embed_dialogues([self.encode([("user", segments)])])[0]

    def encode(self, turns: Sequence[tuple[str, Sequence[Any]]]) -> Any:
        """Any dialogue."""
        return tuple((role, tuple(_shown(segment) for segment in said)) for role, said in turns)

    def fits(self, turns: Sequence[tuple[str, Sequence[Any]]], new: int) -> bool:
        """Any dialogue is short enough."""
        return True

    def embed_dialogues(self, dialogues: Sequence[Any]) -> list[Tensor]:
        """Noted for `generate`, which is asked next."""
        import torch

        self._turns += dialogues
        return [torch.zeros(1, self.dim) for _ in dialogues]

    def generate(
        self,
        prompts: Sequence[Tensor],
        *,
        signals: Sequence[str] = (),
        on_token: Callable[[Tensor], None] | None = None,
        **options: Any,
    ) -> list[Tensor]:
        """The next replies. Raises ModelError where the script is at its end, or has a signal that is not allowed."""
        import torch

        made = []
        for turns in self._turns[-len(prompts) :]:
            self.requests.append(Asked(turns, tuple(signals)))
            if not self.replies:
                raise ModelError(f"the script is at its end, after {len(self.requests) - 1} replies")
            made.append(torch.tensor(self._ids(self.replies.pop(0), (*signals, *options.get("require", ())))))
        if on_token:
            on_token(torch.nn.utils.rnn.pad_sequence(made, batch_first=True))
        return made

    def read(self, ids: Tensor) -> tuple[str, Any]:
        """The text and the spans of a reply."""
        return self.signals.read(ids.tolist(), lambda part: "".join(self._words[i] for i in part))

    def embed(self, ids: Tensor) -> Tensor:
        """Ids [m] -> embeddings [m, d], which follow from the ids."""
        import torch

        return torch.sin(ids[:, None] * torch.arange(1, self.dim + 1) * 0.1)

    def states(self, prompts: Sequence[Tensor], replies: Sequence[Tensor], past: Any = None) -> list[Tensor]:
        """Hidden states [m, d] of replies, as far from zero as a layer norm's."""
        return [reply.roll(1, 0) + reply for reply in replies]

    def _ids(self, said: str, allowed: Sequence[str]) -> list[int]:
        ids: list[int] = []
        for i, piece in enumerate(MARK.split(said)):
            if i % 2 and piece in self.signals.ids:
                if piece not in allowed:
                    raise ModelError(f"the script has a signal for {piece}, but allowed are: {', '.join(allowed)}")
                ids += self.signals.ids[piece]
            elif piece:
                word = f"[{piece}]" if i % 2 else piece
                self._words += [word] if word not in self._words else []
                ids.append(self._words.index(word))
        return ids


def _shown(segment: Any) -> str:
    """A segment of a turn as text: P_X and calls by their modality."""
    if isinstance(segment, str):
        return segment
    return f"[{segment[0] if isinstance(segment, tuple) else segment.name}]"
