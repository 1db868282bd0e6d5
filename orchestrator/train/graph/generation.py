"""The generating half of the graph: S_X -> output_project -> H_X -> generate, with equations 4 and 5."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

import torch

from orchestrator.models.llm.calls import Call
from orchestrator.nodes.ports import Condition, Signals
from orchestrator.nodes.stage import Inputs
from orchestrator.train.data.sample import Sample
from orchestrator.train.graph.batch import Batch
from orchestrator.train.graph.nodes import Nodes
from orchestrator.train.graph.parts import Parts
from orchestrator.train.graph.tally import Tally
from orchestrator.train.graph.understanding import Objectives, Said


class Generation:
    """From signals to the objectives on what they ask for."""

    def __init__(self, nodes: Nodes, parts: Parts, owned: Mapping[str, Objectives], drop: float) -> None:
        """`drop` is the share of signals that ask for nothing in training: classifier-free guidance needs it."""
        self.nodes, self.parts, self.drop = nodes, parts, drop
        self.match, self.denoise = owned["output_project"], owned["generate"]

    def learn(self, batch: Batch, said: Said, seed: int, tally: Tally) -> None:
        """The objectives of all signals, one modality after the other."""
        for modality in dict.fromkeys(modality for signals in said for modality in signals):
            asked = [
                (s, signals[modality]) for s, signals in zip(batch.samples, said, strict=True) if modality in signals
            ]
            requests: list[Inputs] = [self._matched(self._dropped(signals), batch) for _, signals in asked]
            made = tally.add(self.nodes.get("output_project", modality).stage.learn(requests, self.parts, self.match))
            if self.denoise:
                conditions = [out["condition"] for out in made]
                self._denoise(modality, [s for s, _ in asked], conditions, batch, seed, tally)

    def _matched(self, signals: Signals, batch: Batch) -> Inputs:
        """A request of output_project; for equation 4 with tau_X(t) of what its signals ask for."""
        if not self.match:
            return {"signal": signals}
        return {"signal": signals, "tau": tuple(batch.tau[signals.modality, item.caption] for item in signals.items)}

    def _denoise(
        self,
        modality: str,
        samples: list[Sample],
        conditions: list[Condition],
        batch: Batch,
        seed: int,
        tally: Tally,
    ) -> None:
        """Equation 5, for those signals whose media the samples have."""
        requests: list[Inputs] = []
        for sample, condition in zip(samples, conditions, strict=True):
            refs = [ref for ref in sample.outputs if ref.modality == modality]
            there = [(ref.key, item) for ref, item in zip(refs, condition.items, strict=True) if ref.source is not None]
            if there:
                items = tuple(item for _, item in there)
                latents = tuple(batch.latents[key] for key, _ in there)
                requests.append({"condition": replace(condition, items=items), "latents": latents})
        if requests:
            self.parts.seeds = [_seed(seed, i) for i in range(len(requests))]
            tally.add(self.nodes.get("generate", modality).stage.learn(requests, self.parts, self.denoise))

    def _dropped(self, signals: Signals) -> Signals:
        """Some signals, by chance, as if they asked for nothing: their states are zero (MiniGPT-5)."""
        if not self.drop:
            return signals
        gone = (torch.rand(len(signals.items)) < self.drop).tolist()
        items = (_nothing(item) if lost else item for item, lost in zip(signals.items, gone, strict=True))
        return Signals(signals.modality, tuple(items))


def _nothing(signal: Call) -> Call:
    states, embeds = (None if t is None else torch.zeros_like(t) for t in (signal.states, signal.embeds))
    return replace(signal, caption="", states=states, embeds=embeds)


def _seed(seed: int, index: int) -> int:
    """Of the noise of a request: no two of a run coincide."""
    return int.from_bytes(hashlib.sha256(f"{seed} {index}".encode()).digest()[:7])
