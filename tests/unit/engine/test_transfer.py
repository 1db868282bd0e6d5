"""Values between devices: `meta` stands for another one."""

from __future__ import annotations

import torch

from orchestrator.engine.transfer import moved
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import Span
from orchestrator.models.placement.memory import Spot
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Condition, Features, Reply, Signals

META = Spot("meta", "float16")


def test_every_tensor_of_a_value() -> None:
    state, ids = torch.zeros(3, 4), torch.zeros(3, dtype=torch.long)
    span = Span("video", 0, 3, 0, "a dog")
    values = {
        "features": Features("image", state),
        "reply": Reply("a dog", ids, (span,), state, state),
        "signal": Signals("video", (Call("video", "a dog", 0, state, None),)),
        "condition": Condition("video", ({"prompt_embeds": state, "attention_mask": ids},), ("a dog",)),
        "several": (Features("image", state), Features("image", state)),
    }
    found = moved(values, META)
    tensors = [
        found["features"].tokens,
        found["reply"].ids,
        found["reply"].states,
        found["signal"].items[0].states,
        *found["condition"].items[0].values(),
        found["several"][1].tokens,
    ]
    assert {tensor.device.type for tensor in tensors} == {"meta"}
    assert [tensor.dtype for tensor in tensors if tensor.is_floating_point()] == [torch.float16] * 5
    assert found["reply"].ids.dtype == torch.long
    assert (found["reply"].spans, found["reply"].text) == ((span,), "a dog")
    assert found["condition"].captions == ("a dog",)


def test_what_is_there_is_not_copied() -> None:
    features, text = Features("image", torch.zeros(2)), Media.load("hi", "text")
    found = moved({"features": features, "text": text}, Spot())
    assert found["features"].tokens is features.tokens
    assert found["text"] is text
