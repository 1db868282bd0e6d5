"""What a run gives back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from orchestrator.engine.events import Status
from orchestrator.engine.store import Store
from orchestrator.engine.summary import numbered
from orchestrator.errors import InputError, nearest
from orchestrator.nodes.media import Media


@dataclass(frozen=True)
class NodeResult:
    """What the trace saw of a node."""

    name: str
    stage: str
    status: Status
    seconds: float
    device: str
    batch: int
    made: Mapping[str, str]
    reason: str = ""


class Values(Mapping[str, Any]):
    """All that a run made, by source (`split.video`, `agent.2.reason.reply`): looked up in the store when asked for, so
    as long as they are there."""

    def __init__(self, handles: Mapping[str, str], store: Store) -> None:
        self.handles, self.store = handles, store

    def __getitem__(self, source: str) -> Any:
        return self.store.value(self.handles[source])

    def __contains__(self, source: object) -> bool:
        return source in self.handles

    def __iter__(self) -> Iterator[str]:
        return iter(self.handles)

    def __len__(self) -> int:
        return len(self.handles)


@dataclass(frozen=True)
class Result:
    """The outputs of a run and how they came about. `result["video"]` is a Media. `values` has all that its nodes made,
    by source; of a run that failed, nothing."""

    run: str
    status: Literal["done", "failed", "interrupted"]
    seed: int
    seconds: float
    outputs: Mapping[str, Media]
    several: Mapping[str, tuple[Media, ...]]
    paths: Mapping[str, Path]
    nodes: tuple[NodeResult, ...]
    folder: Path | None = None
    error: str = ""
    values: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __getitem__(self, name: str) -> Media:
        """An output; the first, where a reply asked for several. Raises InputError if it was not made."""
        if name not in self.outputs:
            raise InputError(f"run {self.run} made no output '{name}'.{nearest(name, self.outputs)}")
        return self.outputs[name]

    def all(self, name: str) -> tuple[Media, ...]:
        """All media of an output, in the order in which the reply asked for them."""
        return self.several.get(name, ())

    def each(self) -> Iterator[tuple[str, Media, Path | None]]:
        """Every medium of every output: its name (`video`, `video-2`), itself, and its file, if it has one."""
        for output, several in self.several.items():
            for name, media in numbered(output, several).items():
                yield name, media, self.paths.get(name)

    def as_dict(self) -> dict[str, Any]:
        """The JSON form of `orch run --json` and `run.json`."""
        return {
            "run": self.run,
            "status": self.status,
            "seed": self.seed,
            "seconds": round(self.seconds, 3),
            "outputs": {name: self._output(name) for name in self.outputs},
            "nodes": [self._node(node) for node in self.nodes],
        } | ({"error": self.error} if self.error else {})

    def _output(self, name: str) -> dict[str, Any]:
        """The first medium of an output, and `more` of them."""
        first, *more = (self._medium(named, media) for named, media in numbered(name, self.several[name]).items())
        return first | ({"more": more} if more else {})

    def _medium(self, name: str, media: Media) -> dict[str, Any]:
        place = {"text": media.text} if media.modality == "text" else {}
        path = {"path": str(self.paths[name])} if name in self.paths else {}
        return {"modality": media.modality, **place, **path, "meta": dict(media.meta)}

    def _node(self, node: NodeResult) -> dict[str, Any]:
        fields = ("name", "stage", "status", "seconds", "device", "batch", "made")
        found = {f: getattr(node, f) for f in fields} | {"seconds": round(node.seconds, 4)}
        return found | ({"reason": node.reason} if node.reason else {})
