from __future__ import annotations

from types import SimpleNamespace

import pytest

from orchestrator.flow.refs import Ref, When, parse_ref, parse_when


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ("$see", Ref("see")),
        ("$split.video", Ref("split", "video")),
        ("$a-b_2.c", Ref("a-b_2", "c")),
        ("see", None),
        ("$", None),
        ("$See", None),
        ("$see.", None),
        ("$see.a.b", None),
        ("$see now", None),
    ],
)
def test_references(text: str, ref: Ref | None) -> None:
    assert parse_ref(text) == ref
    assert ref is None or str(ref) == text


@pytest.mark.parametrize(
    ("text", "when"),
    [
        ("$split.video", When("$split.video")),
        ("not $split.video", When("$split.video", "absent")),
        ("$split.text == yes", When("$split.text", "==", "yes")),
        ("$mode != 'two words'", When("$mode", "!=", "two words")),
        ('$mode=="5"', When("$mode", "==", "5")),
        ("$mode == 5", When("$mode", "==", 5.0)),
        ("split.video", None),
        ("not $a == b", None),
        ("$a ==", None),
        ("$a and $b", None),
        ("", None),
    ],
)
def test_conditions(text: str, when: When | None) -> None:
    assert parse_when(text) == when


@pytest.mark.parametrize(
    ("when", "found", "holds"),
    [
        (When("x"), "a", True),
        (When("x"), None, False),
        (When("x", "absent"), "a", False),
        (When("x", "absent"), None, True),
        (When("x", "==", "yes"), " yes\n", True),
        (When("x", "==", "yes"), "no", False),
        (When("x", "!=", "yes"), "no", True),
        (When("x", "!=", "yes"), None, False),
        (When("x", "==", 5.0), "5", True),
        (When("x", "==", 5.0), "five", False),
        (When("x", "!=", 5.0), "five", True),
        (When("x", "==", "5"), "5.0", False),
    ],
)
def test_holds(when: When, found: str | None, holds: bool) -> None:
    values = {"x": None if found is None else SimpleNamespace(text=found)}
    assert when.refs() == ("x",)
    assert when.holds(values.get) is holds
