"""What somebody wants of a new bundle, and the `bundle.yaml` that it comes to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from orchestrator.errors import BundleError
from orchestrator.models.bundle import Bundle, BundleSpec, SignalSpec, derive, misfits

HUB = "hub:"
NAME = re.compile(r"[A-Za-z0-9][\w.-]*")
TOKENS = 8  # of a new signal, as many as GILL has
SIDES = {"input_projectors": "encoders", "output_projectors": "generators"}  # projectors, and whose they are


@dataclass(frozen=True)
class Wish:
    """A new bundle in `folder`. `parts` say where parts are: `llm`, `encoders.image` ... -> a folder, or
    `hub:org/name@revision`; `base` is a bundle that has the others. `kinds` are the kinds of new projectors by part,
    `fields` other fields of the file (`encoders.image.select` -> value). With `copy` parts from elsewhere are copied;
    with `fetch` those of the hub are fetched."""

    name: str
    folder: Path
    parts: Mapping[str, str]
    base: str = ""
    kinds: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    copy: bool = False
    fetch: bool = False

    def content(self, base: Bundle | None) -> dict[str, Any]:
        """The content of its file, without projectors."""
        made: dict[str, Any] = {"name": self.name} | ({"base": base.reference(self.folder)} if base else {})
        for part, where in self.parts.items():
            _at(made, part).update(_place(where))
        for modality in _generated(made, base):
            _at(made, f"signals.{modality}").update(count=TOKENS, token=f"[{modality.upper()}{{}}]")
        for key, value in self.fields.items():
            above, _, last = key.rpartition(".")
            (_at(made, above) if above else made)[last] = value
        return made


def opened(content: Mapping[str, Any], folder: Path, base: Bundle | None) -> Bundle:
    """The bundle that `content` stands for, in a folder that need not be there yet. Raises BundleError with all that is
    wrong with it."""
    own = deepcopy(dict(content))
    try:
        spec = BundleSpec.model_validate(derive.merged(own, base.spec.model_dump()) if base else own)
    except ValidationError as error:
        raise BundleError("\n".join(misfits(error))) from None
    return Bundle(folder, spec, base, derive.named(own))


def token_names(signals: Mapping[str, SignalSpec]) -> list[str]:
    """All signal tokens."""
    return [signal.token.format(i) for signal in signals.values() for i in range(signal.count)]


def _generated(made: Mapping[str, Any], base: Bundle | None) -> list[str]:
    """The modalities whose generators need a new signal."""
    has = base.spec.signals if base else {}
    return [modality for modality in made.get("generators", {}) if modality not in has]


def _place(where: str) -> dict[str, str]:
    if not where.startswith(HUB):
        return {"checkpoint": str(Path(where).expanduser().resolve())}
    repository, _, revision = where.removeprefix(HUB).partition("@")
    return {"hub": repository} | ({"revision": revision} if revision else {})


def _at(table: dict[str, Any], key: str) -> dict[str, Any]:
    """The mapping at a dotted key, made if it is not there."""
    for step in key.split("."):
        table = table.setdefault(step, {})
        if not isinstance(table, dict):
            raise BundleError(f"cannot set a field of '{key}': '{step}' is {table!r}")
    return table
