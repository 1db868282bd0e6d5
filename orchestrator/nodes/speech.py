"""A dialogue with calls, as LLMs are told it: turns for one that runs here, messages for a remote one."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from orchestrator.errors import CallError
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.ports import Observation, Tool, Turn
from orchestrator.nodes.sight import part
from orchestrator.prompts import template

Spoken = tuple[str, list[Any]]  # a role; texts, Prompts, and in the assistant's turns Calls


def turns(said: Sequence[Turn], tools: Sequence[Tool]) -> list[Spoken]:
    """As an LLM is told that runs here: what there is to call stands in the system turn."""
    return [_spoken(turn) for turn in headed("", said, offered(tools) if tools else "")]


def headed(who: str, said: Sequence[Turn], tools: str = "") -> list[Turn]:
    """A dialogue whose system turn begins with `who` the LLM is, and ends with what it is told of `tools`."""
    head, rest = (said[0].text, said[1:]) if said and said[0].role == "system" else ("", said)
    text = "\n\n".join(filter(None, (who, head, tools)))
    return [*([Turn("system", text)] if text else []), *rest]


def shorter(said: Sequence[Turn]) -> Iterator[list[Turn]]:
    """A dialogue, and what is left of it when its oldest exchanges are forgotten, one after the other; what the LLM is
    told to be stays, and so does all from the user's last turn on."""
    head = [turn for turn in said[:1] if turn.role == "system"]
    rest = said[len(head) :]
    begins = {0, *(i for i, turn in enumerate(rest) if turn.role == "user")}
    yield from ([*head, *rest[begin:]] for begin in sorted(begins))


def offered(tools: Sequence[Tool]) -> str:
    """What there is to call, in words."""
    lines = (f"- {tool.name}: {tool.description} Arguments: {tool.schema}" for tool in tools)
    return template("tools").render(tools="\n".join(lines))


def messages(said: Sequence[Turn]) -> list[dict[str, Any]]:
    """As a chat endpoint is told."""
    out: list[dict[str, Any]] = []
    for before, turn in zip((None, *said), said, strict=False):
        if turn.role == "tool" and before and before.calls:
            calls = zip(_ids(before.calls), turn.observations, strict=True)
            out += [{"role": "tool", "tool_call_id": name, "content": told(given)} for name, given in calls]
            if seen := _seen(turn):  # endpoints take no media from tools
                out.append({"role": "user", "content": _parts(seen, "")})
            continue
        out.append({"role": _role(turn), "content": _parts(_seen(turn), _content(turn))} | _called(turn.calls))
    return out


def told(observation: Observation) -> str:
    """What a call gave, in words; media by the name that other calls refer to them by."""
    name = observation.call.name or "a call"
    if observation.error:
        return f"{name} failed: {observation.error}"
    given = [
        m.text if m.modality == "text" else f"{m.modality} <resource-{observation.name}>" for m in observation.media
    ]
    return f"{name}: {', '.join(given) or 'done'}"


def _role(turn: Turn) -> str:
    return "user" if turn.role == "tool" else turn.role


def _content(turn: Turn) -> str:
    """What is said; in a turn of tools it is a template of what they gave."""
    if turn.role != "tool":
        return turn.text
    said = template(turn.text)
    return said.render(**dict.fromkeys(said.variables, "\n".join(map(told, turn.observations))))


def _spoken(turn: Turn) -> Spoken:
    if turn.role == "assistant":
        return turn.role, list(_with_signals(turn))
    return _role(turn), [*_seen(turn), _content(turn)]


def _seen(turn: Turn) -> list[Any]:
    """What a turn shows, in order."""
    return [*turn.seen, *(seen for observation in turn.observations for seen in observation.seen)]


def _parts(seen: Sequence[Any], text: str) -> str | list[dict[str, Any]]:
    """The content of a message: a text, or where media are shown parts, these first."""
    return [*map(part, seen), *([{"type": "text", "text": text}] if text else [])] if seen else text


def _with_signals(turn: Turn) -> Iterator[Any]:
    """What the assistant said, with its signals where they stood."""
    begin = 0
    for call in turn.calls:
        yield turn.text[begin : call.place]
        yield _written(call) if call.arguments else Call(call.name)
        begin = call.place
    yield turn.text[begin:]


def _written(call: Call) -> str:
    """A tool's call in the text, as an LLM without native calls writes it."""
    return f'\n```json\n{{"name": {json.dumps(call.name)}, "arguments": {_json(call)}}}\n```\n'


def _called(calls: Sequence[Call]) -> dict[str, Any]:
    """Tool calls as the assistant's message has them."""
    listed = [
        {"id": name, "type": "function", "function": {"name": call.name or "none", "arguments": _json(call)}}
        for name, call in zip(_ids(calls), calls, strict=True)
    ]
    return {"tool_calls": listed} if listed else {}


def _ids(calls: Sequence[Call]) -> list[str]:
    return [call.id or f"call-{i}" for i, call in enumerate(calls)]


def _json(call: Call) -> str:
    """The arguments; malformed ones are left out, since endpoints read them. What was wrong is told by the result."""
    try:
        return json.dumps(call.read())
    except CallError:
        return "{}"
