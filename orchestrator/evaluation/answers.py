"""What the LLM of a run asked for, and what came of it: one form for signals that `decode` splits, and for calls that
`route` and `agent` follow. A run that failed has no values, so it asked for nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from orchestrator.engine.dispatch import results
from orchestrator.engine.loop import turns
from orchestrator.evaluation import flows
from orchestrator.flow.plan import Plan, WiredNode
from orchestrator.models.llm.calls import MAKE
from orchestrator.nodes.agent import AgentConfig
from orchestrator.nodes.decode import MADE
from orchestrator.nodes.ports import Observation, Reply, Signals
from orchestrator.nodes.route import ActConfig

Values = Mapping[str, Any]  # source (`inputs.image`, `decode.text`) -> value; what was skipped is absent


def acting(plan: Plan) -> list[WiredNode]:
    """The nodes that follow calls."""
    return [node for node in plan.nodes if isinstance(node.stage.config, ActConfig)]


def agents(plan: Plan) -> list[WiredNode]:
    """Those that do so over several turns."""
    return [node for node in acting(plan) if isinstance(node.stage.config, AgentConfig)]


def replies(plan: Plan, values: Values) -> list[Reply]:
    """All that the LLM wrote, those of an agent's turns too."""
    sources = [*flows.sources(plan, "Reply"), *(source for node in agents(plan) for source in turns(node.name, values))]
    return [values[source] for source in sources if source in values]


def called(plan: Plan, values: Values) -> list[str]:
    """The modality of everything that was asked for, as a signal or as a call."""
    names = [observed.call.name.removeprefix(MAKE) for observed in _observed(plan, values)]
    return [*_signals(plan, values), *(name for name in names if name in MADE)]


def made(plan: Plan, values: Values) -> list[str]:
    """The modality of everything that calls gave, what tools made included, by turn and call; of a flow that splits
    signals, of everything that was asked for."""
    return [*_signals(plan, values), *(name for found in _observed(plan, values) for name in _media(found))]


def _signals(plan: Plan, values: Values) -> Iterator[str]:
    for source in flows.sources(plan, "Signals"):
        found: Signals | None = values.get(source)
        yield from () if found is None else (found.modality for _ in found.items)


def _observed(plan: Plan, values: Values) -> list[Observation]:
    return [values[source] for node in acting(plan) for source in results(node.name, values)]


def _media(found: Observation) -> Iterator[str]:
    return (media.modality for media in found.media if media.modality in MADE)
