from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from orchestrator.errors import InputError
from orchestrator.evaluation.requests import Asked, asked, batches, by_inputs, collect
from orchestrator.nodes.media import Media
from orchestrator.train.data.report import Report
from orchestrator.train.data.sample import MediaRef, Role, Sample, Turn

PICTURE, SOUND = MediaRef("image", Path("a.png")), MediaRef("audio", Path("a.wav"))
FILM = MediaRef("video", None, "a dog")


def sample(
    question: tuple[str | MediaRef, ...], answer: tuple[str | MediaRef, ...], where: str = "a.jsonl:1"
) -> Sample:
    return Sample((Turn("user", question), Turn("assistant", answer)), where=where)


@pytest.mark.parametrize(
    ("question", "answer", "inputs", "seen", "route"),
    [
        ((PICTURE, "What is this?"), ("a dog",), ("image", "text"), "image", "text"),
        (("Film a dog.",), ("a dog", FILM), ("text",), "text", "video"),
        ((PICTURE, SOUND), ("a dog", FILM, MediaRef("audio")), ("image", "audio"), "image+audio", "audio+video"),
        ((PICTURE, "Twice."), (FILM, FILM), ("image", "text"), "image", "video"),
    ],
)
def test_what_a_sample_asks(
    question: tuple[str | MediaRef, ...],
    answer: tuple[str | MediaRef, ...],
    inputs: tuple[str, ...],
    seen: str,
    route: str,
) -> None:
    request = asked(3, sample(question, answer))
    assert (request.number, request.inputs, request.seen, request.route) == (3, inputs, seen, route)
    assert request.references == (("a dog",) if "a dog" in answer else ())


TURNS = [
    (("user", "assistant", "user", "assistant"), "its turns are user, assistant, user, assistant; an evaluation takes"),
    (("system", "user", "assistant"), "its turns are system, user, assistant"),
    (("assistant",), "its turns are assistant"),
]


@pytest.mark.parametrize(("roles", "message"), TURNS)
def test_a_dialogue_is_no_request(roles: tuple[Role, ...], message: str) -> None:
    with pytest.raises(InputError, match=f"b.jsonl:7: {message}"):
        asked(0, Sample(tuple(Turn(role, ("hello",)) for role in roles), where="b.jsonl:7"))


def test_an_empty_question_is_none() -> None:
    with pytest.raises(InputError, match=r"a.jsonl:1: the question is empty"):
        asked(0, sample((" ",), ("a dog",)))


def test_what_asks_the_same_is_one_with_all_references() -> None:
    report = Report()
    samples = [sample((PICTURE,), (text,)) for text in ("a dog", "a hound")] + [sample(("hi",), ("a cat",))]
    found = collect(samples, report, merges=True)
    assert [(request.number, request.references) for request in found] == [(0, ("a dog", "a hound")), (1, ("a cat",))]
    assert len(collect(samples, report, merges=False)) == 3


def test_a_limit_counts_questions() -> None:
    samples = [sample((PICTURE,), ("a",)), sample((PICTURE,), ("b",)), sample(("hi",), ("c",))]
    assert [request.references for request in collect(samples, Report(), True, limit=1)] == [("a", "b")]


def test_what_is_no_request_is_reported() -> None:
    report = Report(limit=1)
    assert collect([Sample((Turn("assistant", ("hi",)),), where="x:2")], report, merges=False) == []
    assert report.count == 1


def test_groups_and_batches() -> None:
    requests = [asked(i, sample(("hi",) if i % 2 else (PICTURE,), ("x",))) for i in range(5)]
    groups = by_inputs(requests)
    assert {inputs: [r.number for r in rows] for inputs, rows in groups.items()} == {
        ("image",): [0, 2, 4],
        ("text",): [1, 3],
    }
    assert [len(batch) for batch in batches(requests, 2)] == [2, 2, 1]


def test_values_go_to_the_inputs_of_their_modality() -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    request = asked(0, sample((MediaRef("image", pixels), "hello"), ("x",)))
    values = request.values({"prompt": "text", "picture": "image"})
    assert values == {"picture": Media("image", pixels), "prompt": "hello"}


@pytest.mark.parametrize(
    ("takes", "message"),
    [({"text": "text"}, "the flow takes no image"), ({"a": "image", "text": "text"}, "the flow takes 1 image")],
)
def test_a_flow_that_cannot_take_them(takes: dict[str, str], message: str) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    two = (MediaRef("image", pixels), MediaRef("image", pixels), "hello")
    with pytest.raises(InputError, match=re.escape(f"a.jsonl:1: it brings image+image; {message}")):
        asked(0, sample(two, ("x",))).values(takes)


def test_labels_are_the_samples() -> None:
    made = Asked(0, Sample((), labels={"concept": ("dog",)}), "hi", (), (), ())
    assert made.labels == {"concept": ("dog",)}
