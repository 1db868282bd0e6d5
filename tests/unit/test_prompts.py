from __future__ import annotations

import pytest

from orchestrator.errors import UserError
from orchestrator.prompts import Template, names, role, template
from orchestrator.prompts.chats import chat_template, chats

GOLDEN = {
    "ask": ({"prompt": "What is this?"}, "What is this?"),
    "describe": ({"media": "the picture"}, "Describe the picture."),
    "describe_then": ({"media": "the picture", "make": "film it"}, "Describe the picture, then film it."),
    "tools": (
        {"tools": "- shout: Say it loudly. Arguments: {}"},
        "You may call these tools:\n- shout: Say it loudly. Arguments: {}\n"
        "To call one, write nothing but a JSON object in a fence, and you will be told what it gave:\n"
        '```json\n{"name": "tool", "arguments": {"argument": "value"}}\n```\n'
        "Write a list of such objects to call several. "
        'Give each an "id" to use what it gave in another: "<resource-ID>".',
    ),
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


SYSTEM = (
    "A chat between a curious user and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the user's questions."
)
TURNS = [("user", "Hi"), ("assistant", "Hello."), ("user", "Draw {it}")]
CHATS = {
    "pocket": "<s><|user|>Hi<|assistant|>Hello.</s><|user|>Draw {it}<|assistant|>",
    "vicuna": f"<s>{SYSTEM} USER: Hi ASSISTANT: Hello.</s> USER: Draw {{it}} ASSISTANT:",
}


def chat(name: str, turns: list[tuple[str, str]]) -> str:
    from transformers.utils.chat_template_utils import render_jinja_template

    said = [{"role": role, "content": text} for role, text in turns]
    marks = {"bos_token": "<s>", "eos_token": "</s>"}
    found, _ = render_jinja_template([said], chat_template=chat_template(name), add_generation_prompt=True, **marks)
    return str(found[0])


def test_every_chat_template_has_a_golden_render() -> None:
    assert chats() == tuple(sorted(CHATS))


@pytest.mark.parametrize("name", CHATS)
def test_golden_chat(name: str) -> None:
    assert chat(name, TURNS) == CHATS[name]


def test_a_system_of_ones_own() -> None:
    assert chat("vicuna", [("system", "Be short."), ("user", "Hi")]) == "<s>Be short. USER: Hi ASSISTANT:"


@pytest.mark.parametrize("name", ["controller", "decider", "refiner"])
def test_roles_are_texts(name: str) -> None:
    assert role(name).startswith("You ")
    assert (role("Be kind."), role("")) == ("Be kind.", "")


def test_an_unknown_role() -> None:
    with pytest.raises(UserError, match=r"no role is named 'refine'\. Did you mean 'refiner'"):
        role("refine")
