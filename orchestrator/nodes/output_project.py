"""output_project: S_X -> H_X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.errors import ModelError, UserError, nearest
from orchestrator.models.facts import MASKS
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.ports import Condition, Port, PortType
from orchestrator.nodes.stage import Config, Context, Inputs, Learned, Outputs, Stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from orchestrator.models.bundle import Bundle

    Tensors = Mapping[str, Tensor]  # a condition: keyword -> tensor with batch size 1


class OutputProjectConfig(Config):
    """Which way a signal takes to the generator."""

    bridge: Literal["signal", "caption"] = Field(
        "signal",
        description="signal: hidden states through the output projector; caption: the generator's own text encoder.",
    )


class OutputProject(Stage):
    """Turn a signal into the generator's condition: H_X = Theta_{T->X}(S_X).

    With `bridge: caption` the condition is tau_X(t), the generator's own encoding of the caption: the same port, so the
    two are always comparable. Its objective is `mse`: L_mse(H_X, tau_X(t)), equation 4, which needs captions only.
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

    def misfits(self, bundle: Bundle, types: Mapping[str, PortType]) -> list[str]:
        if bundle.remote and self.config.bridge == "signal":
            return [
                f"the LLM of bundle '{bundle.name}' is remote: it gives captions, no hidden states to project; "
                "write `bridge: caption`, or add `--set NODE.bridge=caption` with the name of this node"
            ]
        return []

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

    def learn(self, batch: Sequence[Inputs], context: Context, objectives: Mapping[str, Mapping[str, Any]]) -> Learned:
        """`mse`: each request brings `tau`, a condition a signal. Option `distance`: `mse`; `l2`, the unsquared
        distance at a position (the code of GILL and NExT-GPT); or `relative`, its square over that of tau there, so
        that conditions of all lengths count alike. Signals count alike, and so do the tensors of a condition, whatever
        their sizes; padding does not count."""
        outputs = self.run(batch, context)
        if "mse" not in objectives:
            return Learned(outputs)
        if self.config.bridge == "caption":
            raise UserError(
                "objective mse trains an output projector, but the node has `bridge: caption`: leave it out"
            )
        made = [item for output in outputs for item in output["condition"].items]
        wanted = [item for request in batch for item in request["tau"]]
        return Learned(outputs, {"mse": _distance(made, wanted, **objectives["mse"])}, {"mse": len(made)})

    def targets(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """`tau`: tau_X(t) of each signal's caption, which may be empty; states are not needed."""
        items = [item for request in batch for item in request["signal"].items]
        tau = ({name: t.clone() for name, t in made.items()} for made in self._encode(items, context))
        return [{"tau": tuple(next(tau) for _ in request["signal"].items)} for request in batch]

    def _project(self, items: Sequence[Call], context: Context) -> list[dict[str, Any]]:
        """Signals [n, d_llm] each -> condition tensors with batch size 1 each."""
        import torch

        projector = context.load(f"output_projectors.{items[0].name}")
        added = getattr(projector, "adds_embeddings", True)
        made = projector(torch.stack([_read(item, added) for item in items]))  # [b, n_signal, d_llm] -> [b, L, d]
        return [{projector.manifest.keyword: row.unsqueeze(0)} for row in made]

    def _encode(self, items: Sequence[Call], context: Context) -> list[dict[str, Any]]:
        """tau_X(t): the captions through the generator's own text encoder."""
        generator = context.load(f"generators.{items[0].name}")
        conditions: list[dict[str, Any]] = generator.encode_text([item.caption for item in items])
        return conditions


def _read(signal: Call, added: bool) -> Tensor:
    """S_X: hidden states, and `added` to them the input embeddings, as GILL and NExT-GPT do; [n_signal, d_llm]."""
    found = [tensor for tensor in (signal.states, signal.embeds)[: 1 + added] if tensor is not None]
    if len(found) < 1 + added:
        raise ModelError(
            f"the {signal.name} signal has no hidden states (its LLM gives text only); use `bridge: caption`"
        )
    return found[0] + found[1] if added else found[0]


def _distance(made: Sequence[Tensors], wanted: Sequence[Tensors], distance: str = "mse") -> Tensor:
    """The mean distance between conditions; those made may lack tensors that the wanted have."""
    import torch

    measures: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "mse": lambda error, _: error.square().mean(-1),
        "l2": lambda error, _: torch.linalg.vector_norm(error, dim=-1),
        "relative": lambda error, tau: error.square().sum(-1) / tau.square().sum(-1).clamp(min=1e-6),
    }
    if distance not in measures:
        raise UserError(f"objective mse: no distance '{distance}' is known.{nearest(distance, measures)}")
    each = []
    for name in made[0]:
        h = torch.cat([item[name] for item in made]).float()  # [b, L, d]
        tau = torch.cat([item[name] for item in wanted]).to(h)
        real = [item[mask] for item in wanted for mask in MASKS.get(name, ()) if mask in item]
        weight = torch.cat(real).to(h) if real else torch.ones_like(h[..., 0])  # [b, L]
        error = measures[distance](h - tau, tau)
        each.append(((error * weight).sum(1) / weight.sum(1).clamp(min=1)).mean())
    return torch.stack(each).mean()
