"""What metrics make of replies; the values of flows are made up."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from orchestrator.flow.plan import Plan
from orchestrator.flow.wiring import wire
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import SignalTokens, Span
from orchestrator.nodes.media import Media as Medium
from orchestrator.nodes.ports import Reply, Signals
from orchestrator.train.data.sample import MediaRef, Sample, Turn
from orchestrator.train.evaluation import flows
from orchestrator.train.evaluation.metrics import Captions, Media, Routes, Score, SignalCounts
from orchestrator.train.evaluation.requests import Asked, asked

PARTS: Any = SimpleNamespace(load=lambda part: SimpleNamespace(signals=SignalTokens({"video": [7, 8], "image": [9]})))
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
    cases = metric.see(plan, PARTS, requests, values, group)
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


def test_what_a_flow_lacks() -> None:
    film = ask("do", answer=media("video"))
    plan = wire(flows.one_turn(("text",), ("video",)))
    assert judged().lacks(plan, [film]) is None
    assert judged().lacks(plan, [ask("do", answer=media("image", "video"))]) == "no image among its outputs"
    assert Routes().lacks(plan, [film]) is None
