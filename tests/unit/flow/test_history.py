"""Where a dialogue enters a flow, and the flow that goes on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from orchestrator.errors import FlowError, InputError
from orchestrator.flow import arrows, history
from orchestrator.flow.fit import fitted
from orchestrator.flow.messages import Message, replied
from orchestrator.flow.plan import Plan
from orchestrator.flow.spec import FlowSpec, InputSpec
from orchestrator.flow.wiring import check, check_inputs, wire
from orchestrator.models.bundle import Bundle
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import Span
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Reply

DOG = Media("image", np.zeros((2, 2, 3), np.uint8))
FILM = Media("video", np.zeros((4, 8, 8, 3), np.uint8))
SAID = [("user", [DOG, "What is it?"]), ("assistant", "A dog.")]


@pytest.fixture(scope="module")
def bundle() -> Bundle:
    return Bundle.open("pocket")


def plan(flow: str | dict[str, Any], bundle: Bundle) -> Plan:
    spec = arrows.parse(flow) if isinstance(flow, str) else FlowSpec.model_validate(flow)
    return fitted(wire(spec), bundle)


def after(flow: str | dict[str, Any], bundle: Bundle, *messages: Any) -> FlowSpec:
    spec, media = history.after(plan(flow, bundle), bundle, messages)
    assert set(media) == set(spec.inputs) - set(plan(flow, bundle).spec.inputs)
    assert check(spec) == []
    return spec


def test_a_dialogue_enters_at_the_first_llm(bundle: Bundle) -> None:
    for line, name in [("image + text -> text", "reason"), ("image -> text -> video", "reason")]:
        found = history.place(plan(line, bundle))
        assert (found.node, [node.name for node in found.hearers]) == (None, [name])


def test_media_go_through_the_nodes_of_the_flow(bundle: Bundle) -> None:
    flow = arrows.parse("video + text -> text").to_plain()
    flow["nodes"]["encode"]["frames"] = 3
    spec = after(flow, bundle, ("user", [FILM, DOG, "What is it?"]), ("assistant", "A dog."))
    nodes = {name: node.to_plain() for name, node in spec.nodes.items()}
    assert nodes["history-1-encode"] == {"stage": "encode", "media": "$history-1", "frames": 3}
    assert nodes["history-2-encode"] == {"stage": "encode", "media": "$history-2"}
    assert nodes["history"]["media"] == ["$history-1-project", "$history-2-project"]
    assert nodes["history"]["turns"][0] == {"role": "user", "text": "What is it?", "media": 2}
    assert nodes["reason"]["history"] == "$history"
    assert {name: put.modality for name, put in spec.inputs.items()}["history-2"] == "image"


def test_what_was_shown_need_not_be_given_again(bundle: Bundle) -> None:
    assert after("image + text -> text", bundle, *SAID).inputs["image"].optional
    unseen = after("image + text -> text", bundle, ("user", "Hi."), ("assistant", "Hello."))
    assert (unseen.inputs["image"].optional, unseen.inputs["text"].optional) == (False, True)
    flow = arrows.parse("image + text -> text").to_plain()
    flow["outputs"]["same"] = "$image"  # somebody else would miss it
    assert not after(flow, bundle, *SAID).inputs["image"].optional
    agent = {"agent": {"stage": "agent", "prompt": "$text"}}  # it can't do without its prompt
    flow = {"flow": "a", "inputs": {"text": "text"}, "nodes": agent, "outputs": {"text": "$agent.text"}}
    assert not after(flow, bundle, ("user", "Hi."), ("assistant", "Hello.")).inputs["text"].optional


def test_what_the_assistant_made_is_its_signal_and_seen_in_the_next_turn(bundle: Bundle) -> None:
    """The pocket bundle has signals for films and pictures, and sees both."""
    made = [("user", "Draw."), ("assistant", ["Here it is.", FILM, DOG]), ("user", "Nice."), ("assistant", [DOG])]
    spec = after("text -> text + video", bundle, *made)
    turns = spec.nodes["history"].fields["turns"]
    calls = [{"name": "video", "place": 11}, {"name": "image", "place": 11}]
    assert turns[1] == {"role": "assistant", "text": "Here it is.", "calls": calls}
    assert turns[2] | {"text": ""} == {"role": "user", "text": "", "media": 2}
    assert spec.nodes["history"].fields["media"] == ["$history-1-project", "$history-2-project"]
    assert spec.nodes["reason"].fields["media"] == ["$history-3-project"]  # by who asks now


def test_a_reply_is_its_signals_of_which_nothing_is_seen(bundle: Bundle) -> None:
    """Its calls of tools were followed."""
    said = replied(Reply("A film.", spans=(Span("video", 0, 2, 1, "a film"),)))
    spec = after("text -> text + video", bundle, ("user", "Film."), *said)
    signal = {"name": "video", "place": 1}
    assert spec.nodes["history"].fields["turns"][1] == {"role": "assistant", "text": "A film.", "calls": [signal]}
    assert set(spec.inputs) == {"text"}
    more = after("text -> text + video", bundle, ("user", "Film."), *said, ("assistant", ["Another", FILM]), *said)
    turn = more.nodes["history"].fields["turns"][1]
    assert turn["text"] == "A film.\nAnother\nA film."
    assert [call["place"] for call in turn["calls"]] == [1, 15, 17]
    asked = replied(Reply("Wait.", calls=(Call("make_video", arguments='{"caption": "a dog"}'),)))
    turns = after("text -> text", bundle, ("user", "Film."), *asked).nodes["history"].fields["turns"]
    assert turns[1]["calls"] == [
        {"name": "make_video", "arguments": '{"caption": "a dog"}', "id": "call-0", "place": 5}
    ]
    assert turns[2] == {"role": "tool", "text": "done", "call": "call-0"}


def test_texts_are_asked_as_they_were_then(bundle: Bundle) -> None:
    draw = after("text -> image", bundle, ("user", "a dog"), ("assistant", "Here."))
    now = arrows.parse("text -> image").nodes["reason"].fields["template"]
    assert draw.nodes["history"].fields["turns"][0]["text"] == now.format(prompt="a dog")
    tell = after("image -> text", bundle, ("user", [DOG]), ("assistant", "A dog."))
    assert tell.nodes["history"].fields["turns"][0]["text"] == tell.nodes["reason"].fields["prompt"]


def test_messages_of_one_role_are_one_turn(bundle: Bundle) -> None:
    spec = after("text -> text", bundle, ("user", "One."), ("user", "Two."), ("assistant", "A."), ("assistant", "B."))
    assert [turn["text"] for turn in spec.nodes["history"].fields["turns"]] == ["One.\nTwo.", "A.\nB."]


def test_tools(bundle: Bundle) -> None:
    called = Message("assistant", ("Wait.",), (Call("sky", id="a"),))
    spec = after("text -> text", bundle, ("user", "Sky?"), called, Message("tool", ("blue",), call="a"))
    turns = spec.nodes["history"].fields["turns"]
    assert turns[1]["calls"] == [{"name": "sky", "arguments": "{}", "id": "a", "place": 5}]
    assert turns[2] == {"role": "tool", "text": "blue", "call": "a"}


TWO = {
    "flow": "two", "inputs": {"text": "text"},
    "nodes": {
        "a": {"stage": "reason", "prompt": "$text"}, "b": {"stage": "reason", "prompt": "$text"},
        "c": {"stage": "decode", "reply": "$a"}, "d": {"stage": "decode", "reply": "$b"},
    },
    "outputs": {"one": "$c.text", "two": "$d.text"},
}  # fmt: skip


def marked(**config: Any) -> dict[str, Any]:
    """Two LLMs, both of which hear one dialogue."""
    nodes = {name: node | {"history": "$talk"} if name in "ab" else node for name, node in TWO["nodes"].items()}
    return TWO | {"nodes": {"talk": {"stage": "dialogue", **config}, **nodes}}


def test_a_node_says_where_a_dialogue_enters(bundle: Bundle) -> None:
    system = {"role": "system", "text": "You are a painter."}
    spec = after(marked(turns=[system]), bundle, ("system", "Be kind."), ("user", "Hi."), ("assistant", "Hello."))
    assert "history" not in spec.nodes
    head, *rest = spec.nodes["talk"].fields["turns"]
    assert (head["text"], len(rest)) == ("You are a painter.\n\nBe kind.", 2)
    example = [{"role": "user", "text": "1"}, {"role": "assistant", "text": "2"}]
    turns = after(marked(turns=example), bundle, ("system", "Be kind."), ("user", "3"), ("assistant", "4"))
    assert [turn["text"] for turn in turns.nodes["talk"].fields["turns"]] == ["Be kind.", "1", "2", "3", "4"]


WRONG: list[tuple[Any, list[Any], str]] = [
    (TWO, SAID, r"could enter at 'a', 'b'; say where, by one node \{stage: dialogue\}"),
    ("text -> text", [*SAID, ("user", "And?")], r"ends with the user's message: what is asked now is the run's input"),
    ("text -> text", [("user", "Hi."), ("system", "Be kind.")], r"a system prompt is the first turn"),
    ("text -> text", [("usr", "Hi.")], r"a message is from system, user, .*, not 'usr'\. Did you mean 'user'"),
    ("text -> text", ["Hi."], r"a message is \(role, text\)"),
    ("text -> text", [("system", [DOG])], r"media come from the user or the assistant, not from the system"),
    ("text -> text", [Message("assistant", (), (Call("f", id="a"),))], r"calls .* are not answered: 'a'"),
]


@pytest.mark.parametrize(("flow", "messages", "message"), WRONG, ids=[row[2] for row in WRONG])
def test_what_is_refused(flow: Any, messages: list[Any], message: str, bundle: Bundle) -> None:
    with pytest.raises(InputError, match=message):
        after(flow, bundle, *messages)


def test_what_the_llm_does_not_see(tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_text("{name: far, llm: {url: 'http://h/v1', model: m}}")
    far = Bundle.open(tmp_path)
    with pytest.raises(
        InputError, match=r"leave it out: .* is remote, and not said to see image; .*`llm: {sees: \[image\]}`"
    ):
        after("text -> text", far, *SAID)
    spec = after("text -> text", far, ("user", "Draw."), ("assistant", ["Here.", DOG]))
    assert spec.nodes["history"].fields["turns"][1] == {"role": "assistant", "text": "Here.\n[image]"}


def test_wrong_turns_of_a_file_are_told_by_the_check() -> None:
    with pytest.raises(FlowError, match=r"node 'talk': field 'turns' .*a system prompt is the first turn"):
        wire(FlowSpec.model_validate(marked(turns=[{"role": "user"}, {"role": "system"}])))


def test_an_input_may_be_optional() -> None:
    spec = FlowSpec.model_validate(marked() | {"inputs": {"text": {"modality": "text", "optional": True}}})
    assert check(spec) == []
    check_inputs(spec, {})
    assert spec.to_plain()["inputs"] == {"text": {"modality": "text", "optional": True}}
    with pytest.raises(ValidationError, match="has a default, so it is never left out"):
        InputSpec.model_validate({"modality": "text", "default": "a", "optional": True})
