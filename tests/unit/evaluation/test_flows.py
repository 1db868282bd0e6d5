from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.evaluation.flows import agent, bridged, named, one_turn, output, sources
from orchestrator.flow import Plan, wire

ROOT = Path(__file__).parents[3]


def nodes(plan: Plan) -> list[str]:
    return [node.name for node in plan.nodes]


@pytest.mark.parametrize(
    ("inputs", "made", "expected"),
    [
        (("image", "text"), (), ["encode", "project", "reason", "decode"]),
        (("text",), ("video",), ["reason", "decode", "output_project", "generate"]),
        (("image", "audio"), (), ["encode", "encode_2", "project", "project_2", "reason", "decode"]),
        (("image", "image"), ("image",),
         ["encode", "encode_2", "project", "project_2", "reason", "decode", "output_project", "generate"]),
    ],
)  # fmt: skip
def test_one_turn(inputs: tuple[str, ...], made: tuple[str, ...], expected: list[str]) -> None:
    plan = wire(one_turn(inputs, made))
    assert sorted(nodes(plan)) == sorted(expected)
    assert set(plan.outputs) == {"text", *made}
    assert plan.node("reason").stage.config.signals == made
    assert plan.node("reason").stage.config.require == ()


def test_signals_may_be_allowed_without_being_generated() -> None:
    plan = wire(one_turn(("text",), allowed=("image", "video")))
    assert plan.node("reason").stage.config.signals == ("image", "video")


def test_bridges_differ_in_the_bridge_alone() -> None:
    spec = one_turn(("text",), ("image", "video"))
    caption = bridged(spec, "caption")
    assert {name for name in spec.nodes if spec.nodes[name] != caption.nodes[name]} == {
        "output_project",
        "output_project_2",
    }
    assert {wire(caption).node(n).stage.config.bridge for n in ("output_project", "output_project_2")} == {"caption"}


def test_route_and_agent_take_the_bridge_too() -> None:
    plan = wire(bridged(agent(("image", "text"), ("video",)), "caption"))
    assert (plan.node("agent").stage.config.bridge, sorted(plan.outputs)) == ("caption", ["text", "video"])
    assert sorted(nodes(plan)) == ["agent", "encode", "project"]


def test_a_named_flow() -> None:
    assert named("text -> video", Path("nowhere")).flow == "text-to-video"
    assert named("film_this.yaml", ROOT / "flows").flow == "film-this"


def test_where_things_are() -> None:
    plan = wire(named("image -> text -> video", Path()))
    assert sources(plan, "Reply") == ["reason.reply", "reason_2.reply"]
    assert sources(plan, "Signals", "video") == ["decode.video", "decode_2.video"]
    assert (output(plan, "text"), output(plan, "video"), output(plan, "image")) == (
        "decode.text",
        "generate_2.media",
        None,
    )
