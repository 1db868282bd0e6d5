"""A batch made ready for the graph: media read, what frozen parts give looked up or computed, items counted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from orchestrator.errors import InputError
from orchestrator.flow.keys import NodeKeys
from orchestrator.flow.plan import WiredNode
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Features, Signals
from orchestrator.nodes.stage import Outputs, Stage
from orchestrator.train.data.report import FORM, Report
from orchestrator.train.data.sample import MediaRef, Sample
from orchestrator.train.graph.frozen import Frozen, Row
from orchestrator.train.graph.nodes import Nodes
from orchestrator.train.graph.notes import Notes
from orchestrator.train.graph.parts import Parts
from orchestrator.train.graph.tally import Tally
from orchestrator.train.graph.understanding import Said, Understanding
from orchestrator.train.recipe import Recipe


@dataclass
class Batch:
    """What the graph needs of some samples. Lists have an entry a sample, in order."""

    samples: list[Sample]
    features: dict[str, Features] = field(default_factory=dict)  # F_X by the medium's key
    texts: dict[str, str] = field(default_factory=dict)  # what is said of a medium, by its key
    scripts: list[Outputs] = field(default_factory=list)  # the dialogues in tokens, where the LLM reads them
    signals: Said | None = None  # S_X, where nothing before them trains
    tau: dict[tuple[str, str], Row] = field(default_factory=dict)  # tau_X(t) by modality and caption
    latents: dict[str, Tensor] = field(default_factory=dict)  # of the media that the assistant makes, by their key
    counts: dict[str, int] = field(default_factory=dict)  # items of each objective


class Preparer:
    """Makes samples ready. Without gradients; the same samples give the same batch."""

    def __init__(self, recipe: Recipe, nodes: Nodes, parts: Parts, frozen: Frozen, report: Report) -> None:
        self.nodes, self.parts, self.frozen, self.report = nodes, parts, frozen, report
        self.owned = {stage: recipe.options(stage) for stage in ("project", "reason", "output_project", "generate")}
        self.trained = set(recipe.tunings())
        self.understanding = Understanding(nodes, parts)
        self._captioning = {m: _captioning(nodes.get("output_project", m)) for m in nodes.modalities("output_project")}
        self._keys: dict[Stage, NodeKeys] = {}  # of a node, by its stage
        self._dialogues: Notes[str] = Notes()  # keys of dialogues
        self._scripts: Notes[Outputs] = Notes()
        self._read: dict[str, Media] = {}  # media of this batch that had to be read, by their key

    def __call__(self, samples: Sequence[Sample]) -> Batch:
        """Broken samples are left out and reported."""
        batch = Batch([sample for sample in samples if self._readable(sample)])
        for sample in batch.samples:
            batch.texts |= {ref.key: sample.turns[-1].text for ref in sample.inputs}
        self._encode(batch)
        if self.owned["output_project"]:
            self._match(batch)
        if self.owned["generate"]:
            self._compress(batch)
        if self._reason_trains(batch):
            self._write(batch)
        else:
            batch.signals = self._said(batch)
        batch.counts = self._counts(batch)
        self._read.clear()
        return batch

    # --- media

    def _readable(self, sample: Sample) -> bool:
        """Read the media of a sample that no result is kept of; False, and a line in the report, if that fails."""
        try:
            for node, ref in self._used(sample):
                if self._key(node, media=ref.key) not in self.frozen and ref.key not in self._read:
                    self._read[ref.key] = ref.load()
        except (OSError, InputError) as error:
            self.report.broken(sample, error)
            return False
        return True

    def _used(self, sample: Sample) -> Iterable[tuple[WiredNode, MediaRef]]:
        """The media whose content is needed, and the node that takes them."""
        yield from ((self.nodes.get("encode", ref.modality), ref) for ref in sample.inputs)
        if self.owned["generate"]:
            made = (ref for ref in sample.outputs if ref.source is not None)
            yield from ((self.nodes.get("generate", ref.modality), ref) for ref in made)

    # --- what frozen parts give

    def _encode(self, batch: Batch) -> None:
        """F_X of all media that the LLM sees."""
        for modality, refs in _by_modality(ref for sample in batch.samples for ref in sample.inputs).items():
            node = self.nodes.get("encode", modality)

            def make(media: list[Media], node: WiredNode = node) -> list[Row]:
                made = node.stage.run([{"media": m} for m in media], self.parts)
                found = [m["features"] for m in made]
                return [{"tokens": f.tokens, "frames": torch.tensor(f.frames)} for f in found]

            for key, row in self._of_media(node, refs, make).items():
                batch.features[key] = Features(modality, self._here(row["tokens"]), int(row["frames"]))

    def _compress(self, batch: Batch) -> None:
        """Latents of the media that the assistant makes."""
        made = (ref for sample in batch.samples for ref in sample.outputs if ref.source is not None)
        for modality, refs in _by_modality(made).items():
            node = self.nodes.get("generate", modality)

            def make(media: list[Media], node: WiredNode = node) -> list[Row]:
                made = node.stage.targets([{"media": (m,)} for m in media], self.parts)
                return [{"latents": m["latents"][0]} for m in made]

            rows = self._of_media(node, refs, make)
            batch.latents |= {key: self._here(row["latents"]) for key, row in rows.items()}

    def _of_media(
        self, node: WiredNode, refs: Mapping[str, MediaRef], make: Callable[[list[Media]], list[Row]]
    ) -> dict[str, Row]:
        """The rows of some media by their key; `make` gets those that are not kept."""
        names = list(refs)
        keys = [self._key(node, media=name) for name in names]
        return dict(
            zip(names, self.frozen.fetch(keys, lambda at: make([self._read[names[i]] for i in at])), strict=True)
        )

    def _match(self, batch: Batch) -> None:
        """tau_X(t) of all captions, and of none: what a dropped signal should give."""
        asked: dict[str, dict[str, None]] = {}
        for ref in (ref for sample in batch.samples for ref in sample.outputs):
            asked.setdefault(ref.modality, {"": None})[ref.caption] = None
        for modality, captions in asked.items():
            node, said = self._captioning[modality], list(captions)

            def make(
                at: list[int], node: WiredNode = node, modality: str = modality, said: list[str] = said
            ) -> list[Row]:
                signals = [Signals(modality, (Call(modality, said[i]),)) for i in at]
                made = node.stage.targets([{"signal": signal} for signal in signals], self.parts)
                return [m["tau"][0] for m in made]

            rows = self.frozen.fetch([self._key(node, caption=caption) for caption in said], make)
            for caption, row in zip(said, rows, strict=True):
                batch.tau[modality, caption] = {name: self._here(tensor) for name, tensor in row.items()}

    # --- what the LLM says

    def _reason_trains(self, batch: Batch) -> bool:
        """Whether a gradient goes through the LLM: it has an objective, or it or what it reads is trained."""
        reads = {f"input_projectors.{ref.modality}" for sample in batch.samples for ref in sample.inputs}
        return bool(self.owned["reason"] or self.parts.llm_trains or reads & set(self.trained))

    def _write(self, batch: Batch) -> None:
        """The dialogues in tokens. Those that the LLM cannot take are left out, and reported."""
        samples, batch.samples = batch.samples, []
        for sample in samples:
            try:
                batch.scripts += self._script([sample], batch)
                batch.samples.append(sample)
            except InputError as error:
                self.report.add(sample.where, str(error), FORM)

    def _script(self, samples: list[Sample], batch: Batch) -> list[Outputs]:
        return self._scripts.fetch(samples, lambda some: self.understanding.script(some, batch.features))

    def _said(self, batch: Batch) -> Said:
        """S_X of every sample, from a frozen LLM that reads what nothing trains: one row a sample. Dialogues that the
        LLM cannot take are left out, and reported."""
        asking = [sample for sample in batch.samples if sample.outputs]
        keys = self._dialogues.fetch(asking, lambda some: [self._dialogue_key(sample) for sample in some])
        names = {id(sample): key for sample, key in zip(asking, keys, strict=True)}
        new = Batch([sample for sample in asking if names[id(sample)] not in self.frozen], features=batch.features)
        broken = {id(sample) for sample in new.samples}
        self._write(new)
        broken -= {id(sample) for sample in new.samples}
        batch.samples = [sample for sample in batch.samples if id(sample) not in broken]
        asking = [sample for sample in asking if id(sample) not in broken]

        def make(at: list[int]) -> list[Row]:
            some = [asking[i] for i in at]
            prompts = self.understanding.project(batch.features, {}, {}, Tally())
            return [_row(s) for s in self.understanding.reason(some, self._script(some, batch), prompts, {}, Tally())]

        rows = self.frozen.fetch([names[id(sample)] for sample in asking], make)
        kept = {id(sample): self._signals(sample, row) for sample, row in zip(asking, rows, strict=True)}
        return [kept.get(id(sample), {}) for sample in batch.samples]

    def _signals(self, sample: Sample, row: Row) -> dict[str, Signals]:
        """A row as signals again, with the captions of the sample."""
        found: dict[str, list[Call]] = {}
        for ref in sample.outputs:
            items = found.setdefault(ref.modality, [])
            states, embeds = (self._here(row[f"{ref.modality}.{len(items)}.{name}"]) for name in ("states", "embeds"))
            items.append(Call(ref.modality, ref.caption, 0, states, embeds))
        return {modality: Signals(modality, tuple(items)) for modality, items in found.items()}

    def _counts(self, batch: Batch) -> dict[str, int]:
        """How many items each objective's mean will be over."""
        made = [ref for sample in batch.samples for ref in sample.outputs]
        seen = Counter(features.modality for features in batch.features.values())
        pairs = sum(n for n in seen.values() if n > 1)
        counts = {
            "mse": len(made),
            "x_gen": sum(ref.source is not None for ref in made),
            "dpo": len(batch.samples),
            **dict.fromkeys(("itc", "itm", "itg"), pairs),
        }
        objectives = [name for owned in self.owned.values() for name in owned]
        counts["txt_gen"] = sum(len(script["script"]["dialogue"].labelled) for script in batch.scripts)
        return {name: counts[name] for name in objectives if counts[name]}

    # --- keys

    def _key(self, node: WiredNode, **inputs: Any) -> str:
        """The name of what a node gives for an input, as the engine makes names."""
        if node.stage not in self._keys:
            self._keys[node.stage] = NodeKeys(node, self.parts.bundle, 0, str(self.parts.dtype))
        return self._keys[node.stage](inputs)

    def _dialogue_key(self, sample: Sample) -> str:
        """The name of the states that the LLM has at the calls of a dialogue."""
        turns = [
            [t.role, *(p if isinstance(p, str) else self._piece_key(t.role, p) for p in t.content)]
            for t in sample.turns
        ]
        return self._key(self.nodes.get("reason"), dialogue=turns)

    def _piece_key(self, role: str, ref: MediaRef) -> list[str]:
        if role == "assistant":
            return ["call", ref.modality]
        features = self._key(self.nodes.get("encode", ref.modality), media=ref.key)
        return ["media", self._key(self.nodes.get("project", ref.modality), features=features)]

    def _here(self, tensor: Tensor) -> Tensor:
        """On the device of training, in 32 bits: what is kept may have fewer."""
        return tensor.to(self.parts.device, torch.float32)


def _captioning(node: WiredNode) -> WiredNode:
    """The node with the bridge that gives tau_X(t): it depends on the generator alone, not on any projector."""
    stage = node.stage
    return replace(node, stage=type(stage)(stage.config.model_copy(update={"bridge": "caption"})))


def _by_modality(refs: Iterable[MediaRef]) -> dict[str, dict[str, MediaRef]]:
    """Modality -> key -> medium, each medium once."""
    found: dict[str, dict[str, MediaRef]] = {}
    for ref in refs:
        found.setdefault(ref.modality, {})[ref.key] = ref
    return found


def _row(said: Mapping[str, Signals]) -> Row:
    """The tensors of a sample's signals, named by modality, number and kind."""
    items = [(f"{modality}.{i}", item) for modality, signals in said.items() for i, item in enumerate(signals.items)]
    return {f"{name}.{kind}": getattr(item, kind) for name, item in items for kind in ("states", "embeds")}
