"""Checkpoints of transformers and diffusers, loaded strictly.

Both libraries fill weights that a file lacks with random numbers and go on; here that is an error.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from huggingface_hub.errors import StrictDataclassError

from orchestrator.errors import BundleError
from orchestrator.models.placement.devices import out_of_memory

if TYPE_CHECKING:
    import torch

    from orchestrator.models.bundle.spec import Place

UNREADABLE = (RuntimeError, ValueError, KeyError, StrictDataclassError)  # the last: a config's value of a wrong type


def load(model_class: Any, folder: Path, dtype: torch.dtype, spec: Place | None = None, **options: Any) -> Any:
    """A model from its folder; `spec` says which weights are taken and what it is trusted with, `options` are further
    arguments of `from_pretrained`. Raises BundleError if its weights are not those that its config asks for."""
    try:
        model, found = model_class.from_pretrained(
            folder,
            dtype=dtype,
            local_files_only=True,
            use_safetensors=not _pickled(folder, spec),
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # to be told of them by name, below
            **_variant(folder, spec),
            **trusted(spec),
            **options,
        )
    except UNREADABLE as error:
        if out_of_memory(error):
            raise
        raise BundleError(f"{folder} cannot be loaded as {model_class.__name__}: {error}") from error
    wrong = [f"'{name}' is missing" for name in sorted(found["missing_keys"])]
    wrong += [f"'{n}' is {list(has)}, not {list(wants)}" for n, has, wants in sorted(found["mismatched_keys"])]
    if wrong:
        told = "; ".join(wrong[:3]) + (f"; and {len(wrong) - 3} more" if len(wrong) > 3 else "")
        raise BundleError(f"{folder}: the weights do not fit the config of {model_class.__name__}: {told}")
    return model


def trusted(spec: Place | None) -> dict[str, bool]:
    """The argument by which transformers runs code of a checkpoint; the user has allowed it (`trust.refusals`)."""
    return {"trust_remote_code": True} if spec and "remote_code" in spec.trust else {}


def _pickled(folder: Path, spec: Place | None) -> bool:
    """Whether pickles are to be read: they may be, and there is nothing else."""
    return spec is not None and "pickle" in spec.trust and not any(folder.glob("*.safetensors"))


def _variant(folder: Path, spec: Place | None) -> dict[str, str]:
    """The argument that names the weights' variant, where there are weights of it."""
    there = spec is not None and spec.variant and any(folder.glob(f"*.{spec.variant}*.safetensors"))
    return {"variant": spec.variant} if spec and there else {}
