"""The memory plan: each part of a run, what it needs, and where it goes. Data only, no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from orchestrator.errors import OutOfMemory
from orchestrator.models.placement.needs import Need
from orchestrator.models.placement.sizes import size

Offload = Literal["none", "model", "sequential"]


@dataclass(frozen=True)
class Spot:
    """Where a part is."""

    device: str = "cpu"
    dtype: str = "float32"
    offload: Offload = "none"


@dataclass(frozen=True)
class PartPlan:
    """A part, what it needs, and where it goes. Bytes on its device: `held` between nodes, `lent` while a node uses it,
    and `activations` beside these (an estimate)."""

    need: Need
    spot: Spot

    @property
    def part(self) -> str:
        return self.need.part

    @property
    def weights(self) -> int:
        return self.need.weights(self.spot.dtype)

    @property
    def activations(self) -> int:
        return self.need.activations(self.spot.dtype)

    @property
    def held(self) -> int:
        whole = {"none": self.need.floats, "model": 0, "sequential": self.need.floor}[self.spot.offload]
        return self.need.weights(self.spot.dtype, whole)

    @property
    def lent(self) -> int:
        most = {"none": self.need.floats, "model": self.need.largest, "sequential": self.need.streamed}
        return self.need.weights(self.spot.dtype, most[self.spot.offload])


@dataclass(frozen=True)
class MemoryPlan:
    """All parts of a run, in the order of first use. `limits`: the bytes that parts may take of each device; weights
    alone never go over those that are `strict`. `asked`: whether the user had a say."""

    rows: tuple[PartPlan, ...] = ()
    limits: Mapping[str, int] = field(default_factory=dict)
    strict: frozenset[str] = frozenset()
    asked: bool = False

    def __getitem__(self, part: str) -> PartPlan:
        return next(row for row in self.rows if row.part == part)

    def spot(self, parts: Iterable[str]) -> Spot:
        """Where a node with these parts runs: at the first of them."""
        return next((self[part].spot for part in parts), Spot())

    def dtype(self, parts: Iterable[str]) -> str:
        """The precision of a node with these parts, for its key: that of its parts, each once."""
        return " ".join(sorted({f"torch.{self[part].spot.dtype}" for part in parts}))

    @property
    def devices(self) -> tuple[str, ...]:
        """Those that have parts."""
        return tuple(dict.fromkeys(row.spot.device for row in self.rows))

    def whole(self, device: str) -> int:
        """Bytes that a device would hold at most if nothing were ever unloaded: one node runs at a time."""
        rows = [row for row in self.rows if row.spot.device == device]
        held = sum(row.held for row in rows)
        return held + max((row.lent - row.held + row.activations for row in rows), default=0)

    def peak(self, device: str) -> int:
        """Bytes that a device will hold at most: parts that are not in use make room where that keeps the limit."""
        alone = max(row.lent + row.activations for row in self.rows if row.spot.device == device)
        return min(self.whole(device), max(alone, self.limits.get(device, self.whole(device))))

    def takes_turns(self, device: str) -> bool:
        """Whether parts are unloaded to make room for others."""
        return self.whole(device) > self.limits.get(device, self.whole(device))

    @property
    def decided(self) -> bool:
        """Whether there is anything to tell: parts are on a GPU, do not fit together, or the user had a say."""
        return self.asked or any(device != "cpu" or self.takes_turns(device) for device in self.devices)

    def refuse(self, parts: Iterable[str]) -> None:
        """Raises OutOfMemory if the weights of parts that one node uses together do not fit."""
        rows = [self[part] for part in parts]
        for device in self.strict & {row.spot.device for row in rows}:
            mine = [row for row in rows if row.spot.device == device]
            if sum(row.lent for row in mine) > self.limits[device]:
                needs = " and ".join(f"{row.part} {size(row.lent)} ({row.spot.dtype})" for row in mine)
                raise OutOfMemory(
                    f"the weights do not fit on {device}: {needs}; there are {size(self.limits[device])} to use. "
                    f"{advice(mine)}"
                )


def advice(rows: Iterable[PartPlan], settings: Mapping[str, str] | None = None) -> str:
    """What to set when a device has too little memory; `settings` are `NODE.FIELD` of what makes it smaller."""
    ways = []
    for row in rows:
        if row.spot.device != "cpu":
            way = "offload" if row.spot.offload == "none" else "sequential" if row.spot.offload == "model" else "cpu"
            ways.append(f"--place {row.part}={way}")
        elif row.spot.dtype == "float32":
            ways.append(f"--place {row.part}=bfloat16")
    ways += [f"a smaller {field} (--set {place}=...)" for place, field in (settings or {}).items()]
    return f"Set {', or '.join([*ways, 'a higher --memory'])}"
