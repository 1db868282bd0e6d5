"""reason: P_X and F_T -> t and S_X."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from orchestrator.errors import InputError
from orchestrator.models.llm.calls import as_tool
from orchestrator.models.llm.remote import RemoteLLM
from orchestrator.nodes import speech
from orchestrator.nodes.ports import SHOWN, Features, Port, PortType, Prompts, Reply, Tool, Turn
from orchestrator.nodes.sight import unseen
from orchestrator.nodes.stage import Config, Context, Inputs, Learned, Outputs, Progress, Remembers, Stage
from orchestrator.nodes.tool import flat
from orchestrator.prompts import template

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.bundle import Bundle
    from orchestrator.models.llm.dialogue import Dialogue
    from orchestrator.models.llm.model import LanguageModel
    from orchestrator.models.llm.past import Past


DIALOGUES = ("dialogue", "rejected")  # of a request in training


class ReasonConfig(Config):
    """How the LLM is asked."""

    template: str = Field("{prompt}", description="A template of prompts/ by name, or text with {prompt} in it.")
    max_new_tokens: int = Field(96, ge=1, description="The longest reply, in tokens, signals included.")
    temperature: float = Field(0.0, ge=0, description="0 takes the likeliest token; above it, samples with the seed.")
    signals: tuple[str, ...] | None = Field(None, description="Signals it may emit; default: those that the flow uses.")
    require: tuple[str, ...] = Field((), description="Signals it must emit before it ends.")


class Reason(Stage):
    """Let the LLM reply to media and text: t, S_X = LLM(P_X, F_T), equation 3 of the survey.

    Its objectives are `txt_gen`, L_txt-gen of equation 2, and `dpo`, preferences.
    """

    name: ClassVar[str] = "reason"
    config_class = ReasonConfig
    inputs: ClassVar[Mapping[str, Port]] = {
        "prompt": Port(PortType("Media", "text"), "F_T: what is asked.", optional=True),
        "media": SHOWN,
        "history": Port(PortType("History"), "The dialogue before; of an agent, all of it.", optional=True),
        "tools": Port(PortType("Tool"), "What it may call beside media.", many=True, optional=True),
    }
    outputs: ClassVar[Mapping[str, Port]] = {"reply": Port(PortType("Reply"), "t and S_X: text with signals.")}

    @property
    def random(self) -> bool:  # type: ignore[override]
        return bool(self.config.temperature > 0)

    def for_flow(self, signals: frozenset[str]) -> Stage:
        if self.config.signals is not None:
            return self
        return Reason(self.config.model_copy(update={"signals": tuple(sorted(signals))}))

    def misfits(self, bundle: Bundle, types: Mapping[str, PortType]) -> list[str]:
        if problems := list(unseen(bundle, types)):
            return problems
        if bundle.remote:  # whose signals are tool calls, for which nothing needs to be there
            return []
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
        """One left-padded batch (one by one when sampling), one reply a request. A remote LLM is asked one by one. A
        dialogue that the engine remembers is read on from where the LLM was."""
        llm: LanguageModel | RemoteLLM = context.load("llm")
        if isinstance(llm, RemoteLLM):
            return [{"reply": self._asked(llm, i, request, context)} for i, request in enumerate(batch)]
        told = [self.prompt(request, llm) for request in batch]
        prompts, past = [prompt for prompt, _ in told], _past(batch, context)
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
                past=past,
                **options,
            )
        made = self._read(llm, prompts, replies, past)
        return [{"reply": replace(reply, forgot=left)} for reply, (_, left) in zip(made, told, strict=True)]

    def learn(self, batch: Sequence[Inputs], context: Context, objectives: Mapping[str, Mapping[str, Any]]) -> Learned:
        """The replies that the assistant should give, of each request's `dialogue`, with the states that the LLM has at
        their tokens; L_txt-gen (`txt_gen`) and preferences (`dpo`: requests bring a `rejected` dialogue too).

        A dialogue is turns of (role, segments); a segment is a text, Prompts, or in the assistant's turns a `Call`. A
        request that brings the `targets` of its dialogue brings its Prompts as `media`, in order. One forward of the
        LLM gives all that is asked for; without objectives, only dialogues with signals go in.
        """
        from orchestrator.models.llm import learning

        llm: LanguageModel = context.load("llm")
        dialogues = [self.dialogue(request, llm) for request in batch]
        worse = [self.dialogue(request, llm, "rejected") for request in batch if "dpo" in objectives]
        ids = [dialogue.ids[dialogue.said] for dialogue in dialogues]
        texts = [llm.read(said) for said in ids]
        needed = [i for i, (_, spans) in enumerate(texts) if spans or objectives]
        reading = learning.read(llm, [*(dialogues[i] for i in needed), *worse]) if needed else None
        found = {i: reading.said(place) for place, i in enumerate(needed) if reading and texts[i][1]}
        replies = [Reply(text, ids[i], spans, *found.get(i, ())) for i, (text, spans) in enumerate(texts)]
        outputs: list[Outputs] = [{"reply": reply} for reply in replies]
        if not objectives or not reading:
            return Learned(outputs)
        return Learned(outputs, *learning.losses(llm, reading, len(dialogues), objectives))

    def targets(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """`script`: the tokens of each request's `dialogue`, and of the `rejected` one if it has one. Features may
        stand in it for what will be projected from them."""
        llm: LanguageModel = context.load("llm")
        return [{"script": {n: self.dialogue(request, llm, n) for n in DIALOGUES if n in request}} for request in batch]

    def dialogue(self, request: Inputs, llm: LanguageModel, name: str = "dialogue") -> Dialogue:
        """A request's dialogue as the LLM reads it. Raises InputError if there is none, nobody replies, the template
        does not take its turns, or it is longer than the context."""
        given = request.get("script", request).get(name)
        if not given:
            raise InputError(f"the sample has no {name}: turns that end with the assistant's are to be learnt")
        if "script" in request:
            soft = [tokens for prompts in request["media"] for _, tokens in _parts(prompts)]
            return llm.checked(given.filled(soft))
        turns = [(role, [part for segment in said for part in _parts(segment)]) for role, said in given]
        if turns[-1][0] != "assistant":
            raise InputError(f"the sample's {name} ends with the {turns[-1][0]}, not with the assistant's reply")
        return llm.encode(turns)

    def prompt(self, request: Inputs, llm: LanguageModel) -> tuple[Tensor, int]:
        """The embeddings [n, d_llm] of a request: the dialogue so far, and in the last turn media first, then the text;
        and how many of the oldest turns are left out, so that there is room for a reply. Raises InputError if it is
        empty."""
        if "history" not in request and "tools" not in request:
            media = [part for prompts in request.get("media", ()) for part in _parts(prompts)]
            return llm.prompt([*media, self._text(request, bool(media))]), 0
        said, tools = self._said(request), flat(request.get("tools", ()))
        *longer, least = speech.shorter(said)
        room = self.config.max_new_tokens
        kept = next((turns for turns in longer if llm.fits(_spoken(turns, tools), room)), least)
        return llm.embed_dialogues([llm.encode(_spoken(kept, tools))])[0], len(said) - len(kept)

    def _said(self, request: Inputs) -> list[Turn]:
        """The dialogue that the reply is to."""
        before = list(request["history"].turns) if "history" in request else []
        seen = tuple(request.get("media", ()))
        if before and not seen and "prompt" not in request:
            if before[-1].role == "assistant":
                raise InputError("the dialogue ends with the assistant's turn: give a prompt or media to reply to")
            return before
        return [*before, Turn("user", self._text(request, bool(seen)), seen=seen)]

    def _text(self, request: Inputs, media: bool) -> str:
        """What is asked, in the template. Raises InputError if that is nothing, and there are no media."""
        said = template(self.config.template)
        values = {"prompt": request["prompt"].text} if "prompt" in request else dict.fromkeys(said.variables, "")
        text = said.render(**values)
        blank = not (request["prompt"].text if "prompt" in request else text).strip()
        if blank and not media:
            raise InputError("the prompt is empty: write what you want, e.g. `a guitar on a blue ground`")
        return text

    def _asked(self, llm: RemoteLLM, i: int, request: Inputs, context: Context) -> Reply:
        """The reply of a remote LLM: its text, and its tool calls."""
        config = self.config

        def tell(text: str, pieces: int) -> None:
            context.report(i, Progress("tokens", pieces, config.max_new_tokens, text=text))

        settings = {"max_tokens": config.max_new_tokens, "temperature": config.temperature}
        dice = {"seed": context.seeds[i]} if self.random else {}
        tools = [as_tool(t.name, t.description, json.loads(t.schema)) for t in flat(request.get("tools", ()))]
        messages = speech.messages(self._said(request))
        said = llm.ask(messages, config.signals or (), config.require, settings | dice, tell, tools)
        return Reply(said.text, calls=said.tool_calls(), tokens=said.pieces)

    def _read(
        self, llm: LanguageModel, prompts: Sequence[Tensor], replies: Sequence[Tensor], past: Past | None
    ) -> list[Reply]:
        """Replies as values of the port; one more forward gives the states of those with signals."""
        read = [llm.read(ids) for ids in replies]
        asked = [i for i, (_, spans) in enumerate(read) if spans]
        embeds = {i: llm.embed(replies[i]) for i in asked}
        states = llm.states([prompts[i] for i in asked], list(embeds.values()), past) if asked else []
        at = dict(zip(asked, states, strict=True))
        return [
            Reply(text, replies[i], spans, at.get(i), embeds.get(i), tokens=len(replies[i]))
            for i, (text, spans) in enumerate(read)
        ]


def _past(batch: Sequence[Inputs], context: Context) -> Past | None:
    """What the LLM has read of the dialogue that the only request goes on with."""
    return context.past if len(batch) == 1 and isinstance(context, Remembers) else None


def _spoken(said: Sequence[Turn], tools: Sequence[Tool]) -> list[speech.Spoken]:
    """Turns as the LLM's chat takes them."""
    turns = speech.turns(said, tools)
    return [(role, [part for segment in segments for part in _parts(segment)]) for role, segments in turns]


def _parts(segment: Any) -> list[Any]:
    """A segment as the LLM takes it: Prompts are (modality, P_X) of each picture, Features places for what will be."""
    if isinstance(segment, Features):
        return [(segment.modality, segment.tokens.new_empty(0))] * segment.frames
    return [(segment.modality, f) for f in _frames(segment)] if isinstance(segment, Prompts) else [segment]


def _frames(prompts: Prompts) -> Sequence[Tensor]:
    """The soft prompts of each picture: a video is so many pictures."""
    frames: Sequence[Tensor] = prompts.tokens.chunk(prompts.frames)
    return frames
