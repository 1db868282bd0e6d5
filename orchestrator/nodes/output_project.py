"""output_project: S_X -> H_X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.errors import ModelError
from orchestrator.nodes.ports import Condition, Port, PortType, Signal
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Stage

if TYPE_CHECKING:
    from torch import Tensor


class OutputProjectConfig(Config):
    """Which way a signal takes to the generator."""

    bridge: Literal["signal", "caption"] = Field(
        "signal",
        description="signal: hidden states through the output projector; caption: the generator's own text encoder.",
    )


class OutputProject(Stage):
    """Turn a signal into the generator's condition: H_X = Theta_{T->X}(S_X), equation 4 of the survey.

    With `bridge: caption` the condition is tau_X(t), the generator's own encoding of the caption: the same port, so the
    two are always comparable.
    """

    name: ClassVar[str] = "output_project"
    config_class = OutputProjectConfig
    inputs: ClassVar[Mapping[str, Port]] = {"signal": Port(PortType("Signals"), "S_X: [n_signal, d_llm] a signal.")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "condition": Port(PortType("Condition"), "H_X: the generator's condition tensors.", like="signal")
    }

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        modality = types["signal"].modality
        return {
            "signal": (f"output_projectors.{modality}",),
            "caption": (f"generators.{modality}",),
        }[self.config.bridge]

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """All signals of all requests in one forward."""
        signals = [request["signal"] for request in batch]
        items = [item for signal in signals for item in signal.items]
        bridge = {"signal": self._project, "caption": self._encode}[self.config.bridge]
        conditions = iter(bridge(items, context))
        return [
            {
                "condition": Condition(
                    signal.modality,
                    tuple(next(conditions) for _ in signal.items),
                    tuple(item.caption for item in signal.items),
                    self.config.bridge,
                )
            }
            for signal in signals
        ]

    def loss(self, batch: Sequence[Inputs], context: Context) -> Tensor:
        """L_mse(H_X, tau_X(t)), equation 4: needs captions only. Each request's `signal` carries its caption."""
        import torch

        items = [item for request in batch for item in request["signal"].items]
        made = self._project(items, context)
        with torch.no_grad():
            target = self._encode(items, context)
        losses = [
            torch.nn.functional.mse_loss(h[name], t[name]) for h, t in zip(made, target, strict=True) for name in h
        ]
        return torch.stack(losses).mean()

    def _project(self, items: Sequence[Signal], context: Context) -> list[dict[str, Any]]:
        """Signals [n, d_llm] each -> condition tensors with batch size 1 each."""
        import torch

        projector = context.load(f"output_projectors.{items[0].modality}")
        made = projector(torch.stack([_read(item) for item in items]))  # [b, n_signal, d_llm] -> [b, L, d]
        return [{projector.manifest.keyword: row.unsqueeze(0)} for row in made]

    def _encode(self, items: Sequence[Signal], context: Context) -> list[dict[str, Any]]:
        """tau_X(t): the captions through the generator's own text encoder."""
        generator = context.load(f"generators.{items[0].modality}")
        conditions: list[dict[str, Any]] = generator.encode_text([item.caption for item in items])
        return conditions


def _read(signal: Signal) -> Tensor:
    """What GILL and NExT-GPT read at signal tokens: hidden state plus input embedding, [n_signal, d_llm]."""
    if signal.states is None or signal.embeds is None:
        raise ModelError(
            f"the {signal.modality} signal has no hidden states (its LLM gives text only); use `bridge: caption`"
        )
    return signal.states + signal.embeds
