"""Signals that are followed: what the static form makes, and what a scripted LLM asks for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from orchestrator.engine.flow import Flow
from orchestrator.errors import FlowError, NodeError
from orchestrator.flow.spec import FlowSpec
from orchestrator.testing.llm import ScriptedModel
from tests import tiny

SETTINGS = {"steps": 2}
ACT = {"stage": "route", "reply": "$reason", "make": {"image": SETTINGS}}
STATIC = {
    "decode": {"stage": "decode", "reply": "$reason"},
    "output_project": {"stage": "output_project", "signal": "$decode.image"},
    "generate": {"stage": "generate", "condition": "$output_project", **SETTINGS},
}


@pytest.fixture
def llm() -> Iterator[ScriptedModel]:
    with ScriptedModel(width=tiny.WIDTH) as found:
        yield found


def flow(bundle: Path, nodes: dict[str, Any], outputs: dict[str, str], **reason: Any) -> Flow:
    ask = {"reason": {"stage": "reason", "prompt": "$text", **reason}}
    plain = {"flow": "acts", "inputs": {"text": "text"}, "nodes": ask | nodes, "outputs": outputs}
    return Flow(FlowSpec.model_validate(plain), bundle)


def test_a_branch_makes_what_the_static_form_makes(tiny_bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["One [image] and two [image] there."] * 2
    acts = flow(tiny_bundle, {"act": ACT}, {"text": "$act.text", "image": "$act.image"})
    static = flow(tiny_bundle, STATIC, {"text": "$decode.text", "image": "$generate"})
    made, wanted = acts.run(text="go", seed=3), static.run(text="go", seed=3, cache=False)
    assert made["text"].text == wanted["text"].text == "One  and two  there."
    for ours, theirs in zip(made.all("image"), wanted.all("image"), strict=True):
        assert np.abs(np.array(ours.image, int) - np.array(theirs.image, int)).max() <= 1
    assert [request.signals for request in llm.requests] == [("image",)] * 2
    names = [node.name for node in made.nodes if node.name.startswith("act.")]
    assert sorted(names) == [f"act.{i}.{stage}" for i in (1, 2) for stage in ("generate", "output_project")]


def test_what_is_not_asked_for_is_not_made(tiny_bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["Only words."]
    result = flow(tiny_bundle, {"act": ACT}, {"text": "$act.text", "image": "$act.image"}).run(text="go")
    assert (list(result.outputs), [node.name for node in result.nodes]) == (["text"], ["reason", "act"])


def test_what_the_bundle_cannot_make_is_told_before_the_run(tiny_bundle: Path) -> None:
    with pytest.raises(FlowError, match=r"bundle '\w+' has no signal for audio(?s:.*)node 'act': .*no .*audio"):
        flow(tiny_bundle, {"act": {"stage": "route", "reply": "$reason"}}, {"audio": "$act.audio"})
    with pytest.raises(FlowError, match=r"'musik' can't be made\. Did you mean|Known: audio"):
        flow(tiny_bundle, {"act": ACT | {"make": {"musik": {}}}}, {"text": "$act.text"})
    with pytest.raises(FlowError, match=r"stpes"):
        flow(tiny_bundle, {"act": ACT | {"make": {"image": {"stpes": 1}}}}, {"text": "$act.text"})


def test_json_for_what_is_not_made_here_is_refused_in_the_run(tiny_bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ['{"name": "make_audio", "arguments": {"caption": "a bell"}}']
    acts = flow(tiny_bundle, {"act": ACT}, {"text": "$act.text", "image": "$act.image"})
    with pytest.raises(NodeError, match=r"called 'make_audio': there is no such tool\. Did you mean 'make_image'"):
        acts.run(text="go")


def test_a_caption_in_json_takes_the_caption_bridge(tiny_bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ['{"task": "image", "id": 0, "dep": [-1], "args": {"caption": "a red cat"}}']
    act = ACT | {"bridge": "caption"}
    result = flow(tiny_bundle, {"act": act}, {"text": "$act.text", "image": "$act.image"}).run(text="go")
    assert (result["text"].text, result["image"].modality) == ("", "image")


def test_an_agent_sees_what_it_made(tiny_bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["Here: [image]", "It is red."]
    agent = {"stage": "agent", "prompt": "$text", "make": {"image": SETTINGS}, "observed": "Go on."}
    plain = {"flow": "two", "inputs": {"text": "text"}, "nodes": {"agent": agent}}
    outputs = {name: f"$agent.{name}" for name in ("text", "image")}
    result = Flow(FlowSpec.model_validate(plain | {"outputs": outputs}), tiny_bundle).run(text="Draw it, then tell me.")
    assert (result["text"].text, result["image"].modality) == ("It is red.", "image")
    user = ("user", ("Draw it, then tell me.",))
    assert [request.turns for request in llm.requests] == [
        (user,),
        (user, ("assistant", ("Here:", "[image]", "")), ("user", ("[image]", "Go on."))),
    ]
    stages = [f"agent.1.1.{name}" for name in ("output_project", "generate", "1.encode", "1.project")]
    assert [node.name for node in result.nodes] == ["agent.1.reason", *stages, "agent.2.reason", "agent"]


def test_the_tiny_llm_itself_goes_through_the_loop(tiny_bundle: Path) -> None:
    """Whatever it says: its turns are read as its chat template has them, and the loop ends."""
    agent = {"stage": "agent", "prompt": "$text", "make": {"image": SETTINGS}, "turns": 2, "max_new_tokens": 12}
    plain = {"flow": "two", "inputs": {"text": "text"}, "nodes": {"agent": agent}, "outputs": {"stop": "$agent.stop"}}
    result = Flow(FlowSpec.model_validate(plain), tiny_bundle).run(text="a dog")
    assert result["stop"].text in ("answer", "limit")
