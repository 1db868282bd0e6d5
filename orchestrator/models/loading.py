"""Loading a part of a bundle: one entry a kind of part."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BundleError
from orchestrator.models import weights
from orchestrator.models.bundle import trust
from orchestrator.models.llm.adapter_file import adapter_problems
from orchestrator.models.llm.remote import RemoteLLM

if TYPE_CHECKING:
    import torch

    from orchestrator.models.bundle import Bundle

LOADING = threading.Lock()  # transformers and diffusers patch module construction globally while they load


def load_part(bundle: Bundle, part: str, device: str, dtype: torch.dtype) -> Any:
    """Load `llm` or `group.modality`. Raises BundleError for missing or damaged weights, and for trust that the user
    does not allow, before anything is built."""
    problems = trust.refusals(bundle, part) or [told for f in bundle.weights(part) if (told := weights.damage(f))]
    if part == "llm":
        problems = problems or adapter_problems(bundle)
    if problems:
        raise BundleError("\n".join(problems))
    if part == "llm" and bundle.remote:
        return RemoteLLM(bundle.spec.llm)
    with LOADING, quiet():
        return LOADERS[part.partition(".")[0]](bundle, part, device, dtype)


@contextmanager
def quiet() -> Iterator[None]:
    """No bars and no notes (torchvision is missing, a pipeline is deprecated) while transformers and diffusers load:
    the trace tells what is loading. The settings of the process are put back."""
    import diffusers.utils.logging
    import transformers.utils.logging

    libraries = (transformers.utils.logging, diffusers.utils.logging)
    before = [(library.get_verbosity(), library.is_progress_bar_enabled()) for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        yield
    finally:
        for library, (verbosity, bars) in zip(libraries, before, strict=True):
            library.set_verbosity(verbosity)
            if bars:
                library.enable_progress_bar()


def _llm(bundle: Bundle, part: str, device: str, dtype: torch.dtype) -> Any:
    from orchestrator.models.llm.model import LanguageModel

    return LanguageModel.load(bundle, device, dtype)


def _encoder(bundle: Bundle, part: str, device: str, dtype: torch.dtype) -> Any:
    from orchestrator.models.encoders import Encoder

    return Encoder.load(bundle.path(part), bundle.part(part), device, dtype)


def _projector(bundle: Bundle, part: str, device: str, dtype: torch.dtype) -> Any:
    from orchestrator.models.bundle.manifest import load_projector

    return load_projector(bundle, part).to(device, dtype).eval().requires_grad_(False)


def _generator(bundle: Bundle, part: str, device: str, dtype: torch.dtype) -> Any:
    from orchestrator.models.generators import Generator

    spec = bundle.part(part)
    return Generator.load(bundle.path(part), spec.settings, device, dtype, spec)


LOADERS: dict[str, Callable[[Bundle, str, str, torch.dtype], Any]] = {
    "llm": _llm,
    "encoders": _encoder,
    "input_projectors": _projector,
    "output_projectors": _projector,
    "generators": _generator,
}
