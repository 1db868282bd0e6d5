from __future__ import annotations

import copy

import pytest

from orchestrator.errors import FlowError
from orchestrator.flow.builder import FlowBuilder, NodeRef, free_name
from orchestrator.flow.yaml_io import loads


def test_it_builds_the_flow_of_the_docs(film_this: str) -> None:
    flow = FlowBuilder("film-this")
    image = flow.input("image", "image")
    prompt = flow.input("prompt", "text", default="Describe the picture, then film it.")
    see = flow.add("encode", "see", media=image)
    align = flow.add("project", "align", features=see)
    think = flow.add("reason", "think", prompt=prompt, media=(align,))
    split = flow.add("decode", "split", reply=think)
    bridge = flow.add("output_project", "bridge", signal=split["video"])
    film = flow.add("generate", "film", condition=bridge, steps=12, seed=7)
    flow.output("caption", split.text)
    flow.output("video", film)
    assert flow.build() == loads(film_this)


def test_nodes_are_named_after_their_stage() -> None:
    flow = FlowBuilder("a")
    assert [str(flow.add("encode", media="$image")) for _ in range(3)] == ["$encode", "$encode_2", "$encode_3"]


def test_references_within_fields() -> None:
    flow, split = FlowBuilder("a"), NodeRef("split")
    flow.add("reason", when=split.video, prompt={"from": split.text, "when": "not $x"}, media=[NodeRef("a"), "$b"])
    assert flow.build().nodes["reason"].to_plain() == {
        "stage": "reason",
        "when": "$split.video",
        "prompt": {"from": "$split.text", "when": "not $x"},
        "media": ["$a", "$b"],
    }


def test_what_is_built_stays_as_it_is() -> None:
    flow = FlowBuilder("a")
    before = flow.build()
    flow.add("encode", media="$image")
    assert before.nodes == {}


def test_a_node_reference_can_be_copied() -> None:
    assert str(copy.copy(NodeRef("a")).text) == "$a.text"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda flow: flow.input("image", "image"), "input 'image': flow 'a' has it already; try 'image_2'"),
        (lambda flow: flow.add("encode", "see"), "node 'see': flow 'a' has it already; try 'see_2'"),
        (lambda flow: flow.output("text", "$see"), "output 'text': flow 'a' has it already; try 'text_2'"),
    ],
)
def test_names_are_given_once(call: object, message: str) -> None:
    flow = FlowBuilder("a")
    flow.input("image", "image")
    flow.output("text", flow.add("encode", "see"))
    with pytest.raises(FlowError, match=message):
        call(flow)  # type: ignore[operator]


def test_free_name() -> None:
    assert [free_name("a", taken) for taken in ([], ["a"], ["a", "a_2"])] == ["a", "a_2", "a_3"]
