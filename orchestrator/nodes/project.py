"""project: F_X -> P_X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from orchestrator.nodes.ports import Port, PortType, Prompts
from orchestrator.nodes.stage import Context, Inputs, Outputs, Stage


class Project(Stage):
    """Project features into the LLM's embedding space: P_X = Theta_{X->T}(F_X), equation 2 of the survey.

    A video's frames are projected one by one with the projector of its pictures' encoder.
    """

    name: ClassVar[str] = "project"
    inputs: ClassVar[Mapping[str, Port]] = {"features": Port(PortType("Features"), "F_X: [n, d_x].")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "prompts": Port(PortType("Prompts"), "P_X: [n', d_llm], soft prompts.", like="features")
    }

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        return (f"input_projectors.{types['features'].modality}",)

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Project all features of one modality in one forward."""
        import torch

        features = [request["features"] for request in batch]
        projector = context.load(f"input_projectors.{features[0].modality}")
        frames = [f.tokens.unflatten(0, (f.frames, -1)) for f in features]  # [frames, n, d_x] each
        projected = projector(torch.cat(frames)).split([f.frames for f in features])
        return [
            {"prompts": Prompts(f.modality, p.flatten(0, 1), frames=f.frames)}
            for f, p in zip(features, projected, strict=True)
        ]
