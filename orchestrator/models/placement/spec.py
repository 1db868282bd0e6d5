"""What is asked for the parts of a bundle: on which device, in which precision, and whether they wait in host memory.

    placement:                      # of a bundle; for one run: orch run --place llm=cuda:1,bfloat16
      llm: {device: cuda:1, dtype: bfloat16}
      generators.video: {offload: model}

No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from orchestrator.errors import PlacementError, nearest

EVERY = "*"  # all parts that a placement does not name


class PlacementSpec(BaseModel):
    """What is asked for a part; `auto` is chosen by what fits (see placing.choose)."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    device: str = Field("auto", description="auto, cpu, cuda (any GPU) or cuda:N.")
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = Field("auto", description="What it computes in.")
    offload: Literal["auto", "none", "model", "sequential"] = Field(
        "auto", description="It waits in host memory, and is on the GPU a model at a time or a layer at a time."
    )

    @field_validator("device")
    @classmethod
    def _device(cls, device: str) -> str:
        if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
            raise ValueError(f"no device is named '{device}'; write auto, cpu, cuda or cuda:N")
        return device


Placement = Mapping[str, PlacementSpec]  # part or `*` -> what is asked for it

WORDS: dict[str, dict[str, str]] = {
    "auto": {"device": "auto"},
    "cpu": {"device": "cpu"},
    "cuda": {"device": "cuda"},
    **{dtype: {"dtype": dtype} for dtype in ("float32", "float16", "bfloat16")},
    "resident": {"offload": "none"},
    "offload": {"offload": "model"},
    "sequential": {"offload": "sequential"},
}  # of the command line; beside them cuda:N


def read_words(part: str, words: str) -> dict[str, str]:
    """`cuda:1,bfloat16` as fields of a PlacementSpec. Raises PlacementError for an unknown word, or two of a kind."""
    out: dict[str, str] = {}
    for word in (word.strip() for word in words.split(",")):
        number = word.removeprefix("cuda:")
        found = {"device": word} if number != word and number.isdigit() else WORDS.get(word)
        if found is None:
            raise PlacementError(f"{part}={words}: unknown word '{word}'.{nearest(word, [*WORDS, 'cuda:0'])}")
        if clash := out.keys() & found.keys():
            raise PlacementError(f"{part}={words}: two words for its {clash.pop()}; one is allowed")
        out |= found
    return out


def asked(placement: Mapping[str, Any] | None) -> dict[str, PlacementSpec]:
    """A placement as a user gives it (fields, or a PlacementSpec), checked. Raises PlacementError with all problems."""
    out: dict[str, PlacementSpec] = {}
    problems: list[str] = []
    for part, given in (placement or {}).items():
        try:
            out[part] = PlacementSpec.model_validate(given)
        except ValidationError as error:
            told = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
            problems += [": ".join(filter(None, (f"placement of {part}", where, what))) for where, what in told]
    if problems:
        raise PlacementError("\n".join(problems))
    return out


def merged(part: str, layers: Iterable[Placement]) -> PlacementSpec:
    """What is asked for a part by placements of rising rank: a field of a later one stands over those before, and
    within one the part's own over `*`."""
    fields: dict[str, Any] = {}
    for layer in layers:
        for name in (EVERY, part):
            if name in layer:
                fields |= layer[name].model_dump(exclude_unset=True)
    return PlacementSpec(**fields)
