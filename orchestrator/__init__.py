"""Orch: any-to-any multimodal models as graphs.

    from orchestrator import Flow

    result = Flow.arrow("image -> text -> video").run(image="cat.png", seed=7)
    result["video"].save("cat.mp4")

Names are imported when first used: importing the package imports no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.engine.chat import Chat
    from orchestrator.engine.flow import Flow
    from orchestrator.engine.result import Result
    from orchestrator.errors import (
        BundleError,
        CallError,
        Cancelled,
        DataError,
        FileError,
        FlowError,
        InputError,
        ModelError,
        NodeError,
        OrchError,
        OutOfMemory,
        OutputError,
        PlacementError,
        RecipeError,
        ResumeError,
        RetryError,
        TrainError,
        UserError,
    )
    from orchestrator.flow.builder import FlowBuilder
    from orchestrator.models.bundle import Bundle
    from orchestrator.nodes.media import Audio, Media, Video
    from orchestrator.nodes.ports import Port, PortType
    from orchestrator.nodes.stage import Config, Context, Stage

__version__ = "0.1.0"

__all__ = [
    "Audio",
    "Bundle",
    "BundleError",
    "CallError",
    "Cancelled",
    "Chat",
    "Config",
    "Context",
    "DataError",
    "FileError",
    "Flow",
    "FlowBuilder",
    "FlowError",
    "InputError",
    "Media",
    "ModelError",
    "NodeError",
    "OrchError",
    "OutOfMemory",
    "OutputError",
    "PlacementError",
    "Port",
    "PortType",
    "RecipeError",
    "Result",
    "ResumeError",
    "RetryError",
    "Stage",
    "TrainError",
    "UserError",
    "Video",
]

_HOMES = {
    "engine.chat": ("Chat",),
    "engine.flow": ("Flow",),
    "engine.result": ("Result",),
    "errors": tuple(n for n in __all__ if n.endswith("Error") or n in ("Cancelled", "OutOfMemory")),
    "flow.builder": ("FlowBuilder",),
    "models.bundle": ("Bundle",),
    "nodes.media": ("Audio", "Media", "Video"),
    "nodes.ports": ("Port", "PortType"),
    "nodes.stage": ("Config", "Context", "Stage"),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'orchestrator' has no attribute {name!r}")
    return getattr(import_module(f"orchestrator.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
