"""project: F_X -> P_X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from orchestrator.errors import UserError
from orchestrator.nodes.ports import Port, PortType, Prompts
from orchestrator.nodes.stage import Context, Inputs, Learned, Outputs, Stage

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.bundle import Bundle


class Project(Stage):
    """Project features into the LLM's embedding space: P_X = Theta_{X->T}(F_X), equation 2 of the survey.

    A video's frames are projected one by one, or together by a projector that reads them so (`joins_frames`).
    """

    name: ClassVar[str] = "project"
    inputs: ClassVar[Mapping[str, Port]] = {"features": Port(PortType("Features"), "F_X: [n, d_x].")}
    outputs: ClassVar[Mapping[str, Port]] = {
        "prompts": Port(PortType("Prompts"), "P_X: [n', d_llm], soft prompts.", like="features")
    }

    def parts(self, types: Mapping[str, PortType]) -> tuple[str, ...]:
        return (f"input_projectors.{types['features'].modality}",)

    def misfits(self, bundle: Bundle, types: Mapping[str, PortType]) -> list[str]:
        if bundle.remote:
            modality = types["features"].modality
            return [
                f"the LLM of bundle '{bundle.name}' is remote: it takes no soft prompts; if it sees {modality}, write "
                f"`llm: {{sees: [{modality}]}}` in its bundle.yaml, leave encode and project out and connect the "
                "medium itself to the `media` of reason (an arrow line then does so), else name an LLM that runs here"
            ]
        return []

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        """Project all features of one modality in one forward."""
        import torch

        features = [request["features"] for request in batch]
        projector = context.load(f"input_projectors.{features[0].modality}")
        frames = [f.tokens.unflatten(0, (f.frames, -1)) for f in features]  # [frames, n, d_x] each
        if getattr(projector, "joins_frames", False):
            rows = projector(torch.stack(frames))  # [b, n', d_llm]
            return [{"prompts": Prompts(f.modality, row)} for f, row in zip(features, rows, strict=True)]
        projected = projector(torch.cat(frames)).split([f.frames for f in features])
        return [
            {"prompts": Prompts(f.modality, p.flatten(0, 1), frames=f.frames)}
            for f, p in zip(features, projected, strict=True)
        ]

    def learn(self, batch: Sequence[Inputs], context: Context, objectives: Mapping[str, Mapping[str, Any]]) -> Learned:
        """`itc`, `itm`, `itg`: the pretraining of a Q-Former (BLIP-2, arXiv 2301.12597). Each request brings its
        `text`, in the tokens of the LLM, cut to what the Q-Former reads; features of all have the same number."""
        outputs = self.run(batch, context)
        if not objectives:
            return Learned(outputs)
        import torch

        projector = context.load(f"input_projectors.{batch[0]['features'].modality}")
        if not hasattr(projector, "objectives"):
            names = ", ".join(objectives)
            raise UserError(f"the objectives {names} are a Q-Former's; this projector is {type(projector).__name__}")
        features = torch.stack([request["features"].tokens for request in batch])  # b n d
        longest = projector.config["max_text"] - 1  # one place is of the token that begins a text
        written = _written([request["text"] for request in batch], context, longest)
        losses = projector.objectives(features, *written)
        return Learned(outputs, {name: losses[name] for name in objectives}, dict.fromkeys(objectives, len(batch)))


def _written(texts: Sequence[str], context: Context, longest: int) -> tuple[Tensor, Tensor]:
    """Texts as the LLM's tokens with its end token, [b, m], and where they are real; m <= longest."""
    import torch
    from torch.nn.utils.rnn import pad_sequence

    llm = context.load("llm")
    ids = [[*llm.chat.ids(text)[: longest - 1], llm.ends[0]] for text in texts]
    rows = [torch.tensor(row, device=context.device) for row in ids]
    mask = [torch.ones(len(row), dtype=torch.bool, device=context.device) for row in rows]
    return pad_sequence(rows, batch_first=True), pad_sequence(mask, batch_first=True)
