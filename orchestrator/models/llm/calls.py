"""Calls: what an LLM asks for. No torch here.

A signal is a tool call: its name is the modality, its argument the hidden states, or the caption from an LLM that gives
text only. Such an LLM is offered a tool for each modality, `make_image(caption)`. One without native tool calls writes
them into its text: JSON objects, or a plan with dependencies as in HuggingGPT (arXiv 2303.17580).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import CallError, nearest

if TYPE_CHECKING:
    from torch import Tensor

MAKE = "make_"
NAMES, ARGUMENTS = ("name", "tool", "task", "function"), ("arguments", "args", "parameters", "input")  # what JSON says
FENCED = re.compile(r"```[ \t]*(?:json|tool_call)?[ \t]*\n(.*?)```|<tool_call>(.*?)</tool_call>", re.DOTALL)
RESOURCE = re.compile(r"<resource-([\w-]+)>")


@dataclass(frozen=True)
class Call:
    """One thing that the LLM asks for: media, by `name` a modality and a condition, or a tool.

    The condition is `states` and `embeds` [n_signal, d_llm] at the tokens of a signal (None from a text-only LLM), and
    the caption that it came with; in a dialogue's turn of the assistant it stands for its tokens, without any. A tool's
    `arguments` are JSON as the LLM wrote it. `place` is the character offset in the reply's text, `id` its name for
    others, `needs` the ids of the calls that it waits for.
    """

    name: str
    caption: str = ""
    place: int = 0
    states: Tensor | None = None
    embeds: Tensor | None = None
    arguments: str = ""
    id: str = ""
    needs: tuple[str, ...] = ()

    def read(self) -> dict[str, Any]:
        """The arguments. Raises CallError if they are no JSON object."""
        try:
            found = json.loads(self.arguments or "{}")
        except ValueError as error:
            raise CallError(self.name, f"its arguments are no JSON: {error}: {_short(self.arguments)}") from None
        if not isinstance(found, dict):
            raise CallError(self.name, f"its arguments are no JSON object: {_short(self.arguments)}")
        return found


def maker(modality: str) -> dict[str, Any]:
    """The tool that makes a modality, as chat endpoints take it."""
    caption = {"type": "string", "description": "What it shows or sounds like."}
    return as_tool(
        MAKE + modality,
        f"Make {modality} for the user from a description of what it shows or sounds like.",
        {"type": "object", "properties": {"caption": caption}, "required": ["caption"], "additionalProperties": False},
    )


def as_tool(name: str, description: str, schema: Any) -> dict[str, Any]:
    """A tool as chat endpoints take it; `schema` is the JSON schema of its arguments."""
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


def made(call: Call, modalities: Iterable[str]) -> tuple[str, str]:
    """(modality, caption) of a call for one of these modalities. Raises CallError for an unknown tool, and for
    arguments that are not its own."""
    tools = {MAKE + modality: modality for modality in modalities}
    modality = tools.get(call.name, call.name)
    if modality not in tools.values():
        raise CallError(call.name, f"there is no such tool.{nearest(call.name, tools)}")
    if call.name == modality and not call.arguments:  # a signal
        return modality, call.caption
    arguments = call.read()
    caption = arguments.get("caption")
    if not isinstance(caption, str) or not caption.strip() or len(arguments) > 1:
        said = _short(json.dumps(arguments))
        raise CallError(call.name, f"it takes a caption, a text that is not empty, and nothing else, not {said}")
    return modality, caption.strip()


def written(text: str) -> tuple[str, tuple[Call, ...]]:
    """The calls that an LLM wrote into a text as JSON, and the text without them.

    They stand in a fence or in <tool_call> tags, or are all of the text. What is JSON but no call stays text; a fence
    whose JSON is broken is a call without a name, which can't be followed and is told so.
    """
    if (whole := _calls(_parsed(text), 0)) is not None:
        return "", whole
    left, found, begin = "", list[Call](), 0
    for block in FENCED.finditer(text):
        inner = block[1] if block[1] is not None else block[2]
        calls = _calls(_parsed(inner), len((left + text[begin : block.start()]).strip()))
        if calls is None and _looks_like_a_call(inner):
            calls = (Call("", place=len(left), arguments=inner.strip()),)
        if calls is not None:
            left, begin = left + text[begin : block.start()], block.end()
            found += calls
    return (left + text[begin:]).strip(), tuple(found)


def ready(calls: Sequence[Call], done: Iterable[int]) -> list[int]:
    """The indices of the calls that can be followed now. What waits for itself, or for what no call gives, is ready at
    last, and fails by name."""
    over = set(done)
    ids = {call.id: i for i, call in enumerate(calls) if call.id}
    left = [i for i in range(len(calls)) if i not in over]
    free = [i for i in left if all(ids.get(need, -1) in over for need in calls[i].needs)]
    return free or left


def _parsed(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _calls(found: Any, place: int) -> tuple[Call, ...] | None:
    """The calls that parsed JSON is: one, a list of them, or a plan; None if it is none."""
    items = found if isinstance(found, list) else [found]
    calls = [_call(item, place) for item in items]
    return tuple(call for call in calls if call) if calls and all(calls) else None


def _call(item: Any, place: int) -> Call | None:
    if not isinstance(item, dict):
        return None
    item = item["function"] | {"id": item.get("id", "")} if isinstance(item.get("function"), dict) else item
    name = next((item[key] for key in NAMES if isinstance(item.get(key), str)), None)
    given = next((item[key] for key in ARGUMENTS if key in item), None)
    if name is None or given is None:
        return None
    arguments = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
    before = item.get("dep", [])
    needs = [str(d) for d in (before if isinstance(before, list) else [before]) if str(d) != "-1"]
    needs += RESOURCE.findall(arguments)  # a reference is a dependency, said or not
    return Call(name, "", place, arguments=arguments, id=str(item.get("id", "")), needs=tuple(dict.fromkeys(needs)))


def _looks_like_a_call(text: str) -> bool:
    return any(f'"{name}"' in text for name in NAMES) and any(f'"{word}"' in text for word in ARGUMENTS)


def _short(text: str, most: int = 200) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
