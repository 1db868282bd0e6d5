"""Which part goes where: what fits to the GPUs, in half precision; what does not is offloaded, or else on the CPU.

`choose` is a function of data: what parts need, what devices have, what is asked for. No torch here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.errors import PlacementError, nearest
from orchestrator.models.placement.memory import MemoryPlan, Offload, PartPlan, Spot
from orchestrator.models.placement.needs import Need
from orchestrator.models.placement.spec import EVERY, Placement, PlacementSpec, merged

OFFLOADS: tuple[Offload, ...] = ("none", "model", "sequential")  # from fast to small
HEADROOM = 0.9  # of a GPU's free memory: allocators lose some to fragments


@dataclass(frozen=True)
class Device:
    """A device and its free bytes."""

    name: str
    free: int
    bfloat16: bool = True

    @property
    def gpu(self) -> bool:
        return self.name != "cpu"

    @property
    def dtypes(self) -> tuple[str, ...]:
        """What it computes in. (A CPU has few kernels for float16, and no speed in them.)"""
        return ("float32", *(["float16"] if self.gpu else []), *(["bfloat16"] if self.bfloat16 else []))


def choose(
    needs: Sequence[Need],
    devices: Sequence[Device],
    layers: Sequence[Placement] = (),
    memory: int | None = None,
    known: Sequence[str] = (),
) -> MemoryPlan:
    """The place of each part. `layers` are placements of rising rank, the bundle's first; `memory` the most bytes to
    use of each GPU, or without one of the machine; `known` all parts of the bundle, which a placement may name.

    On a GPU a part that may be anywhere goes where most room is left, so that several GPUs share the parts. Parts that
    fit alone but not together take turns (engine.pool). One that does not fit alone is offloaded, and else is on the
    CPU. Raises PlacementError with all problems.
    """
    wishes = {need.part: merged(need.part, layers) for need in needs}
    problems = [*_unknown(layers, known or list(wishes)), *_impossible(needs, wishes, devices)]
    if problems:
        raise PlacementError("\n".join(problems))
    gpus = [device for device in devices if device.gpu]
    bounded = frozenset(d.name for d in gpus or (devices if memory else ()))
    limits = {device.name: _limit(device, memory if device in gpus or not gpus else None) for device in devices}
    room, spots = dict(limits), dict[str, Spot]()
    for need in sorted(needs, key=lambda need: -need.floats):
        spot = spots[need.part] = _spot(need, wishes[need.part], devices, limits, room)
        room[spot.device] -= PartPlan(need, spot).held
    rows = tuple(PartPlan(need, spots[need.part]) for need in needs)
    return MemoryPlan(rows, limits, bounded, asked=bool(memory or any(layers)))


def _limit(device: Device, memory: int | None) -> int:
    free = int(device.free * HEADROOM) if device.gpu else device.free
    return free if memory is None else min(memory, free) if device.gpu else memory


def _spot(
    need: Need, wish: PlacementSpec, devices: Sequence[Device], limits: Mapping[str, int], room: Mapping[str, int]
) -> Spot:
    """The first spot that takes the part, of the ways to put it somewhere; the last way if none does."""
    if not need.floats + need.fixed:  # it is elsewhere
        return Spot()
    ways = [_at(need, wish, device, way) for device, way in _ways(need, wish, devices, room)]
    fitting = (spot for spot in ways if _alone(need, spot) <= limits[spot.device])
    return next(fitting, ways[-1])


def _ways(
    need: Need, wish: PlacementSpec, devices: Sequence[Device], room: Mapping[str, int]
) -> Iterator[tuple[Device, Offload]]:
    """Devices and offloads from best to worst: GPUs with most room first, whole, then offloaded; then the CPU."""
    may = [device for device in devices if _allowed(device, wish.device)]
    gpus = sorted((device for device in may if device.gpu), key=lambda device: -room[device.name])
    offloads = OFFLOADS if need.movable else OFFLOADS[:1]
    for offload in offloads if wish.offload == "auto" else (wish.offload,):
        yield from ((device, offload) for device in gpus)
    if need.movable or not gpus:
        yield from ((device, "none") for device in may if not device.gpu)


def _allowed(device: Device, asked: str) -> bool:
    return asked in ("auto", device.name) or (asked == "cuda" and device.gpu)


def _at(need: Need, wish: PlacementSpec, device: Device, offload: Offload) -> Spot:
    if wish.dtype != "auto" and wish.dtype in device.dtypes:
        return Spot(device.name, wish.dtype, offload)
    half = need.native if need.native in device.dtypes and need.native != "float32" else "float16"
    return Spot(device.name, half if device.gpu else "float32", offload)


def _alone(need: Need, spot: Spot) -> int:
    row = PartPlan(need, spot)
    return row.lent + row.activations


def _unknown(layers: Sequence[Placement], known: Sequence[str]) -> Iterator[str]:
    for part in dict.fromkeys(part for layer in layers for part in layer if part != EVERY):
        if part not in known:
            yield f"placement: unknown part '{part}'.{nearest(part, [*known, EVERY])}"


def _impossible(needs: Sequence[Need], wishes: Mapping[str, PlacementSpec], devices: Sequence[Device]) -> Iterator[str]:
    """Devices that are not there, and precisions or offloads that a device does not have; parts with one problem
    together."""
    found: dict[str, list[str]] = {}
    for need in needs:
        for problem in _misfits(need, wishes[need.part], devices):
            found.setdefault(problem, []).append(need.part)
    yield from (f"placement of {', '.join(parts)}: {problem}" for problem, parts in found.items())


def _misfits(need: Need, wish: PlacementSpec, devices: Sequence[Device]) -> Iterator[str]:
    names = [device.name for device in devices]
    may = [device for device in devices if _allowed(device, wish.device)]
    dtypes = dict.fromkeys(dtype for device in may for dtype in device.dtypes)
    if not may:
        known = ["auto", *names, *(["cuda"] if len(names) > 1 else [])]
        yield f"no device '{wish.device}' on this machine; there are: {', '.join(known)}"
    elif wish.dtype not in ("auto", *dtypes):
        places = " or ".join(device.name for device in may)
        yield f"{wish.dtype} is not for {places}; take one of: auto, {', '.join(dtypes)}"
    if wish.offload in ("model", "sequential") and wish.device == "cpu":
        yield f"offload {wish.offload} needs a GPU to copy to, but its device is cpu"
    if wish.offload in ("model", "sequential") and not need.movable:
        yield "it is quantized, so it stays on the GPU: leave out offload or quantize"
