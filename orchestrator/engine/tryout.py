"""Each way through a bundle, run once: whether its parts work together."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np

from orchestrator.engine.flow import Flow
from orchestrator.errors import Cancelled, FlowError, OrchError
from orchestrator.flow.routes import Route, routes, short
from orchestrator.models.bundle import Bundle
from orchestrator.nodes.media import Audio, Video

SIDE, RATE = 64, 16000


def _picture() -> np.ndarray:
    """Shades from left to right and from top to bottom: uint8 [SIDE, SIDE, 3]."""
    across = np.linspace(0, 255, SIDE)
    return np.stack(np.broadcast_arrays(across[None], across[:, None], 128.0), -1).astype(np.uint8)


SAMPLES: dict[str, Callable[[], Any]] = {  # what goes in, by modality
    "text": lambda: "a dog",
    "image": _picture,
    "audio": lambda: Audio(np.sin(np.arange(RATE, dtype=np.float32) * 0.17), RATE),  # one second of 433 Hz
    "video": lambda: Video(np.stack([np.roll(_picture(), 8 * i, 1) for i in range(4)]), 8),
}


@dataclass(frozen=True)
class Outcome:
    """How a way went: it ran (`said`: what it made), failed at `node` (`said`: why), or lacks a part (`said`: which).
    `seconds` are those of the run, loading included."""

    line: str
    bridge: str
    status: Literal["ran", "failed", "lacks"]
    seconds: float = 0.0
    said: str = ""
    node: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self) | {"seconds": round(self.seconds, 3)}


def tryout(bundle: Bundle, device: str = "auto") -> Iterator[Outcome]:
    """Run every way of a bundle, one after the other."""
    for route in routes(bundle):
        try:
            flow = Flow(short(route, bundle), bundle.root)
        except FlowError as error:
            yield Outcome(route.line, route.bridge, "lacks", said="; ".join(p.message for p in error.problems))
        else:
            yield _run(flow, route, device)


def _run(flow: Flow, route: Route, device: str) -> Outcome:
    begun = time.monotonic()
    try:
        result = flow.run({name: SAMPLES[put.modality]() for name, put in flow.spec.inputs.items()},
                          cache=False, device=device)  # fmt: skip
    except Cancelled:
        raise
    except OrchError as error:
        nodes = error.result.nodes if error.result else ()
        node = next((n.name for n in nodes if n.status == "failed"), "")
        return Outcome(route.line, route.bridge, "failed", time.monotonic() - begun, str(error), node)
    made = [what for node in result.nodes[-1:] for port, what in node.made.items()]
    return Outcome(route.line, route.bridge, "ran", result.seconds, ", ".join(made))
