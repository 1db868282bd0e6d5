"""reason: P_X and F_T -> t and S_X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from orchestrator.errors import InputError
from orchestrator.nodes.ports import Port, PortType, Reply
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Progress, Stage
from orchestrator.prompts import template

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.bundle import Bundle
    from orchestrator.models.llm import LanguageModel


class ReasonConfig(Config):
    """How the LLM is asked."""

    template: str = Field("{prompt}", description="A template of prompts/ by name, or text with {prompt} in it.")
    max_new_tokens: int = Field(96, ge=1, description="The longest reply, in tokens, signals included.")
    temperature: float = Field(0.0, ge=0, description="0 takes the likeliest token; above it, samples with the seed.")
    signals: tuple[str, ...] | None = Field(None, description="Signals it may emit; default: those that the flow uses.")
    require: tuple[str, ...] = Field((), description="Signals it must emit before it ends.")


class Reason(Stage):
    """Let the LLM reply to media and text: t, S_X = LLM(P_X, F_T), equation 3 of the survey.

    Its objective is L_txt-gen, equation 2.
    """

    name: ClassVar[str] = "reason"
    config_class = ReasonConfig
    inputs: ClassVar[Mapping[str, Port]] = {
        "prompt": Port(PortType("Media", "text"), "F_T: what is asked.", optional=True),
        "media": Port(PortType("Prompts"), "P_X: soft prompts, before the text.", many=True, optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {"reply": Port(PortType("Reply"), "t and S_X: text with signals.")}

    @property
    def random(self) -> bool:  # type: ignore[override]
        return bool(self.config.temperature > 0)

    def for_flow(self, signals: frozenset[str]) -> Stage:
        if self.config.signals is not None:
            return self
        return Reason(self.config.model_copy(update={"signals": tuple(sorted(signals))}))

    def misfits(self, bundle: Bundle) -> list[str]:
        wanted = dict.fromkeys((*(self.config.signals or ()), *self.config.require))
        has = ", ".join(bundle.spec.signals) or "none"
        unknown = [modality for modality in wanted if modality not in bundle.spec.signals]
        if unknown:
            return [f"bundle '{bundle.name}' has no signal for {modality}; it has: {has}" for modality in unknown]
        needed = sum(bundle.spec.signals[modality].count for modality in dict.fromkeys(self.config.require))
        if needed > self.config.max_new_tokens:
            return [f"max_new_tokens is {self.config.max_new_tokens}, but the required signals take {needed} tokens"]
        return []

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        return ("llm",)

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """One left-padded batch (one by one when sampling), one reply a request."""
        llm: LanguageModel = context.load("llm")
        prompts = [self.prompt(request, llm) for request in batch]
        options = self.config.model_dump(include={"max_new_tokens", "temperature", "require"})

        def tell(rows: range, ids: Tensor) -> None:
            for i, row in zip(rows, ids, strict=True):
                text, _ = llm.read(row)
                context.report(i, Progress("tokens", len(row), self.config.max_new_tokens, text=text))

        every = range(len(batch))
        replies: list[Tensor] = []
        for rows in [range(i, i + 1) for i in every] if self.random else [every]:  # who samples has a seed of its own
            replies += llm.generate(
                [prompts[i] for i in rows],
                signals=self.config.signals or (),
                seed=context.seeds[rows[0]],
                on_token=partial(tell, rows),
                **options,
            )
        return self._read(llm, prompts, replies)

    def teach(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """The replies that the LLM should give: each request's `target` (ids [m] with the end token) in place of what
        it would write, with the states that it has at their signals."""
        llm: LanguageModel = context.load("llm")
        prompts = [self.prompt(request, llm) for request in batch]
        return self._read(llm, prompts, [request["target"][:-1] for request in batch])

    def loss(self, batch: Sequence[Inputs], context: Context) -> Tensor:
        """L_txt-gen, equation 2. Each request brings its `target`: ids [m] with the end token."""
        llm: LanguageModel = context.load("llm")
        prompts = [self.prompt(request, llm) for request in batch]
        return llm.loss(prompts, [request["target"] for request in batch])

    def prompt(self, request: Inputs, llm: LanguageModel) -> Tensor:
        """The embeddings [n, d_llm] of a request: media first, then the text. Raises InputError if it is empty."""
        said = template(self.config.template)
        values = {"prompt": request["prompt"].text} if "prompt" in request else dict.fromkeys(said.variables, "")
        text = said.render(**values)
        media = [(p.modality, frame) for p in request.get("media", ()) for frame in _frames(p)]
        blank = not (request["prompt"].text if "prompt" in request else text).strip()
        if blank and not media:
            raise InputError("the prompt is empty: write what you want, e.g. `a guitar on a blue ground`")
        return llm.prompt([*media, text])

    def _read(self, llm: LanguageModel, prompts: Sequence[Tensor], replies: Sequence[Tensor]) -> list[Outputs]:
        """Replies as values of the port; one more forward gives the states of those with signals."""
        read = [llm.read(ids) for ids in replies]
        asked = [i for i, (_, spans) in enumerate(read) if spans]
        embeds = {i: llm.embed(replies[i]) for i in asked}
        states = llm.states([prompts[i] for i in asked], list(embeds.values())) if asked else []
        at = dict(zip(asked, states, strict=True))
        return [
            {"reply": Reply(text, replies[i], spans, at.get(i), embeds.get(i))} for i, (text, spans) in enumerate(read)
        ]


def _frames(prompts: Any) -> Sequence[Tensor]:
    """The soft prompts of each picture: a video is so many pictures."""
    frames: Sequence[Tensor] = prompts.tokens.chunk(prompts.frames)
    return frames
