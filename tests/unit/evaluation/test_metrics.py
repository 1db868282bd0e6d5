"""What metrics make of replies; the values of flows are made up."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orchestrator.evaluation import answers, flows
from orchestrator.evaluation.metrics import Captions, Media, Routes, Score, SignalCounts
from orchestrator.evaluation.requests import Asked, asked
from orchestrator.evaluation.steps import Steps
from orchestrator.flow.plan import Plan
from orchestrator.flow.spec import FlowSpec
from orchestrator.flow.wiring import wire
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import SignalTokens, Span
from orchestrator.nodes.media import Media as Medium
from orchestrator.nodes.ports import Observation, Reply, Signals
from orchestrator.train.data.sample import MediaRef, Sample, Turn

LLM = SimpleNamespace(signals=SignalTokens({"video": [7, 8], "image": [9]}))
PICTURE = MediaRef("image", Path("a.png"))


def ask(*question: str | MediaRef, answer: tuple[str | MediaRef, ...], **labels: tuple[str, ...]) -> Asked:
    turns = (Turn("user", question), Turn("assistant", answer))
    return asked(0, Sample(turns, where="a.jsonl:1", labels=labels))


def media(*modalities: str) -> tuple[MediaRef, ...]:
    return tuple(MediaRef(modality, None, "x") for modality in modalities)


def signals(**counts: int) -> dict[str, Signals]:
    return {f"decode.{m}": Signals(m, tuple(Call(m, "x") for _ in range(n))) for m, n in counts.items()}


def scores(
    metric: Any, plan: Plan, requests: list[Asked], values: list[dict[str, Any]], group: str
) -> dict[str, Score]:
    flow = SimpleNamespace(plan=plan, lend=lambda part, device: nullcontext(LLM))
    cases = metric.see(flow, requests, values, group)
    made: dict[str, Score] = metric.scores(list(zip(requests, cases, strict=True)))
    return made


def test_captions() -> None:
    requests = [
        ask(PICTURE, answer=("a dog",), concept=("dog", "hound"), motion=("spinning",)),
        ask(PICTURE, answer=("a cat",), concept=("cat",)),
    ]
    values = [{"decode.text": Medium("text", text)} for text in ("A hound, spinning.", "a cat")]
    metric, plan = Captions(), wire(flows.one_turn(("image",)))
    found = scores(metric, plan, requests, values, "image")
    assert found["exact match"] == Score(0.5, 2)
    assert found["names the concept"] == Score(1.0, 2)
    assert found["names the motion"] == Score(1.0, 1)
    assert {"CIDEr", "BLEU"} < found.keys()
    assert metric.groups(requests[0]) == ("image",)


def test_no_text_is_a_wrong_caption() -> None:
    plan = wire(flows.one_turn(("image",)))
    found = scores(Captions(), plan, [ask(PICTURE, answer=("a dog",), concept=("dog",))], [{}], "image")
    assert (found["exact match"], found["names the concept"]) == (Score(0, 1), Score(0, 1))


class FakeJudge:
    """Sees what a text says."""

    def __init__(self, modality: str, **groups: list[str]) -> None:
        self.kind = SimpleNamespace(modalities=(modality,))
        self.groups = {group: dict(enumerate(words)) for group, words in groups.items()}

    def __call__(self, made: list[Any]) -> list[dict[str, str]]:
        return [dict.fromkeys(self.groups, medium.text) for medium in made]


def judged(*judges: FakeJudge) -> Media:
    return Media(judges, ("caption", "signal"))  # type: ignore[arg-type]


def test_media() -> None:
    requests = [ask("a dog", answer=("a dog", *media("video")), concept=("dog",), place=("left",)) for _ in range(4)]
    shown = [{"generate.media": Medium("text", text)} | signals(video=1) for text in ("Dog", "cat")]
    two = {"generate.media": (Medium("text", "dog"), Medium("text", "cat"))} | signals(video=2)
    plan = wire(flows.one_turn(("text",), ("video",)))
    found = scores(judged(FakeJudge("video", concept=["dog", "cat"])), plan, requests, [*shown, two, {}], "video")
    assert found == {"shows the concept": Score(0.5, 4), "one signal": Score(0.5, 4)}


def test_the_first_judge_that_knows_a_group_judges_it() -> None:
    first, second = FakeJudge("video", concept=["dog"]), FakeJudge("video", concept=["cat"], motion=["spin"])
    metric = judged(first, second, FakeJudge("audio", pitch=["high"]))
    request = ask("x", answer=media("video"), concept=("dog",), motion=("spinning", "spin"))
    assert metric.misfits([request]) == []
    assert metric.misfits([ask("x", answer=media("video"), concept=("cat",))]) == [
        "a.jsonl:1: no judge knows the concept 'cat'. Known: dog."
    ]


MISFITS = [
    (media("image"), {"concept": ("dog",)}, "no judge for image; give `judge` a checkpoint that classifies image"),
    (media("video"), {}, "a.jsonl:1: nothing to judge: its labels are none, the judges know concept"),
    (media("video"), {"place": ("left",)}, "nothing to judge: its labels are place, the judges know concept"),
    (media("video"), {"concept": ("dogg",)}, "a.jsonl:1: no judge knows the concept 'dogg'. Did you mean 'dog'?"),
]


@pytest.mark.parametrize(("answer", "labels", "message"), MISFITS)
def test_samples_that_cannot_be_judged(
    answer: tuple[MediaRef, ...], labels: dict[str, tuple[str, ...]], message: str
) -> None:
    (problem,) = judged(FakeJudge("video", concept=["dog"])).misfits([ask("x", answer=answer, **labels)])
    assert message in problem


ROUTES = [((), {}, True), (("video",), {"video": 1}, True), (("video",), {"video": 2}, True), ((), {"video": 1}, False),
          (("image", "video"), {"image": 1}, False), (("image",), {"image": 1, "video": 1}, False)]  # fmt: skip


@pytest.mark.parametrize(("wanted", "found", "right"), ROUTES)
def test_routes(wanted: tuple[str, ...], found: dict[str, int], right: bool) -> None:
    plan = wire(flows.one_turn(("text",), allowed=("image", "video")))
    request = ask("do", answer=("x", *media(*wanted)))
    assert scores(Routes(), plan, [request], [signals(**found)], "x") == {"right route": Score(float(right), 1)}


def test_routes_have_a_baseline() -> None:
    routes, asked = Routes(), ask("Film it.", answer=("x",))
    assert [routes.baseline(way, asked) for way in routes.baselines] == [{"route": "video"}]


COUNTED = [
    ([1, 7, 8, 2], (Span("video", 1, 3, 0, ""),), ("video",), {"video": 1}, (1, 1)),
    ([1, 7, 2], (), ("video",), {}, (0, 0)),
    ([7, 8, 8], (Span("video", 0, 2, 0, ""),), ("video",), {"video": 1}, (0, 0)),
    ([9, 9], (Span("image", 0, 1, 0, ""), Span("image", 1, 2, 0, "")), ("image",), {"image": 2}, (1, 0)),
    ([1, 2], (), (), {}, (1, 1)),
]


@pytest.mark.parametrize(("ids", "spans", "wanted", "found", "right"), COUNTED)
def test_signals(
    ids: list[int], spans: tuple[Span, ...], wanted: tuple[str, ...], found: dict[str, int], right: tuple[int, int]
) -> None:
    plan = wire(flows.one_turn(("text",), allowed=("image", "video")))
    values = {"reason.reply": Reply("x", torch.tensor(ids), spans)} | signals(**found)
    request = ask("do", answer=("x", *media(*wanted)))
    made = scores(SignalCounts(), plan, [request], [values], "x")
    assert (made["well-formed signals"].value, made["the signals asked for"].value) == right


def observed(branch: str, name: str, *modalities: str, error: str = "") -> dict[str, Observation]:
    """What a call gave: media of these modalities."""
    given: Any = tuple(SimpleNamespace(modality=modality) for modality in modalities)
    return {f"{branch}.result": Observation(Call(name), media=given, error=error)}


ROUTE = FlowSpec.model_validate(
    {"flow": "acts", "inputs": {"text": "text"}, "outputs": {"text": "$act.text", "image": "$act.image"},
     "nodes": {"reason": {"stage": "reason", "prompt": "$text"},
               "act": {"stage": "route", "reply": "$reason", "make": {"image": {}, "video": {}}}}}
)  # fmt: skip
BRANCHES = [(ROUTE, "act"), (flows.agent(("text",), ("image", "video")), "agent.1")]


@pytest.mark.parametrize(("spec", "begin"), BRANCHES)
def test_calls_that_are_followed_count_as_signals(spec: FlowSpec, begin: str) -> None:
    plan = wire(spec)
    values = observed(f"{begin}.1", "image", "image") | observed(f"{begin}.2", "make_video", "video")
    values |= observed(f"{begin}.3", "film_it", "text", "video") | observed(f"{begin}.4", "image", error="no")
    assert answers.called(plan, values) == ["image", "video", "image"]
    assert answers.made(plan, values) == ["image", "video", "video"]
    request = ask("do", answer=media("image", "image", "video"))
    replies = {"reason.reply": Reply("x", torch.tensor([9, 9, 7, 8]))} if begin == "act" else {}
    found = scores(SignalCounts(), plan, [request], [{**values, **replies}], "x")
    assert found["the signals asked for"].value == float(begin != "act")  # whose reply has loose tokens
    assert scores(Routes(), plan, [request], [values], "x") == {"right route": Score(1.0, 1)}


def test_replies_are_those_of_all_turns() -> None:
    plan = wire(flows.agent(("text",), ("image",)))
    values = {f"agent.{turn}.reason.reply": Reply("x", torch.tensor([9] * turn)) for turn in (1, 2)}
    assert [len(reply.ids) for reply in answers.replies(plan, values)] == [1, 2]
    found = scores(SignalCounts(), plan, [ask("do", answer=("x",))], [values], "x")
    assert found["well-formed signals"] == Score(0.0, 1)


def turned(*turns: tuple[str, ...], said: str = "", stop: str = "answer") -> dict[str, Any]:
    """The values of an agent that made these media, by turn."""
    values: dict[str, Any] = {f"agent.{i}.reason.reply": Reply("x") for i in range(1, len(turns) + 2)}
    for i, names in enumerate(turns, start=1):
        for j, name in enumerate(names, start=1):
            values |= observed(f"agent.{i}.{j}", name, name)
    return values | {"agent.text": Medium("text", said), "agent.stop": Medium("text", stop)}


STEPS = [
    (turned(("image",), ("audio",), said="A guitar."), (1, 1, 1)),
    (turned(("image", "audio"), said="Guitars, plural."), (1, 0, 1)),
    (turned(("audio",), ("image",), said="a guitar", stop="limit"), (0, 1, 0)),
    (turned(("image",), ("audio",), ("audio",)), (0, 0, 1)),
    (turned(said="a guitar"), (0, 1, 1)),
    ({}, (0, 0, 0)),
]


@pytest.mark.parametrize(("values", "right"), STEPS)
def test_steps(values: dict[str, Any], right: tuple[int, int, int]) -> None:
    plan, request = (
        wire(flows.agent(("text",), ("image", "audio"))),
        ask("draw it, play it", answer=media("image", "audio"), concept=("guitar",)),
    )
    found = scores(Steps(), plan, [request], [values], "x")
    names = ("the media asked for, in order", "names the concept", "stopped by answering")
    assert found == {name: Score(float(value), 1) for name, value in zip(names, right, strict=True)}
    assert Steps().groups(request) == ("image -> audio",)


def test_ten_calls_keep_their_order() -> None:
    plan = wire(flows.agent(("text",), ("image", "audio")))
    kinds = ("image", "audio") * 6
    assert answers.made(plan, dict(reversed(turned(kinds).items()))) == list(kinds)


def test_an_answer_of_text_alone_expects_that_nothing_is_made() -> None:
    plan, request = wire(flows.agent(("text",), ("image",))), ask("who are you?", answer=("me",))
    found = scores(Steps(), plan, [request, request], [turned(said="I."), turned(("image",))], "text")
    assert found["the media asked for, in order"] == Score(0.5, 2)
    assert Steps().groups(request) == ("text",)


def test_what_a_flow_lacks_for_steps() -> None:
    asked = [ask("do", answer=media("image", "audio"))]
    lacks = {
        "no agent node, so no steps": flows.one_turn(("text",), ("image", "audio")),
        "no agent that makes audio": flows.agent(("text",), ("image",)),
        None: flows.agent(("text",), ("image", "audio")),
    }
    assert {lack: Steps().lacks(wire(spec), asked) for lack, spec in lacks.items()} == {lack: lack for lack in lacks}


def test_what_a_flow_lacks() -> None:
    film = ask("do", answer=media("video"))
    plan = wire(flows.one_turn(("text",), ("video",)))
    assert judged().lacks(plan, [film]) is None
    assert judged().lacks(plan, [ask("do", answer=media("image", "video"))]) == "no image among its outputs"
    assert Routes().lacks(plan, [film]) is None
