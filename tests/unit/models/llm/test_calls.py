"""Tool calls: the tools that are offered, and calls that can't be followed."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import CallError, ModelError
from orchestrator.models.llm.calls import Call, made, maker

KINDS = ("image", "audio")


def test_a_tool_takes_a_caption() -> None:
    function = maker("image")["function"]
    assert function["name"] == "make_image"
    assert function["parameters"]["required"] == ["caption"] == list(function["parameters"]["properties"])
    assert made(Call("make_image", arguments='{"caption": " a dog "}'), KINDS) == ("image", "a dog")


@pytest.mark.parametrize(
    ("tool", "arguments", "message"),
    [
        ("make_imag", '{"caption": "a"}', r"called 'make_imag': there is no such tool\. Did you mean 'make_image'\?"),
        ("make_video", '{"caption": "a"}', r"called 'make_video': there is no such tool"),
        ("make_image", '{"caption": "a', r"its arguments are no JSON: .*: \{\"caption\": \"a$"),
        ("make_image", '["a"]', r"its arguments are no JSON object: \[\"a\"\]"),
        ("make_image", "", r"it takes a caption, a text that is not empty, and nothing else, not \{\}"),
        ("make_image", '{"caption": " "}', r"a text that is not empty"),
        ("make_image", '{"caption": 3}', r"not \{\"caption\": 3\}"),
        ("make_image", '{"caption": "a", "size": 9}', r"nothing else, not \{\"caption\": \"a\", \"size\": 9\}"),
        ("make_image", "x" * 999, r": x{200}\.\.\.$"),
    ],
)
def test_calls_that_cannot_be_followed(tool: str, arguments: str, message: str) -> None:
    with pytest.raises(CallError, match=message) as caught:
        made(Call(tool, arguments=arguments), KINDS)
    assert (caught.value.tool, isinstance(caught.value, ModelError)) == (tool, True)


def test_arguments_may_be_none() -> None:
    found: dict[str, Any] = Call("any").read()
    assert found == {}
