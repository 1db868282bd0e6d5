"""The parts of a bundle in training: what trains has gradients, all else is frozen and loaded when first needed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from orchestrator.models import weights
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.derive import derive
from orchestrator.models.bundle.manifest import load_projector, new_projector, save_projector
from orchestrator.models.bundle.spec import LlmSpec
from orchestrator.models.llm import adapter
from orchestrator.train.lent import Lent
from orchestrator.train.recipe import Recipe
from orchestrator.train.run.task import Group
from orchestrator.train.tuning import LoraTuning, ProjectorTuning, SignalTuning, Tuning

ADAPTER, LLM = "llm.adapter", "llm"  # folders of what is saved of the LLM


class Parts(Lent):
    """The parts of a bundle in training: what trains is made or loaded at once, the rest when first needed."""

    def __init__(self, bundle: Bundle, recipe: Recipe, device: str, dtype: torch.dtype) -> None:
        """`dtype` is that of frozen weights. Raises BundleError or UserError, naming both parts and their widths where
        these do not fit."""
        super().__init__(bundle, device, dtype)
        self._pack, self._checkpointing = recipe.pack, recipe.gradient_checkpointing
        self._trained: dict[str, list[nn.Parameter]] = {}
        self._rates = {part: tuning.lr or recipe.lr for part, tuning in recipe.tunings().items()}
        for part, tuning in recipe.tunings().items():
            if isinstance(tuning, ProjectorTuning):
                self._add(part, _projector(bundle, part, tuning, recipe.recipe))
        if llm := {part: tuning for part, tuning in recipe.tunings().items() if part.startswith(LLM)}:
            self._tune(llm)

    def load(self, part: str) -> Any:
        new, found = part not in self.loaded, super().load(part)
        if new and part == LLM:
            found.pack = self._pack
            if self._checkpointing:
                adapter.checkpoint_activations(found)
        return found

    def has(self, part: str) -> bool:
        """Whether it can be lent."""
        return part in self.loaded or part in self.bundle.names()

    def train(self, mode: bool) -> None:
        """Dropout of the LLM's adapter on or off; its frozen layers stay as they are."""
        if self.llm_trains and (llm := self.loaded[LLM]).adapter:
            llm.model.eval()
            llm.adapter.train(mode)

    def modules(self) -> dict[str, nn.Module]:
        """The modules that hold what trains, by part."""
        return {part: self.loaded[part] for part in self._projectors()} | (
            {LLM: self.loaded[LLM].model} if self.llm_trains else {}
        )

    @property
    def llm_trains(self) -> bool:
        """Whether anything of the LLM does."""
        return any(part.startswith(LLM) for part in self._trained)

    def groups(self) -> list[Group]:
        """What trains."""
        return [Group(part, found, self._rates[part]) for part, found in self._trained.items()]

    def frozen(self, parts: Iterable[str]) -> dict[str, int]:
        """The parameters that stay as they are in each of these parts, counted without loading them."""
        there = [part for part in parts if part in self.bundle.names() and part not in self._trained]
        counts = {part: _count(self.bundle, part) for part in there}
        return {part: n for part, n in counts.items() if n}

    def save(self, folder: Path, step: int) -> None:
        """Write what trains, each part as it is loaded: projectors with manifests, the LLM's adapter as PEFT does."""
        for part in self._projectors():
            module = self.loaded[part]
            save_projector(module, module.manifest.model_copy(update={"step": step}), folder / part)
        if self.llm_trains and (llm := self.loaded[LLM]).adapter:
            llm.adapter.save(folder / ADAPTER)
        elif self.llm_trains:
            adapter.save_weights(self.loaded[LLM], folder / LLM, self.bundle.path(LLM))

    def restore(self, folder: Path) -> None:
        """Put back what `save` wrote, in place."""
        from safetensors.torch import load_model

        for part, module in self.modules().items():
            if part != LLM:
                load_model(module, folder / part / "model.safetensors")
            elif llm_adapter := self.loaded[LLM].adapter:
                llm_adapter.load(folder / ADAPTER)
            else:
                load_model(module, folder / LLM / "model.safetensors")

    def write_bundle(self, root: Path, name: str, step: int) -> Bundle:
        """A derived bundle: what was trained, and the rest from the bundle that it was trained on."""
        self.save(root, step)
        parts: dict[str, dict[str, Any]] = {part: {"path": part} for part in self._projectors()}
        if self.llm_trains:
            parts[LLM] = {"adapter": ADAPTER} if self.loaded[LLM].adapter else self._whole_llm()
        return derive(self.bundle, root, name, parts)

    def _whole_llm(self) -> dict[str, Any]:
        """The base's LLM with new weights: spoken to in the same way, and with the id that its projectors know."""
        spec = self.bundle.spec.llm.model_dump(exclude={"adapter", *LlmSpec.WHERE}, exclude_defaults=True)
        return {**spec, "path": LLM, "id": self.bundle.id(LLM)}

    def _projectors(self) -> list[str]:
        return [part for part in self._trained if not part.startswith(LLM)]

    def _add(self, part: str, projector: nn.Module) -> None:
        self.loaded[part] = projector.to(self.device).requires_grad_(True)
        self._trained[part] = list(projector.parameters())

    def _tune(self, tunings: Mapping[str, Tuning]) -> None:
        lora, signals = tunings.get("llm.lora"), tunings.get("llm.signals")
        found = adapter.tune(
            self.load(LLM),
            lora=lora if isinstance(lora, LoraTuning) else None,
            signals=signals if isinstance(signals, SignalTuning) else None,
            whole=LLM in tunings,
        )
        self._trained |= {part if part == LLM else f"llm.{part}": parameters for part, parameters in found.items()}


def _projector(bundle: Bundle, part: str, tuning: ProjectorTuning, recipe: str) -> nn.Module:
    """A new projector, or the bundle's."""
    if tuning.kind:
        return new_projector(bundle, part, tuning.kind, recipe=recipe, **tuning.config)
    return load_projector(bundle, part)


def _count(bundle: Bundle, part: str) -> int:
    """The parameters of a part without its adapters; of pickles they are not known."""
    own = [f for f in bundle.weights(part) if f.suffix == ".safetensors" and f.is_relative_to(bundle.path(part))]
    shapes = [t["shape"] for file in own for t in weights.tensors(file).values()]
    return sum(map(math.prod, shapes))
