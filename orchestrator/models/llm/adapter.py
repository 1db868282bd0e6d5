"""What trains of the LLM, through PEFT: LoRA, the rows of its signal tokens, or all of its weights.

Modules are put into the LLM in place, so that it is used as before. An adapter is saved as PEFT saves it, and merged
into the LLM when a bundle that names it is loaded: running is as fast as without.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from orchestrator.errors import BundleError, UserError, nearest
from orchestrator.models.llm import adapter_file
from orchestrator.models.llm.rows import ADDED

if TYPE_CHECKING:
    from torch import Tensor, nn

    from orchestrator.models.llm.model import LanguageModel


class _Options(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LoraOptions(_Options):
    """LoRA (appendix C of the survey): h = W x + alpha / r B A x."""

    r: int = Field(32, ge=1, description="Rank.")
    alpha: int = Field(32, ge=1, description="Scale; NExT-GPT's is its rank.")
    dropout: float = Field(0.1, ge=0, lt=1)
    targets: tuple[str, ...] = Field(("q_proj", "k_proj", "v_proj", "o_proj"), min_length=1)


class RowOptions(_Options):
    """The signal tokens' rows of the embedding and of the head."""

    init: Literal["keep", "mean"] = Field("keep", description="`mean`: the mean embedding, for new tokens (MiniGPT-5).")
    renormalise: bool = Field(False, description="Keep their mean norm that of the other embeddings (GILL).")


class Adapter:
    """What was put into an LLM. `parameters` are those that train, by part: `lora`, `signals`."""

    def __init__(self, llm: LanguageModel, lora: LoraOptions | None, rows: RowOptions | None) -> None:
        from peft import get_peft_model

        self.rows, self.tokens = rows, sorted(llm.signals.where)
        self.added: dict[str, int] = getattr(llm.model.config, ADDED, {}) if rows else {}
        self._norm = _other_norm(llm.model, self.tokens) if rows else None
        with _peft():
            config = _config(llm, lora, self.tokens if rows else [])
            self.wrapped: Any = get_peft_model(llm.model, config)
        config.base_model_name_or_path = llm.id  # PEFT puts the folder there
        self.parameters: dict[str, list[nn.Parameter]] = {"lora": [], "signals": []}
        for name, parameter in self.wrapped.named_parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
                self.parameters["signals" if "trainable_tokens" in name else "lora"].append(parameter)
        if rows and rows.init == "mean":
            self._start_at_the_mean(llm.model)

    def save(self, folder: Path) -> None:
        """Write it as PEFT does: `adapter_config.json` and `adapter_model.safetensors`."""
        self.renormalise()
        with _peft():
            self.wrapped.save_pretrained(folder, save_embedding_layers=False)
        (folder / "README.md").unlink(missing_ok=True)  # PEFT's empty model card
        if self.added:
            (folder / adapter_file.TOKENS).write_text(json.dumps(self.added))

    def load(self, folder: Path) -> None:
        """Put saved weights back. Raises BundleError if they are of another adapter."""
        _fill(self.wrapped, folder)

    @contextlib.contextmanager
    def disabled(self) -> Iterator[None]:
        """The LLM as it was before."""
        with self.wrapped.disable_adapter():
            yield

    def renormalise(self) -> None:
        """Give the signals' embeddings the mean norm of the others, if that is wanted."""
        if self.rows and self.rows.renormalise:
            rows = self._deltas(self.wrapped.get_input_embeddings())
            rows.data.mul_(self._norm / rows.data.norm(dim=1).mean())

    def train(self, mode: bool = True) -> None:
        """LoRA's dropout on or off."""
        for name, module in self.wrapped.named_modules():
            if "lora_dropout" in name:
                module.train(mode)

    def _start_at_the_mean(self, model: Any) -> None:
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            rows = self._deltas(layer)
            rows.data.copy_(_others(layer.weight.data, self.tokens).mean(0).expand_as(rows))

    @staticmethod
    def _deltas(layer: Any) -> Tensor:
        found: Tensor = getattr(layer, "token_adapter", layer).trainable_tokens_delta["default"]
        return found


def tune(
    llm: LanguageModel, lora: LoraOptions | None = None, signals: RowOptions | None = None, whole: bool = False
) -> dict[str, list[nn.Parameter]]:
    """Make parts of an LLM trainable; returns their parameters by part: `lora`, `signals`, or `llm` for all weights.

    Raises UserError for what cannot be: targets that the LLM does not have, all weights and an adapter, no signals.
    """
    if whole and (lora or signals):
        raise UserError("all weights of the LLM train (llm), so llm.lora and llm.signals can't: name one or the other")
    if llm.adapter is not None:
        raise UserError(f"the LLM '{llm.id}' already has an adapter that trains")
    if whole and getattr(llm.model, "quantization_method", None):
        raise UserError(
            f"all weights of the LLM '{llm.id}' can't train while they are quantized: train llm.lora instead"
        )
    if whole:
        llm.model.requires_grad_(True)
        return {"llm": list(llm.model.parameters())}
    if signals and not llm.signals.where:
        raise UserError(f"llm.signals: the bundle of '{llm.id}' has no signal tokens")
    llm.adapter = Adapter(llm, lora, signals)
    return {part: found for part, found in llm.adapter.parameters.items() if found}


