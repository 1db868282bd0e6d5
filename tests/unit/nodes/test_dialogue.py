"""The dialogue stage: turns from a config, what is wrong with them, and how LLMs are told of them."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from pydantic import ValidationError

from orchestrator.errors import InputError
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.dialogue import Dialogue, DialogueConfig
from orchestrator.nodes.ports import History, Prompts, Turn
from orchestrator.nodes.speech import headed, messages, turns

ASKED = {"role": "assistant", "text": "Wait.", "calls": [
    {"name": "look", "arguments": '{"at": "sky"}', "id": "a", "place": 5},
    {"name": "smell", "arguments": "{}", "id": "b", "place": 5},
]}  # fmt: skip
GIVEN = [{"role": "tool", "text": "roses", "call": "b"}, {"role": "tool", "text": "blue", "call": "a"}]


def said(*turns: dict[str, Any], **inputs: Any) -> tuple[Turn, ...]:
    (out,) = Dialogue(DialogueConfig.model_validate({"turns": turns})).run([inputs], cast("Any", None))
    return cast("History", out["history"]).turns


def seen(*modalities: str) -> tuple[Prompts, ...]:
    return tuple(Prompts(modality, torch.zeros(1, 2)) for modality in modalities)


def test_media_stand_in_the_turns_that_show_them() -> None:
    one, two, three = seen("image", "image", "audio")
    user = {"role": "user", "text": "Look.", "media": 2}
    first, answer, second = said(
        user, {"role": "assistant", "text": "Yes."}, user | {"media": 1}, media=(one, two, three)
    )
    assert (first.seen, answer.text, second.seen) == ((one, two), "Yes.", (three,))


def test_results_of_tools_answer_calls_by_their_ids() -> None:
    history = said({"role": "user", "text": "Well?"}, ASKED, *GIVEN, {"role": "assistant", "text": "Blue, roses."})
    assert [turn.role for turn in history] == ["user", "assistant", "tool", "assistant"]
    sent = messages(history)
    assert [call["id"] for call in sent[1]["tool_calls"]] == ["a", "b"]
    assert [(m["tool_call_id"], m["content"]) for m in sent[2:4]] == [("a", "look: blue"), ("b", "smell: roses")]


def test_calls_of_tools_are_text_for_an_llm_that_runs_here() -> None:
    spoken = turns(said({"role": "user", "text": "Well?"}, ASKED, *GIVEN), ())
    assert [role for role, _ in spoken] == ["user", "assistant", "user"]
    written = "".join(spoken[1][1])
    assert written.startswith('Wait.\n```json\n{"name": "look", "arguments": {"at": "sky"}}\n```')
    assert spoken[2][1] == ["look: blue\nsmell: roses"]


def test_signals_are_signals() -> None:
    drawn = {"role": "assistant", "text": "Here.", "calls": [{"name": "image", "place": 5}]}
    ((_, said_then),) = turns(said(drawn), ())
    assert said_then == ["Here.", Call("image"), ""]


def test_who_the_llm_is_stands_before_the_system_prompt() -> None:
    system = Turn("system", "Be kind.")
    assert headed("A painter.", [system], "Tools: none.") == [Turn("system", "A painter.\n\nBe kind.\n\nTools: none.")]
    assert headed("", [Turn("user", "Hi.")]) == [Turn("user", "Hi.")]


SYSTEM, USER = {"role": "system", "text": "Be kind."}, {"role": "user", "text": "Hi."}
WRONG: list[tuple[list[dict[str, Any]], str]] = [
    ([USER, SYSTEM], r"turn 2 \(system\): a system prompt is the first turn"),
    ([SYSTEM | {"media": 1}], r"turn 1 \(system\): only the user shows media"),
    ([USER | {"calls": ASKED["calls"]}], r"turn 1 \(user\): only the assistant calls"),
    ([USER, *GIVEN], r"turn 2 \(tool\): answers the call 'b', but those open before it are: none"),
    ([ASKED, GIVEN[0], GIVEN[0]], r"turn 3 \(tool\): answers the call 'b', but those open before it are: 'a'"),
    ([ASKED, USER], r"turn 2 \(user\): calls of the assistant are not answered: 'a', 'b'"),
    ([ASKED, GIVEN[0]], r"calls of the assistant are not answered: 'a'"),
    ([{"role": "judge"}], r"Input should be 'system', 'user', 'assistant' or 'tool'"),
]


@pytest.mark.parametrize(("turns", "message"), WRONG, ids=[row[1] for row in WRONG])
def test_wrong_turns(turns: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        DialogueConfig.model_validate({"turns": turns})


def test_as_many_media_as_are_shown() -> None:
    with pytest.raises(InputError, match="show 0 media, but 1 are connected"):
        said(USER, media=seen("image"))
