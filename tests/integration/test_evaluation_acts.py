"""Evaluations of flows that follow calls, over the tiny any-to-any bundle with a scripted LLM."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator.errors import RecipeError
from orchestrator.evaluation import Evaluated, Evaluation, evaluate
from orchestrator.testing.llm import ScriptedModel
from tests import tiny

MAKE = {"image": {"steps": 1}, "audio": {"steps": 1}}
THINK = {"stage": "reason", "prompt": "$text"}
ROUTE = {"think": THINK, "act": {"stage": "route", "reply": "$think", "make": MAKE}}
AGENT = {"act": {"stage": "agent", "prompt": "$text", "make": MAKE, "turns": 3, "tries": 0}}
FLOWS = {"route": ROUTE, "agent": AGENT}
FAILS = '{"name": "make_smell", "arguments": {"caption": "a rose"}}'


@pytest.fixture
def llm() -> Iterator[ScriptedModel]:
    with ScriptedModel(width=tiny.WIDTH) as found:
        yield found


def line(question: str | list[Any], *answer: Any, **labels: str) -> dict[str, Any]:
    turns = [{"role": "user", "content": question}, {"role": "assistant", "content": list(answer)}]
    return {"turns": turns, "labels": labels}


PICTURE = Path(__file__).parents[1] / "media" / "pictures" / "cat.png"
IMAGE, AUDIO = ({modality: None, "caption": "a dog"} for modality in ("image", "audio"))
ASKED = [line(f"Draw dog {i}.", "a dog", IMAGE, concept="dog") for i in range(2)]


def measured(
    folder: Path, bundle: Path, metric: str, lines: list[dict[str, Any]], flow: str | None = None, **fields: Any
) -> Evaluated:
    """One measure, `it`, over some lines, of a flow of FLOWS."""
    (folder / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in lines))
    given: dict[str, Any] = {"metric": metric, "data": [{"reader": "manifest", "path": str(folder / "asked.jsonl")}]}
    if flow:
        outputs = {port: f"$act.{port}" for port in ("text", "image", "audio")}
        content = {"flow": "acts", "inputs": {"text": "text"}, "nodes": FLOWS[flow], "outputs": outputs}
        (folder / "flow.yaml").write_text(json.dumps(content))
        given["flow"] = str(folder / "flow.yaml")
    plain = {"evaluation": "acts", "seeds": [0], "measures": {"it": given | fields}}
    return evaluate(Evaluation.model_validate(plain), bundle=bundle)


def means(found: Evaluated, modality: str, way: str = "") -> dict[str, float]:
    return {n.name: n.mean for n in found["it"].numbers if (n.modality, n.way) == (modality, way)}


@pytest.fixture(scope="module")
def judge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sees the same in every picture: a dog."""
    from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetForImageClassification

    folder = tmp_path_factory.mktemp("judge")
    labels = {"id2label": {0: "dog", 1: "cat"}, "label2id": {"dog": 0, "cat": 1}}
    model = ResNetForImageClassification(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", **labels)
    )
    model.classifier[-1].weight.data.zero_()
    model.classifier[-1].bias.data.copy_(model.classifier[-1].bias.new_tensor([1.0, 0.0]))
    model.save_pretrained(folder)
    ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=1.0).save_pretrained(folder)
    return folder


# The first draws, the other does not; an agent sees what each bridge made, so it goes on once for each.
ONE = {"route": ["A dog. [image]", "No."], "agent": ["Here: [image]", "No.", "A dog.", "A dog."]}


@pytest.mark.parametrize("flow", FLOWS)
def test_every_metric(flow: str, tmp_path: Path, tiny_any_bundle: Path, judge: Path, llm: ScriptedModel) -> None:
    """The LLM is asked once for all of them: what it said is in the store."""
    llm.replies = list(ONE[flow])
    found = measured(tmp_path, tiny_any_bundle, "media", ASKED, flow, judge=[str(judge)])
    for way in ("caption", "signal"):
        assert means(found, "image", way) == {"shows the concept": 0.5, "one signal": 0.5}
    assert {number.count for number in found["it"].numbers} == {2}
    assert means(measured(tmp_path, tiny_any_bundle, "captions", ASKED, flow), "text")["names the concept"] == 0.5
    assert means(measured(tmp_path, tiny_any_bundle, "routes", ASKED, flow), "image") == {"right route": 0.5}
    signals = means(measured(tmp_path, tiny_any_bundle, "signals", ASKED, flow), "image")
    assert signals == {"well-formed signals": 1.0, "the signals asked for": 0.5}
    assert len(llm.requests) == len(ONE[flow])


