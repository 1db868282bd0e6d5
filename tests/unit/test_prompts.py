from __future__ import annotations

import pytest

from orchestrator.errors import UserError
from orchestrator.prompts import Template, names, template

GOLDEN = {
    "ask": ({"prompt": "What is this?"}, "What is this?"),
    "describe": ({"media": "the picture"}, "Describe the picture."),
    "describe_then": ({"media": "the picture", "make": "film it"}, "Describe the picture, then film it."),
    "make": ({"make": "Film", "prompt": "a {running} dog"}, "Film this: a {running} dog"),
}


def test_every_file_has_a_golden_render() -> None:
    assert names() == tuple(sorted(GOLDEN))


@pytest.mark.parametrize("name", GOLDEN)
def test_golden(name: str) -> None:
    values, text = GOLDEN[name]
    assert template(name).render(**values) == text


@pytest.mark.parametrize(
    ("text", "variables"),
    [("{prompt}", ("prompt",)), ("{b} {a} {b}", ("b", "a")), ("{{x}} {y}", ("y",)), ("No variable.", ()), ("", ())],
)
def test_text_is_a_template_too(text: str, variables: tuple[str, ...]) -> None:
    assert template(text).variables == variables


def test_braces_are_doubled() -> None:
    assert template("{{x}} {y}").render(y="1") == "{x} 1"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", r"template '\{': .* Write '\{\{' for a brace"),
        ("a }", r"template 'a \}': "),
        ("{}", r"'\{\}' is no variable\. Write \{name\}"),
        ("{0}", r"'\{0\}' is no variable"),
        ("{a.__class__}", r"'\{a\.__class__\}' is no variable"),
        ("{a[0]}", "is no variable"),
        ("{a!r}", "is no variable"),
        ("{a:>9}", "is no variable"),
    ],
)
def test_malformed_templates(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Template(text)


def test_an_unknown_name() -> None:
    with pytest.raises(UserError, match=r"no template is named 'descibe'\. Did you mean 'describe'\?"):
        template("descibe")


@pytest.mark.parametrize("values", [{}, {"prompt": "a", "make": "b"}])
def test_values_must_be_those_of_the_template(values: dict[str, str]) -> None:
    with pytest.raises(UserError, match=r"template '\{prompt\}' takes prompt; got "):
        template("ask").render(**values)
