"""What the LLM learns from dialogues: L_txt-gen (equation 2) and preferences (DPO), from one forward of its decoder.

n tokens, l of them labelled, m said by the assistant, d the LLM's width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from torch.nn.functional import cross_entropy, logsigmoid

from orchestrator.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.llm.dialogue import Dialogue
    from orchestrator.models.llm.model import LanguageModel

POSITIONS = 128  # that the head runs on at a time: several tensors as large as the logits live while it does

# what some models do to their head's output, by the name of the setting
SCALES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "logit_scale": lambda logits, scale: logits * scale,  # Cohere
    "logits_scaling": lambda logits, scale: logits / scale,  # Granite
    "final_logit_softcapping": lambda logits, cap: torch.tanh(logits / cap) * cap,  # Gemma 2
}


class DpoOptions(BaseModel):
    """Options of the objective `dpo`."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    beta: float = Field(0.1, gt=0, description="How far the LLM may move from what it was: the less, the farther.")
    label_smoothing: float = Field(0.0, ge=0, lt=0.5, description="The share of preferences that are the wrong way.")
    sft: float = Field(0.0, ge=0, description="Weight of L_txt-gen of the preferred replies beside it.")


@dataclass(frozen=True)
class Reading:
    """What the LLM made of dialogues: their embeddings and the last layer's hidden states, [n, d] each."""

    model: Any
    dialogues: Sequence[Dialogue]
    embeds: list[Tensor]
    hidden: list[Tensor]

    def said(self, index: int) -> tuple[Tensor, Tensor]:
        """States AT the tokens that the assistant says, and their embeddings, [m, d] each."""
        places = self.dialogues[index].said.to(self.hidden[index].device)
        return self.hidden[index][places], self.embeds[index][places]

    def surprise(self) -> list[Tensor]:
        """-log p of the labelled tokens of each dialogue, [l]; the head runs on the states that predict them only."""
        places = [dialogue.labelled for dialogue in self.dialogues]
        labels = torch.cat([d.labels[at] for d, at in zip(self.dialogues, places, strict=True)])
        states = torch.cat([h[at.to(h.device) - 1] for h, at in zip(self.hidden, places, strict=True)])
        pieces = zip(states.split(POSITIONS), labels.to(states.device).split(POSITIONS), strict=True)
        found = [cross_entropy(_logits(self.model, some), wanted, reduction="none") for some, wanted in pieces]
        return list(torch.cat(found).split([len(at) for at in places]))


def read(llm: LanguageModel, dialogues: Sequence[Dialogue]) -> Reading:
    """One forward of the decoder over dialogues."""
    if llm.adapter is not None and torch.is_grad_enabled():
        llm.adapter.renormalise()
    embeds = llm.embed_dialogues(dialogues)
    return Reading(llm.model, dialogues, embeds, llm.hidden(embeds))


def losses(
    llm: LanguageModel, reading: Reading, batch: int, objectives: Mapping[str, Mapping[str, Any]]
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The objectives `txt_gen` (a mean over labelled tokens) and `dpo` (over pairs), and how many these are. The first
    `batch` dialogues of `reading` are what is learnt, any others the worse ones of `dpo`."""
    means: dict[str, Tensor] = {}
    counts: dict[str, int] = {}
    surprise = reading.surprise()
    if "txt_gen" in objectives:
        labelled = torch.cat(surprise[:batch])
        means["txt_gen"], counts["txt_gen"] = labelled.mean(), len(labelled)
    if "dpo" in objectives:
        options = _dpo_options(objectives["dpo"])
        means["dpo"], counts["dpo"] = dpo(reading, surprise, llm, options), batch
    return means, counts


def _dpo_options(options: Mapping[str, Any]) -> DpoOptions:
    try:
        return DpoOptions.model_validate(options)
    except ValidationError as error:
        lines = [f"objective dpo: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise UserError("\n".join(lines)) from None


def dpo(reading: Reading, surprise: Sequence[Tensor], llm: LanguageModel, options: DpoOptions) -> Tensor:
    """The loss of Direct Preference Optimization (arXiv 2305.18290, equation 7), with label smoothing: a mean of pairs.

    The first half of the dialogues are the preferred ones, the second half the others, in the same order; only their
    last replies count. The reference is the LLM without its adapter. Raises UserError if it has none.
    """
    if llm.adapter is None:
        raise UserError(
            "dpo compares the LLM with what it was, by disabling its adapter, but it has none; "
            "train one: `train: {llm.lora: {r: 32}}`"
        )
    with torch.no_grad(), llm.adapter.disabled():
        before = read(llm, reading.dialogues).surprise()
    replies = [slice(len(now) - _answered(d), None) for now, d in zip(surprise, reading.dialogues, strict=True)]
    gains = [(was[at] - now[at]).sum() for was, now, at in zip(before, surprise, replies, strict=True)]
    better, worse = torch.stack(gains).chunk(2)
    margin = options.beta * (better - worse)
    loss = -logsigmoid(margin) * (1 - options.label_smoothing) - logsigmoid(-margin) * options.label_smoothing
    if not options.sft:
        return loss.mean()
    preferred = list(zip(surprise, replies, strict=True))[: len(better)]
    return loss.mean() + options.sft * torch.cat([now[at] for now, at in preferred]).mean()


def _answered(dialogue: Dialogue) -> int:
    """How many of the labels belong to the last reply."""
    return int((dialogue.labelled >= dialogue.answer).sum())


def _logits(model: Any, states: Tensor) -> Tensor:
    """States [l, d] -> logits [l, vocabulary], in 32 bits."""
    logits: Tensor = model.get_output_embeddings()(states)
    config = model.config.get_text_config()
    for setting, scale in SCALES.items():
        if value := getattr(config, setting, None):
            logits = scale(logits, value)
    return logits.float()
