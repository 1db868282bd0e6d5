"""The ways through a bundle: every encoder to text, and text to every generator by each bridge, as arrow lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, get_args

from orchestrator.flow.arrows import TEXT, parse
from orchestrator.flow.spec import FlowSpec, NodeSpec
from orchestrator.models.bundle import Bundle
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.output_project import OutputProjectConfig

BRIDGES: tuple[str, ...] = get_args(OutputProjectConfig.model_fields["bridge"].annotation)
WORDS = 8  # tokens of a reply, beside its signal
STEPS = 2


@dataclass(frozen=True)
class Route:
    """One way: an arrow line, and on the way to a generator its bridge."""

    line: str
    bridge: str = ""

    def __str__(self) -> str:
        return f"{self.line} (bridge {self.bridge})" if self.bridge else self.line


def routes(bundle: Bundle) -> list[Route]:
    """All ways through a bundle, in the order of the table of modalities."""
    seen = [m for m in MODALITIES if m in bundle.spec.encoders or m in bundle.sees]
    made = [m for m in MODALITIES if m in bundle.spec.generators]
    return [Route(f"{m} -> {TEXT}") for m in seen] + [Route(f"{TEXT} -> {m}", b) for m in made for b in BRIDGES]


def short(route: Route, bundle: Bundle) -> FlowSpec:
    """The flow of a way, made short: a few words, a few denoising steps."""
    spec = parse(route.line, direct=bundle.sees)
    signals = {m: s.count for m, s in bundle.spec.signals.items()}
    length = WORDS + sum(signals.get(m, 0) for m in spec.nodes["reason"].fields.get("require", ()))
    changes: dict[str, dict[str, Any]] = {"reason": {"max_new_tokens": length}, "generate": {"steps": STEPS}}
    changes["output_project"] = {"bridge": route.bridge}
    nodes = {
        name: NodeSpec.model_validate(node.to_plain() | changes.get(node.stage, {}))
        for name, node in spec.nodes.items()
    }
    return spec.model_copy(update={"nodes": nodes})
