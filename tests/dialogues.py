"""Dialogues that are learnt, and what they cost: for tests of the LLM in train mode."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.model import LanguageModel
from orchestrator.nodes.ports import Prompts
from orchestrator.nodes.reason import Reason, ReasonConfig
from orchestrator.nodes.stage import Learned
from orchestrator.testing import StageContext
from tests import tiny


def soft(n: int = 4, seed: int = 5) -> Prompts:
    tokens = torch.randn(n, tiny.WIDTH, generator=torch.Generator().manual_seed(seed))
    return Prompts("image", tokens.requires_grad_())


def requests() -> list[dict[str, Any]]:
    """Dialogues of several turns and lengths: with signals, without, with pictures."""
    return [
        {"dialogue": [("user", [soft(), "describe"]), ("assistant", ["a dog"])]},
        {"dialogue": [("user", ["film it: a cat on grass moves left"]), ("assistant", ["the cat", Call("video")])]},
        {
            "dialogue": [
                ("user", [soft(8, 6), "what is this"]),
                ("assistant", ["a red cat", Call("image"), Call("video")]),
                ("user", ["the dog then"]),
                ("assistant", ["dog", Call("image"), "here"]),
            ]
        },
    ]


def learn(context: StageContext, batch: Sequence[Any], **objectives: Any) -> Learned:
    return Reason(ReasonConfig()).learn(batch, context, objectives)


def naive(llm: LanguageModel, batch: Sequence[Any], name: str = "dialogue") -> list[Tensor]:
    """-log p of the labelled tokens of each dialogue, one by one, by the model's own forward and its full head."""
    out = []
    for request in batch:
        turns = [
            (r, [(s.modality, s.tokens) if isinstance(s, Prompts) else s for s in said]) for r, said in request[name]
        ]
        dialogue = llm.encode(turns)
        logits = llm.model(inputs_embeds=llm.embed_dialogues([dialogue])[0][None]).logits[0]
        at = dialogue.labelled
        out.append(cross_entropy(logits[at - 1], dialogue.labels[at], reduction="none"))
    return out