def test_agents_share_batches_turn_by_turn(tmp_path: Path, tiny_any_bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["[image]", "[audio]", "A picture.", "A sound."]
    found = measured(tmp_path, tiny_any_bundle, "routes", ASKED, "agent")
    assert [len(request.turns) for request in llm.requests] == [1, 1, 3, 3]
    assert [case["route"] for case in found["it"].cases if case["way"] == ""][:2] == ["image", "audio"]


@pytest.mark.parametrize("flow", FLOWS)
def test_calls_that_cannot_be_followed_count_as_wrong(
    flow: str, tmp_path: Path, tiny_any_bundle: Path, llm: ScriptedModel
) -> None:
    llm.replies = [FAILS, "A dog. [image]", "Done."]
    found = measured(tmp_path, tiny_any_bundle, "routes", ASKED, flow)
    assert means(found, "image") == {"right route": 0.5}
    (case,) = {json.dumps(case) for case in found["it"].cases if "failed" in case and case["seed"] == 0}
    assert "the LLM called 'make_smell': there is no such tool" in case


TWO = "Draw a guitar, then tell me what it sounds like."
STEPS = [
    line(TWO, "a guitar", IMAGE, AUDIO, concept="guitar"),
    line(f"Again: {TWO}", IMAGE, AUDIO, concept="guitar"),
    line("Who are you?", "I draw."),
]


def test_steps(tmp_path: Path, tiny_any_bundle: Path, llm: ScriptedModel) -> None:
    llm.replies = ["[image]", "[audio]", "I draw.", "[audio]", "[image]", "A guitar.", "It was a guitar."]
    found = measured(tmp_path, tiny_any_bundle, "steps", STEPS, "agent")
    order, named, stopped = "the media asked for, in order", "names the concept", "stopped by answering"
    assert means(found, "image -> audio") == {order: 0.5, named: 1.0, stopped: 1.0}
    assert means(found, "text") == {order: 1.0, stopped: 1.0}
    assert means(found, "all") == {order: pytest.approx(2 / 3), named: 1.0, stopped: 1.0}
    case = found["it"].cases[0]
    assert (case["made"], case["said"], case["turns"]) == (["image", "audio"], "A guitar.", 3)


def test_steps_need_no_flow(tmp_path: Path, tiny_any_bundle: Path, llm: ScriptedModel) -> None:
    from orchestrator.nodes.media import Media
    from tests.making import MAKES

    film = Media("video", MAKES["video"]()).save(tmp_path / "a.mp4")
    llm.replies = ["A dog."]
    asked = line([{"video": film.name}, "What is in this video?"], "a dog", concept="dog")
    found = measured(tmp_path, tiny_any_bundle, "steps", [asked])
    assert means(found, "text")["names the concept"] == 1.0
    assert llm.requests[0].signals == ("image", "audio", "video")
    assert "[video]" in llm.requests[0].turns[0][1]


BARE = {"turns": [{"role": "user", "content": [{"image": str(PICTURE)}]}, {"role": "assistant", "content": ["a dog"]}]}
WRONG = [
    ([line("Draw.", IMAGE)], "route", r"measure 'it': flow 'acts' has no agent node, so no steps"),
    ([line("Film.", {"video": None, "caption": "x"})], "agent", r"flow 'acts' has no agent that makes video"),
    ([line("Draw.", "")], "agent", r"the assistant's last turn is empty"),
    ([line("Draw.", {"smell": None})], "agent", r"smell"),
    ([BARE], None, r"asked.jsonl:1: it brings image and no text: name a `flow` that asks"),
]


@pytest.mark.parametrize(("lines", "flow", "message"), WRONG)
def test_what_cannot_be_measured(
    lines: list[dict[str, Any]], flow: str | None, message: str, tmp_path: Path, tiny_any_bundle: Path
) -> None:
    with pytest.raises(RecipeError, match=message):
        measured(tmp_path, tiny_any_bundle, "steps", lines, flow)
