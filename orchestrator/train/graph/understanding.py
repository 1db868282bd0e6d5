"""The understanding half of the graph: F_X -> project -> P_X, and dialogues -> reason -> decode -> S_X."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from orchestrator.models.llm.calls import Call
from orchestrator.nodes.ports import Features, Prompts, Signals
from orchestrator.nodes.stage import Inputs, Outputs
from orchestrator.train.data.sample import MediaRef, Sample, Turn
from orchestrator.train.graph.nodes import Nodes
from orchestrator.train.graph.parts import Parts
from orchestrator.train.graph.tally import Tally

Said = list[dict[str, Signals]]  # S_X of each sample, by modality
Objectives = Mapping[str, Mapping[str, Any]]


class Understanding:
    """From features to signals, with gradients where anything behind them trains."""

    def __init__(self, nodes: Nodes, parts: Parts) -> None:
        self.nodes, self.parts = nodes, parts

    def project(
        self, features: Mapping[str, Features], texts: Mapping[str, str], objectives: Objectives, tally: Tally
    ) -> dict[str, Prompts]:
        """P_X of media, by their keys; `texts` say what they show, for the objectives of a Q-Former."""
        prompts: dict[str, Prompts] = {}
        for modality in dict.fromkeys(f.modality for f in features.values()):
            keys = [key for key, f in features.items() if f.modality == modality]
            requests: list[Inputs] = [{"features": features[key], "text": texts.get(key, "")} for key in keys]
            asked = objectives if len(requests) > 1 else {}  # a Q-Former's are over the pairs of a batch
            made = tally.add(self.nodes.get("project", modality).stage.learn(requests, self.parts, asked))
            prompts |= {key: out["prompts"] for key, out in zip(keys, made, strict=True)}
        return prompts

    def script(self, samples: Sequence[Sample], features: Mapping[str, Features]) -> list[Outputs]:
        """The dialogues in tokens, with places for what will be projected. Raises InputError if the LLM cannot take
        one: it is too long with what will be there, or its template has no place for a turn."""
        features = {key: self._together(seen) for key, seen in features.items()}
        requests: list[Inputs] = [
            {"dialogue": dialogue(sample.turns, features)}
            | ({"rejected": dialogue((*sample.turns[:-1], sample.rejected), features)} if sample.rejected else {})
            for sample in samples
        ]
        scripts = self.nodes.get("reason").stage.targets(requests, self.parts)
        llm = self.parts.load("llm")
        for sample, script in zip(samples, scripts, strict=True):
            soft = [empty for ref in sample.inputs for empty in self._empty(features[ref.key])]
            for written in script["script"].values():
                llm.checked(written.filled(soft))
        return scripts

    def _empty(self, features: Features) -> list[Tensor]:
        """As many soft prompts as features become, a tensor a picture, with nothing in them."""
        projector = self.parts.load(f"input_projectors.{features.modality}")
        each = len(features.tokens) // features.frames if getattr(projector, "makes", "fixed") == "each" else 1
        return [torch.empty(each * projector.num_tokens, 0)] * features.frames

    def _together(self, features: Features) -> Features:
        """As one frame, if the projector reads all frames together."""
        projector = self.parts.load(f"input_projectors.{features.modality}")
        return replace(features, frames=1) if getattr(projector, "joins_frames", False) else features

    def reason(
        self,
        samples: Sequence[Sample],
        scripts: Sequence[Inputs],
        prompts: Mapping[str, Prompts],
        objectives: Objectives,
        tally: Tally,
    ) -> Said:
        """The LLM reads the dialogues: S_X at its calls, with the captions that the samples give."""
        requests: list[Inputs] = [
            {**script, "media": [prompts[ref.key] for ref in sample.inputs]}
            for sample, script in zip(samples, scripts, strict=True)
        ]
        replies = tally.add(self.nodes.get("reason").stage.learn(requests, self.parts, objectives))
        split = self.nodes.get("decode").stage.run(replies, self.parts)
        return [_captioned(sample, found) for sample, found in zip(samples, split, strict=True)]


def dialogue(turns: Sequence[Turn], features: Mapping[str, Features]) -> tuple[tuple[str, list[Any]], ...]:
    """Turns as `reason` takes them: F_X for the media that the LLM sees, calls for those that it asks for."""
    return tuple((turn.role, [_segment(turn.role, piece, features) for piece in turn.content]) for turn in turns)


def _segment(role: str, piece: str | MediaRef, features: Mapping[str, Features]) -> Any:
    if isinstance(piece, str):
        return piece
    return Call(piece.modality) if role == "assistant" else features[piece.key]


def _captioned(sample: Sample, found: Mapping[str, Any]) -> dict[str, Signals]:
    """The signals of a sample; what they ask for is what the sample says, not what stands before them."""
    said: dict[str, Signals] = {}
    for modality, signals in found.items():
        if not isinstance(signals, Signals):
            continue
        captions = [ref.caption for ref in sample.outputs if ref.modality == modality]
        items = tuple(replace(item, caption=caption) for item, caption in zip(signals.items, captions, strict=True))
        said[modality] = Signals(modality, items)
    return said
