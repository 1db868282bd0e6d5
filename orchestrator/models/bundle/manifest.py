"""The manifest of a projector: what it was trained against, checked field by field before it is used.

`projector.json` stands beside `model.safetensors`. A mismatch is refused by name; weights are never loaded loosely.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from pydantic import BaseModel, ConfigDict, ValidationError

from orchestrator.errors import BundleError, UserError
from orchestrator.models import encoder_facts, facts

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.models.bundle import Bundle

MANIFEST_FILE = "projector.json"
WEIGHTS_FILE = "model.safetensors"
# Vicuna has the second, OPT the third
TOKENIZERS = (("tokenizer.json",), ("tokenizer.model",), ("vocab.json", "merges.txt"))


class End(BaseModel):
    """One end of a projector: the model there, and the width of its features."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    id: str
    dim: int


class Manifest(BaseModel):
    """What a projector is, and what it was trained against. `condition` is the generator's keyword that it makes, and
    its [L, d]; what else the generator takes is the generator's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    kind: str
    config: dict[str, Any]
    llm: End
    tokenizer: str
    encoder: End | None = None
    generator: str = ""
    condition: dict[str, tuple[int, int]] = {}
    signals: tuple[str, ...] = ()
    recipe: str = ""
    step: int = 0

    @property
    def keyword(self) -> str:
        """The generator's keyword argument that takes H_X, e.g. `prompt_embeds`."""
        return next(iter(self.condition))

    @classmethod
    def read(cls, folder: Path) -> Manifest:
        """Raises BundleError if it is missing or wrong."""
        try:
            return cls.model_validate_json((folder / MANIFEST_FILE).read_text("utf-8"))
        except OSError as error:
            raise BundleError(f"{folder} is no projector: {MANIFEST_FILE}: {error.strerror}") from None
        except ValidationError as error:
            lines = [f"{folder / MANIFEST_FILE}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise BundleError("\n".join(lines)) from None


def new_projector(bundle: Bundle, part: str, kind: str, recipe: str = "", **config: Any) -> nn.Module:
    """An untrained projector between the bundle's parts: its dims follow from them (and, on the output side, the
    number of its tokens); `config` is the rest. `.manifest` is its manifest. Raises UserError for what does not fit."""
    from orchestrator.projectors import build

    group, _, modality = part.partition(".")
    ends = describe_ends(bundle, group, modality)
    dims = DIMS[group](kind, ends)
    if given := sorted(dims.keys() & config.keys()):
        follow = ", ".join(f"{name} is {dims[name]}" for name in given)
        raise UserError(f"{part}: leave out {', '.join(given)}: it follows from the bundle's parts ({follow})")
    module: Any = build(kind, **dims, **config)
    module.manifest = Manifest(kind=kind, config=module.config, recipe=recipe, **ends)
    return cast("nn.Module", module)


def _input_dims(kind: str, ends: Mapping[str, Any]) -> dict[str, int]:
    """Features of the encoder -> soft prompts of the LLM; `kind` may make any number."""
    return {"in_dim": ends["encoder"].dim, "out_dim": ends["llm"].dim}


def _output_dims(kind: str, ends: Mapping[str, Any]) -> dict[str, int]:
    """States at the signal tokens -> the generator's condition [L, d]."""
    from orchestrator.projectors import num_tokens_for

    ((length, width),) = ends["condition"].values()
    try:
        tokens = num_tokens_for(kind, len(ends["signals"]), length)
    except UserError as error:
        both = f"the signal has {len(ends['signals'])} tokens, '{ends['generator']}' takes {length}"
        raise UserError(f"{error} ({both})") from None
    return {"in_dim": ends["llm"].dim, "out_dim": width, "num_tokens": tokens}


# group -> what follows from the ends of a projector of a kind
DIMS: dict[str, Callable[[str, Mapping[str, Any]], dict[str, int]]] = {
    "input_projectors": _input_dims,
    "output_projectors": _output_dims,
}


def save_projector(module: nn.Module, manifest: Manifest, folder: Path) -> None:
    """Write weights and manifest."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    save_file({k: v.contiguous() for k, v in module.state_dict().items()}, folder / WEIGHTS_FILE)
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest.model_dump(mode="json"), indent=2) + "\n")


def load_projector(bundle: Bundle, part: str) -> nn.Module:
    """A projector with its weights, loaded strictly; `.manifest` is its manifest. Raises BundleError on a mismatch."""
    import torch
    from safetensors.torch import load_file

    from orchestrator.projectors import build

    problems = projector_problems(bundle, part)
    if problems:
        raise BundleError("\n".join(problems))
    folder = bundle.path(part)
    manifest = Manifest.read(folder)
    with torch.device("meta"):
        module = build(manifest.kind, **manifest.config)
    try:
        module.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=True, assign=True)
    except RuntimeError as error:
        raise BundleError(f"{folder / WEIGHTS_FILE} does not fit {manifest.kind} {manifest.config}: {error}") from None
    module.manifest = manifest  # type: ignore[assignment]
    return module.float()


def describe_ends(bundle: Bundle, group: str, modality: str) -> dict[str, Any]:
    """The manifest fields that follow from the bundle, for a projector of this group and modality."""
    llm = bundle.path("llm")
    fields: dict[str, Any] = {
        "llm": End(id=bundle.id("llm"), dim=facts.llm_dim(llm)),
        "tokenizer": tokenizer_hash(llm),
    }
    if group == "input_projectors":
        encoder = f"encoders.{modality}"
        return fields | {"encoder": End(id=bundle.id(encoder), dim=encoder_facts.encoder_dim(bundle.path(encoder)))}
    if modality not in bundle.spec.signals:
        has = ", ".join(bundle.spec.signals) or "none"
        raise BundleError(f"bundle '{bundle.name}' has an output projector but no signal for {modality}; it has: {has}")
    signal, generator = bundle.spec.signals[modality], f"generators.{modality}"
    return fields | {
        "generator": bundle.id(generator),
        "condition": facts.condition(bundle.path(generator)),
        "signals": tuple(signal.token.format(i) for i in range(signal.count)),
    }


def projector_problems(bundle: Bundle, part: str) -> list[str]:
    """Every manifest field of a projector that does not fit the bundle, else those that contradict each other; none of
    other parts."""
    group, _, modality = part.partition(".")
    if group not in ("input_projectors", "output_projectors"):
        return []
    manifest = Manifest.read(bundle.path(part))
    found = [
        f"was trained against {name} {_show(getattr(manifest, name))}, the bundle has {_show(wanted)}"
        for name, wanted in describe_ends(bundle, group, modality).items()
        if getattr(manifest, name) != wanted
    ]
    return [f"bundle '{bundle.name}': {part} {problem}" for problem in found or _contradictions(manifest, group)]


def _contradictions(manifest: Manifest, group: str) -> Iterator[str]:
    """Where the config of a manifest is not that of a projector between the ends that it names."""
    if manifest.encoder is None if group == "input_projectors" else len(manifest.condition) != 1:
        return  # which no bundle has, as is told
    try:
        dims = DIMS[group](manifest.kind, {name: getattr(manifest, name) for name in Manifest.model_fields})
    except UserError as error:
        yield str(error)
        return
    for name, wanted in dims.items():
        if (has := manifest.config.get(name, wanted)) != wanted:
            yield f"has {name} {has} in its config, but what it was trained against makes it {wanted}"


def tokenizer_hash(llm: Path) -> str:
    """SHA-256 of the tokenizer's files: a projector knows token ids. Raises BundleError if there are none."""
    for names in TOKENIZERS:
        if all((llm / name).is_file() for name in names):
            return hashlib.sha256(b"".join((llm / name).read_bytes() for name in names)).hexdigest()
    raise BundleError(f"{llm} has no tokenizer: neither {', nor '.join(' and '.join(names) for names in TOKENIZERS)}")


def _show(value: Any) -> str:
    return f"'{value.id}' ({value.dim} wide)" if isinstance(value, End) else repr(value)
