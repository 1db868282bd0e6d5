"""What a remote LLM is shown: media as parts of messages, where its bundle says that it sees them."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from orchestrator.engine.flow import Flow
from orchestrator.errors import BundleError, FlowError
from orchestrator.flow.spec import FlowSpec
from orchestrator.models.bundle import Bundle, trust
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.testing.remote import Answer, ScriptedLLM

PIXELS = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)
MEDIA = {
    "image": Media("image", PIXELS),
    "audio": Media("audio", Audio(np.zeros(800, np.float32), 8000)),
    "video": Media("video", Video(np.zeros((4, 16, 16, 3), np.uint8), 8.0)),
}
Far = Callable[..., Path]


@pytest.fixture
def llm() -> Iterator[ScriptedLLM]:
    with ScriptedLLM() as found:
        yield found


@pytest.fixture
def far(llm: ScriptedLLM, tmp_path: Path) -> Far:
    """`far("image")` is a bundle whose LLM sees pictures."""

    def made(*sees: str) -> Path:
        spec = {"name": "far", "llm": {"url": llm.url, "model": "scripted", "retries": 0, "sees": list(sees)}}
        (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(spec))
        return tmp_path

    return made


def shown(part: dict[str, Any]) -> Media:
    """The medium in a part of a message."""
    if part["type"] == "input_audio":
        assert part["input_audio"]["format"] == "wav"
        return Media.load(base64.b64decode(part["input_audio"]["data"]), "audio")
    kind, _, data = part[part["type"]]["url"].partition(";base64,")
    modality = part["type"].removesuffix("_url")
    assert kind == {"image": "data:image/png", "video": "data:video/mp4"}[modality]
    return Media.load(base64.b64decode(data), modality)


@pytest.mark.parametrize("modality", MEDIA)
def test_an_arrow_line_shows_media_as_they_are(modality: str, far: Far, llm: ScriptedLLM) -> None:
    llm.answers = [Answer("A thing.")]
    flow = Flow.of(f"{modality} + text -> text", far(modality))
    assert list(flow.spec.nodes) == ["reason", "decode"]
    result = flow.run({modality: MEDIA[modality], "text": "What is it?"})
    assert result["text"].text == "A thing."
    (message,) = llm.requests[0]["messages"]
    medium, text = message["content"]
    assert shown(medium).meta == MEDIA[modality].meta
    assert text == {"type": "text", "text": "What is it?"}
    if modality == "image":
        assert np.array_equal(np.array(shown(medium).image), PIXELS)
    assert flow.run({modality: MEDIA[modality], "text": "What is it?"}).nodes[0].status == "cached"


def test_what_is_made_on_the_way_is_shown(far: Far) -> None:
    """The second turn of a line shows what the first one made."""
    with pytest.raises(FlowError) as caught:  # nothing is there that would make it
        Flow.arrow("text -> image -> text", far("image"))
    assert not any("encode" in str(problem) or "reason" in str(problem) for problem in caught.value.problems)


def test_a_dialogue_about_a_picture(far: Far, llm: ScriptedLLM) -> None:
    llm.answers = [Answer("Green.")]
    flow = Flow.arrow("image + text -> text", far("image"))
    said = [
        ("system", "Be brief."),
        ("user", [MEDIA["image"], "What is it?"]),
        ("assistant", ["This.", MEDIA["image"]]),
    ]
    flow.after(said).run(text="What colour?")
    head, first, answer, asked = llm.requests[0]["messages"]
    assert (head["content"], answer["content"]) == ("Be brief.", "This.")
    for message, text in ((first, "What is it?"), (asked, "What colour?")):
        assert [part.get("text", part["type"]) for part in message["content"]] == ["image_url", text]


def paint() -> Media:
    """Paint a picture."""
    return MEDIA["image"]


@pytest.mark.parametrize("see", [None, [], ["image"]])
def test_an_agent_sees_what_its_calls_gave(
    see: list[str] | None, far: Far, llm: ScriptedLLM, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(trust.VARIABLE, "tools")
    llm.answers = [Answer("Wait.", calls=[("paint", {})]), Answer("Nice.")]
    agent = {"stage": "agent", "prompt": "$text", "media": ["$image"], "tools": ["$paint"]}
    nodes = {
        "paint": {"stage": "tool", "function": f"{__name__}:paint"},
        "agent": agent | ({} if see is None else {"see": see}),
    }
    inputs = {"text": "text", "image": "image"}
    spec = {"flow": "a", "inputs": inputs, "nodes": nodes, "outputs": {"text": "$agent.text"}}
    result = Flow(FlowSpec.model_validate(spec), far("image")).run(text="Like this.", image=MEDIA["image"])
    assert result["text"].text == "Nice."
    first, called, given, *seen = llm.requests[1]["messages"]
    assert [part["type"] for part in first["content"]] == ["image_url", "text"]
    assert (called["content"], given["content"]) == ("Wait.", "paint: image <resource-1-1>")
    assert [part["type"] for message in seen for part in message["content"]] == ["image_url"] * (see != [])


def direct(**agent: Any) -> dict[str, Any]:
    """A flow that shows a picture as it is."""
    node = {"stage": "agent", "prompt": "$text", **agent} if agent else {"stage": "reason", "prompt": "$text"}
    nodes = {"think": node | {"media": ["$image"]}, "split": {"stage": "decode", "reply": "$think"}}
    if agent:
        del nodes["split"]
    out = "$think.text" if agent else "$split.text"
    return {"flow": "d", "inputs": {"text": "text", "image": "image"}, "nodes": nodes, "outputs": {"text": out}}


UNSAID = r"'far' is remote, and not said to see image; if it does, write so in the bundle.yaml: `llm: \{sees: \["


@pytest.mark.parametrize(
    ("flow", "sees", "message"),
    [
        (direct(), [], rf"node 'think': the LLM of bundle {UNSAID}image\]\}}`"),
        (direct(), ["audio"], rf"{UNSAID}audio, image\]\}}`"),
        (direct(see=[]), [], UNSAID),
        (direct(see=["video"]), ["image"], r"not said to see video; .*\[image, video\]"),
    ],
)
def test_what_it_is_not_said_to_see_is_told_before_a_run(flow: Any, sees: list[str], message: str, far: Far) -> None:
    with pytest.raises(FlowError, match=message) as caught:
        Flow(FlowSpec.model_validate(flow), far(*sees))
    assert len(caught.value.problems) == 1


def test_a_line_that_it_does_not_see(far: Far) -> None:
    with pytest.raises(FlowError, match=r"node 'project': .* if it sees image, write `llm: \{sees: \[image\]\}`"):
        Flow.arrow("image -> text", far("audio"))


def test_an_llm_that_runs_here_takes_soft_prompts(bare: Path) -> None:
    with pytest.raises(FlowError, match=r"'bare' runs here: .* not the image itself; put nodes \{stage: encode"):
        Flow(FlowSpec.model_validate(direct()), bare)


def test_a_text_is_no_medium(far: Far) -> None:
    flow = direct()
    flow["nodes"]["think"]["media"] = ["$text", "$image"]
    with pytest.raises(FlowError, match=r"port 'media' takes Prompts or Media \(not text\), but '\$text' is Media"):
        Flow(FlowSpec.model_validate(flow), far("image"))


@pytest.mark.parametrize(
    ("llm", "message"),
    [
        ({"url": "http://h/v1", "model": "m", "sees": ["text"]}, r"llm.sees.0: Input should be 'image', 'audio' or"),
        ({"path": "llm", "sees": ["image"]}, r"sees goes with url, which is not given"),
    ],
)
def test_a_bundle_says_it_right(llm: dict[str, Any], message: str, tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump({"name": "b", "llm": llm}))
    with pytest.raises(BundleError, match=message):
        Bundle.open(tmp_path)


def test_what_it_is_said_to_see_changes_no_reply(far: Far) -> None:
    assert Bundle.open(far()).fingerprint("llm") == Bundle.open(far("image")).fingerprint("llm")
