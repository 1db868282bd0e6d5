"""The recipes that train the projectors of a new bundle: skeletons, whose data one fills in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from orchestrator.models.bundle import EncoderSpec

KINDS = {"input_projectors": "mlp", "output_projectors": "transformer"}  # unless another is asked for
PER_TOKEN = ("linear", "mlp")  # kinds that make `num_tokens` of each token: a few of a pooled one, as GILL has it
OF_POOLED = 4

HEADS = {
    "input_projectors": "# Encoders to LLM (equation 2 of the survey): what is seen and heard becomes soft prompts.",
    "output_projectors": "# LLM to generators (equations 4 and 5 of the survey): signals become conditions.",
}
DATA = "# Data: a caption, a tab and the name of a file a line, or whatever else a reader reads (docs/data.md)."
OBJECTIVES: dict[str, dict[str, Any]] = {
    "input_projectors": {"txt_gen": 1},
    "output_projectors": {"mse": 1, "x_gen": {"weight": 1, "snr_gamma": 5, "drop": 0.1}},
}
ASKS = {"input_projectors": "describe", "output_projectors": "make"}
LOOP = {"batch_size": 32, "steps": 3000, "lr": 1e-3, "warmup": 0.03, "schedule": "cosine", "ema": 0.995}


@dataclass(frozen=True)
class Skeleton:
    """A recipe for the projectors of one side: `kinds` by modality, each with its config. `tokens` are whether the
    LLM's signal tokens are new, too."""

    group: str
    kinds: Mapping[str, tuple[str, dict[str, Any]]]
    tokens: bool = False

    def text(self, name: str, bundle: str) -> str:
        """The file; `bundle` is where it begins, seen from it."""
        modalities = list(self.kinds)
        train: dict[str, Any] = {f"{self.group}.{m}": _tuning(*self.kinds[m]) for m in modalities}
        objectives = OBJECTIVES[self.group]
        if self.tokens:  # the LLM learns when to write them
            train["llm.signals"] = {"init": "mean"}
            objectives = {"txt_gen": 1, **objectives}
        data = [
            {"reader": "pairs", "path": f"../data/{m}.tsv", "modality": m, "ask": ASKS[self.group]} for m in modalities
        ]
        recipe = f"{name}-{self.group.replace('_', '-')}"
        given: dict[str, Any] = {"recipe": recipe, "flow": _flow(self.group, modalities), "bundle": bundle}
        given |= {"objectives": objectives, "train": train, "data": data, **LOOP}
        return "\n".join([HEADS[self.group], DATA, *(_lines(given))]) + "\n"


def config(kind: str, group: str, encoder: EncoderSpec | None) -> dict[str, Any]:
    """What a new projector of this kind needs to be told."""
    pooled = group == "input_projectors" and encoder is not None and encoder.select in ("pooled", "cls")
    return {"num_tokens": OF_POOLED} if pooled and kind in PER_TOKEN else {}


def _tuning(kind: str, given: dict[str, Any]) -> dict[str, Any]:
    return {"kind": kind} | ({"config": given} if given else {})


def _flow(group: str, modalities: Sequence[str]) -> str:
    media = " + ".join(modalities)
    return f"{media} -> text" if group == "input_projectors" else f"text -> {media}"


def _lines(given: Mapping[str, Any]) -> list[str]:
    """YAML with an entry of an inner table a line."""
    made = []
    for key, value in given.items():
        rows = value.items() if isinstance(value, dict) else value if isinstance(value, list) else ()
        made.append(f"{key}:" if rows else f"{key}: {_inline(value)}")
        made += [f"  - {_inline(r)}" if isinstance(value, list) else f"  {r[0]}: {_inline(r[1])}" for r in rows]
    return made


def _inline(value: Any) -> str:
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=float("inf"))
    return text.removesuffix("\n").removesuffix("\n...")
