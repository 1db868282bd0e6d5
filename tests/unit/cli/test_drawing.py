from __future__ import annotations

from collections.abc import Callable

from orchestrator.cli.drawing import Drawing
from orchestrator.flow import loads, parse, wire


def test_the_terminal_picture(drawn: Callable[..., str]) -> None:
    shown = drawn(Drawing.of(wire(parse("image + text -> text"))), width=80)
    assert [line.rstrip() for line in shown.splitlines()] == [
        "◇   image    input    Media[image]",
        "●   encode   encode   Features[image]",
        "●   project  project  Prompts[image]",
        "│ ◇ text     input    Media[text]",
        "├─╯",
        "●   reason   reason   Reply",
        "●   decode   decode   Media[text]",
        "◆   text     output   Media[text]",
    ]


def test_several_ports_and_conditions_are_named(drawn: Callable[..., str]) -> None:
    plan = wire(loads(
        "flow: f\ninputs: {text: text}\nnodes:\n"
        "  think: {stage: reason, prompt: $text}\n"
        "  split: {stage: decode, reply: $think}\n"
        "  film:  {stage: output_project, signal: $split.video, when: $split.audio}\n"
        "  make:  {stage: generate, condition: $film}\n"
        "outputs: {caption: $split.text, video: $make}\n"
    ))  # fmt: skip
    shown = drawn(Drawing.of(plan))
    assert "text: Media[text]" in shown
    assert "Condition[video]  when $split.audio" in shown
