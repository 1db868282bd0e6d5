"""A dialogue of several turns, with a scripted LLM and a bundle that has nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from orchestrator.engine.chat import Chat
from orchestrator.engine.flow import Flow
from orchestrator.errors import Cancelled, InputError, ModelError, OrchError, UserError
from orchestrator.flow.spec import FlowSpec
from orchestrator.testing.llm import ScriptedModel
from tests.stubs import bare_bundle

AGENT = {"stage": "agent", "prompt": "$text", "role": "Be short."}


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = bare_bundle(tmp_path / "bare")
    (folder / "llm").mkdir()
    (folder / "llm" / "config.json").write_text('{"max_position_embeddings": 1000}')
    (folder / "llm" / "model.safetensors").write_bytes((2).to_bytes(8, "little") + b"{}")
    return folder


@pytest.fixture
def llm() -> Iterator[ScriptedModel]:
    with ScriptedModel() as found:
        yield found


def flow(bundle: Path, *nodes: dict[str, object]) -> Flow:
    named = {f"n{i}": node for i, node in enumerate(nodes)}
    outputs = {f"n{i}": f"$n{i}.text" for i, node in enumerate(nodes) if node["stage"] in ("agent", "decode")}
    spec = {"flow": "given", "inputs": {"text": "text"}, "nodes": named, "outputs": outputs}
    return Flow(FlowSpec.model_validate(spec), bundle)


def test_the_llm_is_told_all_that_was_said(bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["Hello.", "Fine.", "Bye."]
    chat = Chat(bundle=bundle)
    assert [chat.say(text).reply for text in ("Hi!", "How are you?", "Bye!")] == ["Hello.", "Fine.", "Bye."]
    said = ["Hi!", "Hello.", "How are you?", "Fine.", "Bye!"]
    roles = ["user", "assistant"] * 2 + ["user"]
    assert llm.requests[-1].turns == tuple((role, (text,)) for role, text in zip(roles, said, strict=True))
    assert [exchange.text for exchange in chat.exchanges] == ["Hi!", "How are you?", "Bye!"]
    assert [exchange.result.seed for exchange in chat.exchanges] == [0, 1, 2]


def test_a_new_dialogue_knows_nothing(bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["Hello.", "Hello again."]
    chat = Chat(bundle=bundle)
    chat.say("Hi!")
    chat.new()
    assert chat.say("Hi there!").reply == "Hello again."
    assert llm.requests[-1].turns == (("user", ("Hi there!",)),)
    assert len(chat.exchanges) == 1


def test_a_turn_that_fails_is_not_remembered(bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["Hello."]
    chat = Chat(bundle=bundle)
    chat.say("Hi!")
    with pytest.raises(ModelError, match="the script is at its end"):
        chat.say("More!")
    llm.replies = ["Yes."]
    chat.say("Again?")
    assert [said for _, (said,) in llm.requests[-1].turns] == ["Hi!", "Hello.", "Again?"]


def test_a_turn_that_is_stopped_is_not_remembered(bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["Hello.", "Yes."]
    chat = Chat(bundle=bundle)

    def stop(event: object) -> None:
        if getattr(event, "kind", "") == "node_started":
            raise Cancelled("stopped")

    with pytest.raises(OrchError):
        chat.say("Hi!", on_event=stop)
    chat.say("Again?")
    assert [said for _, (said,) in llm.requests[-1].turns] == ["Again?"]


def test_an_agent_is_told_who_it_is_once(bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["Hello.", "Fine."]
    chat = Chat(flow(bundle, AGENT))
    assert chat.say("Hi!")["n0"].text == "Hello."
    chat.say("How are you?")
    system = ("system", ("Be short.",))
    assert llm.requests[-1].turns == (
        system, ("user", ("Hi!",)), ("assistant", ("Hello.",)), ("user", ("How are you?",))
    )  # fmt: skip


def test_a_dialogue_goes_on_from_the_flows_own(bundle: Path, llm: ScriptedModel) -> None:
    example = [{"role": "user", "text": "1"}, {"role": "assistant", "text": "2"}]
    ask = {"stage": "reason", "prompt": "$text", "history": "$n0"}
    chat = Chat(flow(bundle, {"stage": "dialogue", "turns": example}, ask, {"stage": "decode", "reply": "$n1"}))
    llm.replies = ["4", "6"]
    chat.say("3")
    chat.say("5")
    assert [said for _, (said,) in llm.requests[-1].turns] == ["1", "2", "3", "4", "5"]


def test_of_two_llms_the_first_hears_the_user(bundle: Path, llm: ScriptedModel) -> None:
    ask, split = {"stage": "reason", "prompt": "$text"}, {"stage": "decode", "reply": "$n0"}
    again = {"stage": "reason", "prompt": "$n1.text", "template": "Say it louder: {prompt}"}
    chat = Chat(flow(bundle, ask, split, again, {"stage": "decode", "reply": "$n2"}))
    llm.replies = ["hello", "HELLO", "fine", "FINE"]
    chat.say("Hi!")
    assert chat.say("How are you?")["n3"].text == "FINE"
    assert [len(request.turns) for request in llm.requests] == [1, 1, 3, 1]
    assert chat.exchanges[-1].reply == "fine"


def test_another_flow_goes_on_with_the_dialogue(bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["Hello.", "Fine.", "Bye."]
    chat = Chat(bundle=bundle)
    chat.say("Hi!")
    chat.use("text -> text")
    assert (chat.own, chat.flow.spec.flow) == (False, "text-to-text")
    chat.say("How are you?")
    chat.use(None)
    chat.say("Bye!")
    assert [len(request.turns) for request in llm.requests] == [1, 3, 5]
    assert chat.own


def test_what_cannot_be_said_or_shown(bundle: Path, llm: ScriptedModel) -> None:
    chat = Chat(bundle=bundle)
    picture = Image.new("RGB", (8, 8))
    with pytest.raises(InputError, match=r"nothing is said: write a text, or show a medium"):
        chat.say("  ")
    with pytest.raises(InputError, match=r"bundle 'bare' can't be shown image; it sees: text"):
        chat.say("What is this?", picture)
    with pytest.raises(InputError, match=r"'imgae' is neither a modality nor an input .* Did you mean 'image'"):
        chat.say("What is this?", imgae=picture)
    chat.use("text -> text")
    with pytest.raises(InputError, match=r"flow 'text-to-text' takes text; there is no place for one more image"):
        chat.say("What is this?", image=picture)
    assert llm.requests == []


def test_a_flow_that_nobody_hears_with(bundle: Path) -> None:
    ask, splits = {"stage": "reason", "prompt": "$text"}, [{"stage": "decode", "reply": f"$n{i}"} for i in (0, 2)]
    with pytest.raises(UserError, match=r"flow 'given' takes no dialogue: it could enter at 'n0', 'n2'; say where"):
        Chat(flow(bundle, ask, splits[0], ask, splits[1]))
    chat = Chat(bundle=bundle)
    with pytest.raises(UserError, match="neither a YAML file nor an arrow line"):
        chat.use("flwo.yaml")
    assert chat.own


def test_texts_among_the_media_are_said(bundle: Path, llm: ScriptedModel, tmp_path: Path) -> None:
    llm.replies = ["Yes."]
    (tmp_path / "notes.txt").write_text("one two")
    Chat(bundle=bundle).say("Read this:", tmp_path / "notes.txt")
    assert llm.requests[-1].turns == (("user", ("Read this:\none two",)),)
