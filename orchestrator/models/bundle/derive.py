"""Derived bundles: `base:` names another bundle, and the file only the parts that differ.

    name: mine
    base: pocket                      # a bundle that ships, or the path of one from this folder
    llm: {adapter: llm.adapter}       # the base's LLM, with an adapter
    input_projectors: {image: {path: image_in}}

Paths stay within the folder of the bundle that names them, and inherited parts keep their places and ids.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.models.bundle.spec import LlmSpec

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle

NOT_INHERITED = ("name", "base", "doc")


def merged(own: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a derived `bundle.yaml`, filled up from its base's. Parts and signals are inherited one by one; of
    the LLM each field, unless the file says where another LLM is. What the file gives as null is not inherited."""
    out = {field: value for field, value in base.items() if field not in NOT_INHERITED} | dict(own)
    for field, inherited in base.items():
        given = own.get(field)
        if (
            isinstance(given, dict)
            and isinstance(inherited, dict)
            and not (field == "llm" and given.keys() & set(LlmSpec.PLACES))
        ):
            out[field] = {key: value for key, value in {**inherited, **given}.items() if value is not None}
    return out


def named(own: Mapping[str, Any]) -> frozenset[str]:
    """The parts that a file says the place of: `llm`, `llm.adapter`, `group.modality`."""
    groups = {field: value for field, value in own.items() if isinstance(value, dict)}
    llm = groups.pop("llm", {})
    found = {"llm" for place in LlmSpec.PLACES if llm.get(place)} | ({"llm.adapter"} if llm.get("adapter") else set())
    given = {f"{group}.{m}" for group, parts in groups.items() for m, part in parts.items() if part is not None}
    return frozenset(found | given)


def derive(
    base: Bundle, folder: Path, name: str, parts: Mapping[str, Mapping[str, Any]], doc: str = "", **fields: Any
) -> Bundle:
    """Write a derived `bundle.yaml` and open it. `parts` are its own: `{"input_projectors.image": {"path": "image_in"},
    "llm": {"adapter": "llm.adapter"}}`; `fields` are other fields of the file. Raises BundleError if it is wrong."""
    from orchestrator.models.bundle import BUNDLE_FILE, Bundle

    content: dict[str, Any] = {"name": name, "doc": doc, "base": base.reference(folder), **fields}
    for part, spec in parts.items():
        group, _, modality = part.partition(".")
        (content.setdefault(group, {}) if modality else content)[modality or group] = dict(spec)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / BUNDLE_FILE).write_text(yaml.safe_dump(content, sort_keys=False), "utf-8")
    return Bundle.open(folder)
