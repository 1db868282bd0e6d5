from __future__ import annotations

import pytest

from orchestrator.errors import Problem
from orchestrator.flow.spec import FlowSpec, InputSpec, NodeSpec, Source


def test_short_and_long_inputs_are_the_same() -> None:
    assert InputSpec.model_validate("image") == InputSpec(modality="image")
    assert InputSpec(modality="image").to_plain() == "image"
    long = {"modality": "text", "default": "", "doc": "asked"}
    assert InputSpec.model_validate(long).to_plain() == long


def test_fields_of_a_node_are_what_is_not_stage_or_when() -> None:
    plain = {"stage": "generate", "when": "$a", "condition": "$b", "copy": 1, "fields": 2}
    node = NodeSpec.model_validate(plain)
    assert node.fields == {"condition": "$b", "copy": 1, "fields": 2}
    assert node.to_plain() == plain


def test_where_a_spec_was_read_is_no_part_of_it() -> None:
    spec = FlowSpec(flow="a")
    read = spec.read_from(Source("a.yaml", {("flow",): (1, 1)}))
    assert read == spec
    assert (read.source.name, spec.source.name) == ("a.yaml", "")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        (("nodes", "film", "steps"), Problem("node 'film': x", "a.yaml", 4, 9)),
        (("nodes", "film", "media", 3), Problem("node 'film': x", "a.yaml", 4, 3)),
        (("inputs", "image"), Problem("input 'image': x", "a.yaml", 0, 0)),
        (("nodes",), Problem("x", "a.yaml", 3, 1)),
    ],
)
def test_a_problem_stands_at_the_closest_mark(path: tuple[str | int, ...], problem: Problem) -> None:
    marks = {("nodes",): (3, 1), ("nodes", "film"): (4, 3), ("nodes", "film", "steps"): (4, 9)}
    assert Source("a.yaml", marks).problem(path, "x") == problem
