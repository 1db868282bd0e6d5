"""Which files of a checkpoint are needed: settings, vocabularies, and one form of the weights.

A checkpoint is a folder here or a repository on the hub, in the layout of transformers (all in one folder) or of
diffusers (`model_index.json`, a folder for each component). Repositories hold more than that: other formats, precisions
and single files of other programs. Only names are looked at, so nothing needs to be fetched. No torch here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from orchestrator.errors import BundleError
from orchestrator.models import facts, weights
from orchestrator.models.bundle.spec import Place

INDEX = "model_index.json"
SETTINGS = ("*.json", "*.txt", "*.jinja", "*.model")  # configs, vocabularies and merges, chat templates
CODE = "*.py"
WEIGHTS = re.compile(
    r"(?:model|pytorch_model|diffusion_pytorch_model)(?:\.(?P<variant>\w+))?(?:-(?P<shard>\d+)-of-(?P<shards>\d+))?"
    r"(?:\.(?P<late>\w+))?\.(?P<form>safetensors|bin)"
)
SHARDS = re.compile(r".*\.(safetensors|bin)\.index(\.\w+)?\.json")


def needed(names: Sequence[str], spec: Place, index: Mapping[str, Any] | None = None) -> list[str]:
    """The files to take of those that there are, sorted; names as in `unet/config.json`. `index` is the content of a
    pipeline's `model_index.json`."""
    folders = facts.components(index) if index is not None else [""]
    found = [name for folder in folders for name in _of_folder(_within(names, folder), spec)]
    return sorted(found + [INDEX] * (index is not None))


def local(folder: Path, spec: Place) -> list[Path]:
    """The needed files of a folder, settings before weights. Raises BundleError for weights that are not there, or that
    are pickles only."""
    names = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()]
    index = facts.read(folder / INDEX) if INDEX in names else None
    found = needed(names, spec, index)
    if problem := lacking(found, names, spec, index):
        raise BundleError(f"{folder} {problem}")
    return _in_order(folder / name for name in found)


def everything(folder: Path) -> list[Path]:
    """The files of a projector or an adapter, settings before weights. Raises BundleError if it has no weights."""
    return _in_order([*(file for pattern in SETTINGS for file in folder.rglob(pattern)), *weights.files(folder)])


def lacking(found: Sequence[str], names: Sequence[str], spec: Place, index: Mapping[str, Any] | None = None) -> str:
    """What is wrong with the needed files of a checkpoint, if anything: weights or pieces of them are not there."""
    chosen = {name: match for name in found if (match := _weights(name))}
    if not chosen:
        return "has no weights: " + _instead(names, spec)
    for part in facts.components(index) if index is not None else ():
        within = _within(found, part)
        if not within:
            return f"is not whole: there is no folder {part}, which its {INDEX} names"
        if "config.json" in within and not any(map(_weights, within)):
            return f"is not whole: {part} has no weights"
    return next((told for name in chosen if (told := _pieces(name, chosen))), "")


def _pieces(name: str, chosen: Mapping[str, re.Match[str]]) -> str:
    """What is missing of the pieces of a file, if it is one of several."""
    shards = chosen[name]["shards"]
    kind = re.sub(r"-\d+-of-", "-*-of-", name)
    has = sum(re.sub(r"-\d+-of-", "-*-of-", other) == kind for other in chosen)
    return f"is not whole: it has {has} of the {int(shards)} pieces {kind}" if shards and has != int(shards) else ""


def _in_order(files: Iterable[Path]) -> list[Path]:
    return sorted(sorted(files), key=facts.is_weights)


def _instead(names: Sequence[str], spec: Place) -> str:
    """What a checkpoint without usable weights has."""
    pickles = [name for name in names if (match := _weights(name)) and match["form"] == "bin"]
    if pickles and "pickle" not in spec.trust:
        return f"no *.safetensors file in it, but {pickles[0]}, a pickle, which may run any code (`trust: [pickle]`)"
    variants = sorted({_variant(match) for name in names if (match := _weights(name))} - {""})
    if variants:
        return f"they are there as {', '.join(variants)}; name one: `variant: {variants[0]}`"
    return "no *.safetensors file in it"


def _of_folder(names: Mapping[str, str], spec: Place) -> list[str]:
    """Of the files of one folder (name there -> whole name)."""
    patterns = (*SETTINGS, CODE) if "remote_code" in spec.trust else SETTINGS
    settings = [name for name in names if any(fnmatch(name, p) for p in patterns) and not SHARDS.fullmatch(name)]
    chosen = _chosen({name: match for name in names if (match := WEIGHTS.fullmatch(name))}, spec)
    forms = {WEIGHTS.fullmatch(name)["form"] for name in chosen}  # type: ignore[index]
    indices = [name for name in names if (match := SHARDS.fullmatch(name)) and match[1] in forms]
    return [names[name] for name in (*settings, *indices, *chosen)]


def _chosen(found: Mapping[str, re.Match[str]], spec: Place) -> list[str]:
    """One form of the weights: safetensors before pickles, the variant that was asked for, one file before pieces."""
    forms = ("safetensors", "bin") if "pickle" in spec.trust else ("safetensors",)
    form = next((f for f in forms if any(match["form"] == f for match in found.values())), None)
    for variant in dict.fromkeys((spec.variant, "")):
        of_form = {n: m for n, m in found.items() if m["form"] == form and _variant(m) == variant}
        if of_form:
            return [n for n, m in of_form.items() if not m["shards"]] or list(of_form)
    return []


def _variant(match: re.Match[str]) -> str:
    return match["variant"] or match["late"] or ""


def _weights(name: str) -> re.Match[str] | None:
    return WEIGHTS.fullmatch(name.rpartition("/")[2])


def _within(names: Sequence[str], folder: str) -> dict[str, str]:
    """The files right in a folder: name there -> whole name."""
    before = f"{folder}/" if folder else ""
    return {n.removeprefix(before): n for n in names if n.startswith(before) and "/" not in n.removeprefix(before)}