def save_weights(llm: LanguageModel, folder: Path, source: Path) -> None:
    """Write all weights of an LLM, with the tokenizer files of `source`, the folder that it was loaded from."""
    llm.model.save_pretrained(folder)
    for file in source.iterdir():
        if file.is_file() and file.suffix != ".safetensors" and not (folder / file.name).exists():
            shutil.copy2(file, folder / file.name)


def checkpoint_activations(llm: LanguageModel) -> None:
    """From now on, recompute the layers in the backward pass instead of keeping their activations."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    llm.model.activation_checkpointing_enable({"use_reentrant": False})
    llm.recomputed = [module for module in llm.model.modules() if isinstance(module, GradientCheckpointingLayer)]


def merge(model: Any, folder: Path) -> None:
    """Merge a saved adapter into a model. Raises BundleError if it does not fit."""
    from peft import PeftConfig, get_peft_model

    with _peft():
        try:
            config = PeftConfig.from_pretrained(str(folder))
            config.inference_mode, config.init_lora_weights, config.base_model_name_or_path = True, True, None
            wrapped = get_peft_model(model, config)
        except (ValueError, TypeError, LookupError, RuntimeError) as error:
            raise BundleError(f"{folder} is no adapter of this LLM: {error}") from error
        _fill(wrapped, folder)
        wrapped.merge_and_unload()


def _fill(wrapped: Any, folder: Path) -> None:
    """Load the weights of an adapter, every one of them. Raises BundleError naming what does not fit."""
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    with _peft():
        found = load_file(folder / adapter_file.WEIGHTS)
        wanted = get_peft_model_state_dict(wrapped, save_embedding_layers=False)
        wrong = [f"'{name}' is missing" for name in sorted(wanted.keys() - found.keys())]
        wrong += [f"'{name}' has no place" for name in sorted(found.keys() - wanted.keys())]
        wrong += [
            f"'{name}' is {list(found[name].shape)}, not {list(wanted[name].shape)}"
            for name in sorted(wanted.keys() & found.keys())
            if found[name].shape != wanted[name].shape
        ]
        if wrong:
            more = f"; and {len(wrong) - 3} more" if len(wrong) > 3 else ""
            raise BundleError(f"{folder}: the adapter does not fit the LLM: {'; '.join(wrong[:3])}{more}")
        set_peft_model_state_dict(wrapped, found)


def _config(llm: LanguageModel, lora: LoraOptions | None, tokens: list[int]) -> Any:
    """PEFT's config. A tied head follows the embedding; an untied one has rows of its own."""
    from peft import LoraConfig, TrainableTokensConfig

    model = llm.model
    layers = [model.get_input_embeddings(), model.get_output_embeddings()]
    tied = layers[0].weight is layers[1].weight
    names = {module: name.rpartition(".")[2] for name, module in model.named_modules()}
    where = [names[layer] for layer in layers[: 1 if tied else 2]]
    if lora is None:
        return TrainableTokensConfig(token_indices=tokens, target_modules=where, task_type="CAUSAL_LM")
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=list(lora.targets),
        fan_in_fan_out=_check_targets(llm, lora),
        trainable_token_indices=dict.fromkeys(where, tokens) if tokens else None,
        task_type="CAUSAL_LM",
    )


def _check_targets(llm: LanguageModel, lora: LoraOptions) -> bool:
    """Whether their weights are [in, out], as GPT-2's. Raises UserError for layers that the LLM does not have."""
    from transformers.pytorch_utils import Conv1D

    kinds = (torch.nn.Linear, Conv1D)
    linear = {name.rpartition(".")[2]: m for name, m in llm.model.named_modules() if isinstance(m, kinds)}
    if unknown := [target for target in lora.targets if target not in linear]:
        told = "; ".join(f"'{target}'{nearest(target, linear)}" for target in unknown)
        raise UserError(f"llm.lora: the LLM '{llm.id}' has no linear layer named {told}")
    return any(isinstance(linear[target], Conv1D) for target in lora.targets)


def _others(weight: Tensor, tokens: list[int]) -> Tensor:
    kept = torch.ones(len(weight), dtype=torch.bool, device=weight.device)
    kept[tokens] = False
    return weight[kept].float()


def _other_norm(model: Any, tokens: list[int]) -> Tensor:
    norm: Tensor = _others(model.get_input_embeddings().weight.data, tokens).norm(dim=1).mean()
    return norm


@contextlib.contextmanager
def _peft() -> Iterator[None]:
    """Without the warnings that PEFT has for every model: it asks transformers by an old name, and advises to tie what
    it ties by itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*is_gradient_checkpointing", category=FutureWarning)
        warnings.filterwarnings("ignore", message=r".*tie_word_embeddings", category=UserWarning)
        yield
