"""Folders of diffusers -> pipelines, loaded strictly and frozen."""

from __future__ import annotations

import inspect
import warnings
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from orchestrator.errors import BundleError, nearest
from orchestrator.models import facts, pretrained
from orchestrator.models.bundle.spec import Place
from orchestrator.models.generators.families import FAMILIES
from orchestrator.models.generators.family import Family

TRANSFORMERS = {"GPT2Model": "GPT2LMHeadModel"}  # the class that AudioLDM 2 needs, by what its first checkpoints name


def load(folder: Path, device: str, dtype: torch.dtype, spec: Place | None = None) -> tuple[Any, Family]:
    """A pipeline and its family; `spec` says which weights are taken. Raises BundleError for a class that is not in the
    table, parts that do not fit, and libraries that are missing."""
    kind = facts.pipeline_class(folder)
    if kind not in FAMILIES:
        raise BundleError(f"{folder}: no generator of class '{kind}' is known.{nearest(kind, FAMILIES)}")
    family = FAMILIES[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of vocoders and Oobleck, which norm weights in torch's old way
        models = {
            name: pretrained.load(
                _model_class(folder, library, model),
                folder / name,
                torch.float32 if name in family.precise else dtype,
                spec=spec,
            )
            for name, (library, model) in facts.pipeline_models(folder).items()
        }
    pipe = _pipeline(folder, family.pipeline or getattr(diffusers, kind), models)
    pipe.set_progress_bar_config(disable=True)
    for module in pipe.components.values():
        if isinstance(module, torch.nn.Module):
            module.eval().requires_grad_(False)
    _take_what_pipelines_give(pipe.vae)
    return pipe.to(device), family


def _pipeline(folder: Path, pipeline: Any, models: dict[str, Any]) -> Any:
    """Scheduler and tokenizers around the models. CosineDPMSolverMultistepScheduler wants torchsde, tokenizers of a
    `.model` file sentencepiece."""
    try:
        models |= facts.left_out(facts.read(folder / "model_index.json"))
        return pipeline.from_pretrained(folder, local_files_only=True, use_safetensors=True, **models)
    except ImportError as error:
        told = " ".join(str(error).split())
        raise BundleError(f"{folder}: a library is missing that its {pipeline.__name__} needs: {told}") from error


def _model_class(folder: Path, library: str, name: str) -> Any:
    """The class of a pipeline's model: of transformers, or of diffusers (which names its pipelines' modules, too).
    Raises BundleError for any other."""
    home, known = (transformers, TRANSFORMERS) if library == "transformers" else (diffusers, {})
    found = getattr(home, known.get(name, name), None)
    if found is None:
        raise BundleError(f"{folder}: model_index.json names {library}.{name}, which is not there")
    return found


def _take_what_pipelines_give(vae: Any) -> None:
    """Stable Diffusion hands every autoencoder a random generator to decode with, for which AutoencoderDC has no
    argument; SDXL hands latents of 16 bits to an autoencoder of 32."""
    decode = type(vae).decode
    me: Callable[[], Any] = weakref.ref(vae)  # weak: an autoencoder that names itself is not freed at once
    takes = inspect.signature(decode).parameters
    dice = "generator" in takes or any(p.kind is p.VAR_KEYWORD for p in takes.values())

    def lenient(z: torch.Tensor, *args: Any, generator: Any = None, **others: Any) -> Any:
        given = {**others, "generator": generator} if dice else others
        return decode(me(), z.to(me().dtype), *args, **given)

    vae.decode = lenient
