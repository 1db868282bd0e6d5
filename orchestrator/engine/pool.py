"""The model pool: every part of every bundle is loaded once in a process, when first needed, and shared.

Where a device has no room for all parts of a run (its memory plan has the limits), those that nobody uses are unloaded,
the least recently used first; a part that is in use never is. A node gets all its parts at once, so that no two nodes
wait for what the other has.
"""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from orchestrator.models.bundle import Bundle
from orchestrator.models.loading import load_part
from orchestrator.models.placement.memory import MemoryPlan, PartPlan, Spot

Key = tuple[str, Spot]  # fingerprint, and where it is
Wanted = Mapping[Key, PartPlan]
Limits = Mapping[str, int]


@dataclass
class _Slot:
    """A part. `user` is the thread that has it, `times` how often (a thread may lend a part again)."""

    plan: PartPlan
    model: Any = None
    user: int = 0
    times: int = 0

    @property
    def bytes(self) -> int:
        """What it takes of its device now."""
        return self.plan.lent + self.plan.activations if self.user else self.plan.held


class ModelPool:
    """Loaded parts by fingerprint and spot. A part serves one node at a time: schedulers and caches have state."""

    def __init__(self) -> None:
        self._slots: dict[Key, _Slot] = {}  # the least recently used first
        self._turn = threading.Condition()

    @contextmanager
    def lend(
        self, bundle: Bundle, parts: Sequence[str], plan: MemoryPlan, on_load: Callable[[str], None]
    ) -> Iterator[dict[str, Any]]:
        """Parts by name for the time of the `with`; `on_load` gets the name of each that is loaded from disk, before it
        is. Waits while others use what is needed. Raises OutOfMemory if the parts can never fit."""
        plan.refuse(parts)
        keys = {part: (bundle.fingerprint(part), plan[part].spot) for part in parts}
        slots = self._take({key: plan[part] for part, key in keys.items()}, plan.limits)
        try:
            with ExitStack() as present:
                yield {part: _model(bundle, part, slots[key], on_load, present) for part, key in keys.items()}
        finally:
            self._give_back(slots)

    def held(self, device: str) -> int:
        """Bytes that parts take of a device, as planned."""
        with self._turn:
            return sum(slot.bytes for slot in self._slots.values() if slot.plan.spot.device == device)

    def _take(self, wanted: Wanted, limits: Limits) -> dict[Key, _Slot]:
        """Wait for the parts, make room for them, and mark them as used by this thread."""
        me = threading.get_ident()
        with self._turn:
            self._turn.wait_for(lambda: self._free(wanted, me) and self._make_room(wanted, limits))
            slots = {key: self._slots.setdefault(key, _Slot(row)) for key, row in wanted.items()}
            for key, slot in slots.items():
                slot.plan, slot.user, slot.times = wanted[key], me, slot.times + 1
            return slots

    def _free(self, wanted: Wanted, me: int) -> bool:
        return all(self._slots[key].user in (0, me) for key in wanted if key in self._slots)

    def _make_room(self, wanted: Wanted, limits: Limits) -> bool:
        """Unload what nobody uses until the parts fit. False if they will once others are done with theirs; what fits
        only without its activations, which are an estimate, goes ahead when it is alone."""
        fits, before = True, len(self._slots)
        for device in {row.spot.device for row in wanted.values()} & limits.keys():
            over = self._over(device, wanted, limits[device])
            for key in self._idle(device, wanted):
                if over > 0:
                    over -= self._slots.pop(key).bytes
            fits &= over <= 0 or not self._in_use(device, wanted)
        if len(self._slots) < before:
            _release()
        return fits

    def _over(self, device: str, wanted: Wanted, limit: int) -> int:
        """Bytes that a device lacks for the wanted parts beside all that is there."""
        others = sum(s.bytes for key, s in self._slots.items() if key not in wanted and s.plan.spot.device == device)
        mine = sum(row.lent + row.activations for row in wanted.values() if row.spot.device == device)
        return others + mine - limit

    def _idle(self, device: str, wanted: Wanted) -> list[Key]:
        slots = self._slots.items()
        return [key for key, s in slots if not s.user and key not in wanted and s.plan.spot.device == device]

    def _in_use(self, device: str, wanted: Wanted) -> bool:
        """Whether somebody else has a part on a device, who will give it back."""
        slots = self._slots.items()
        return any(s.user and key not in wanted and s.plan.spot.device == device for key, s in slots)

    def _give_back(self, slots: dict[Key, _Slot]) -> None:
        with self._turn:
            for key, slot in slots.items():
                slot.times -= 1
                slot.user = slot.user if slot.times else 0
                del self._slots[key]
                if slot.times or slot.model is not None:
                    self._slots[key] = slot  # the last: the most recently used
            self._turn.notify_all()


def _model(bundle: Bundle, part: str, slot: _Slot, on_load: Callable[[str], None], present: ExitStack) -> Any:
    """The model of a slot that is this thread's, loaded if it is not there, and on its device until `present` ends."""
    import torch

    from orchestrator.models.placement import offload

    spot = slot.plan.spot
    if slot.model is None:
        on_load(part)
        model = load_part(bundle, part, spot.device if spot.offload == "none" else "cpu", getattr(torch, spot.dtype))
        offload.attach(model, spot)
        slot.model = model
    present.enter_context(offload.present(slot.model, spot))
    return slot.model


def _release() -> None:
    """Give back what unloaded parts had: models are cycles of references, and allocators keep what was theirs."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
