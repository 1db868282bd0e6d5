"""Python functions and LangChain tools as tools of an LLM: the schema of their arguments, and a checked call.

A function says by its types what it takes, and by its docstring what it does. A parameter of type Media takes what
another call made; what a function returns becomes media: texts, pictures, Media, or anything that is JSON.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from orchestrator.errors import CallError, InputError, UserError
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Tool

GIVEN = "What an earlier call made, by its name: <resource-NAME>."


class Schemas(GenerateJsonSchema):
    """JSON schemas in which media are names of what was made."""

    def is_instance_schema(self, schema: Any) -> JsonSchemaValue:
        """Media, or what has no schema."""
        return (
            {"type": "string", "description": GIVEN} if schema["cls"] is Media else super().is_instance_schema(schema)
        )


def load(entry: str) -> Any:
    """The function or LangChain tool `module:name`; modules in the folder of the caller are found. This runs code: who
    calls it has asked for trust. Raises UserError if there is none."""
    try:
        with _here():
            found = pkgutil.resolve_name(entry)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"no function '{entry}': {error}; write module:function") from None
    if not (callable(found) or _is_langchain(found)):
        raise UserError(f"'{entry}' is no function and no tool, but {type(found).__name__}")
    return found


def described(entry: str, name: str = "", doc: str = "") -> Tool:
    """A function as a tool. Raises UserError for one whose signature does not say what it takes."""
    found = load(entry)
    if _is_langchain(found):
        schema, called, about = found.get_input_jsonschema(), found.name, found.description
    else:
        schema, called = arguments(found).model_json_schema(schema_generator=Schemas), found.__name__
        about = (inspect.getdoc(found) or "").partition("\n\n")[0]
    return Tool(name or called, doc or about, json.dumps(schema), "function", entry)


def call(tool: Tool, given: Mapping[str, Any]) -> tuple[Media, ...]:
    """Call a function with arguments. Raises CallError for those that it does not take, and for what it raises."""
    found = load(tool.target)
    try:
        if _is_langchain(found):
            result = found.invoke(dict(given))
        else:
            checked = arguments(found).model_validate(dict(given))
            result = found(**{name: getattr(checked, name) for name in type(checked).model_fields})
        return media(asyncio.run(_awaited(result)) if inspect.isawaitable(result) else result)
    except ValidationError as error:
        raise CallError(tool.name, told(error)) from None
    except Exception as error:  # the function is somebody else's: anything may come, and the LLM is told
        raise CallError(tool.name, f"it failed: {type(error).__name__}: {error}") from error


def told(error: ValidationError) -> str:
    """What is wrong with arguments, for an LLM to read."""
    lines = [f"{'.'.join(map(str, e['loc'])) or 'arguments'}: {e['msg']}, not {e['input']!r}" for e in error.errors()]
    return f"wrong arguments: {'; '.join(lines)}"


def arguments(function: Callable[..., Any]) -> type[BaseModel]:
    """The parameters of a function as a pydantic model."""
    name = getattr(function, "__name__", "function")
    hints = get_type_hints(function, include_extras=True)
    fields: dict[str, Any] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.POSITIONAL_ONLY):
            raise UserError(f"function '{name}': parameter '{parameter}' has no name that an LLM could give it by")
        if parameter.name not in hints:
            raise UserError(f"function '{name}': parameter '{parameter.name}' has no type; write {parameter.name}: str")
        default = ... if parameter.default is parameter.empty else parameter.default
        fields[parameter.name] = (hints[parameter.name], Field(default))
    config = ConfigDict(extra="forbid", arbitrary_types_allowed=True, protected_namespaces=())
    try:
        made: type[BaseModel] = create_model(name, __config__=config, **fields)
        made.model_json_schema(schema_generator=Schemas)
    except (PydanticUserError, ValueError, TypeError) as error:
        raise UserError(f"function '{name}': its arguments have no JSON schema: {error}") from None
    return made


def media(result: Any) -> tuple[Media, ...]:
    """What a function returned as media: several if it is a list or tuple with media in it."""
    if isinstance(result, (list, tuple)) and any(_is_medium(item) for item in result):
        return tuple(medium for item in result for medium in media(item))
    if isinstance(result, str):
        return (Media.load(result, "text"),)
    if _is_medium(result):
        return (Media.load(result),)
    plain = result.model_dump(mode="json") if isinstance(result, BaseModel) else result
    return (Media.load(json.dumps(plain, ensure_ascii=False, default=str), "text"),)


def _is_medium(value: Any) -> bool:
    if isinstance(value, (str, bytes)) or value is None:
        return False
    try:
        return bool(Media.load(value))
    except InputError:
        return False


def _is_langchain(found: Any) -> bool:
    """Without importing LangChain: who has a tool of it has imported it."""
    module = sys.modules.get("langchain_core.tools")
    return module is not None and isinstance(found, module.BaseTool)


async def _awaited(result: Any) -> Any:
    return await result


@contextmanager
def _here() -> Iterator[None]:
    """The folder of the caller is on the path, as it is for `python`."""
    here = os.getcwd()
    added = here not in sys.path
    if added:
        sys.path.insert(0, here)
    try:
        yield
    finally:
        if added and here in sys.path:
            sys.path.remove(here)
