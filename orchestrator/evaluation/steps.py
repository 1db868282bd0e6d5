"""What an agent does for one request: the media that it makes over its turns, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from orchestrator.engine.loop import turns
from orchestrator.errors import UserError
from orchestrator.evaluation import answers, flows, text
from orchestrator.evaluation.answers import Values
from orchestrator.evaluation.metrics import Case, Metric, Noted, Score, by_group, share
from orchestrator.evaluation.requests import TEXT, Asked
from orchestrator.flow.branches import makes
from orchestrator.flow.plan import Plan
from orchestrator.flow.spec import FlowSpec
from orchestrator.nodes.decode import MADE

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow
    from orchestrator.models.bundle import Bundle


class Steps(Metric):
    """Whether an agent makes the media that were asked for, in order, and answers then."""

    total = True

    def flow(self, inputs: tuple[str, ...], requests: Sequence[Asked], bundle: Bundle) -> FlowSpec:
        """Raises UserError for requests without a text: an agent has to be asked something."""
        if TEXT not in inputs:
            raise UserError(f"{requests[0].where}: it brings {requests[0].seen} and no text: name a `flow` that asks")
        spec = bundle.spec
        has = [name for name in MADE if name in spec.generators and (bundle.remote or name in spec.signals)]
        return flows.agent(inputs, has)

    def lacks(self, plan: Plan, requests: Sequence[Asked]) -> str | None:
        agents = answers.agents(plan)
        if not agents:
            return "no agent node, so no steps"
        if any("tools" in node.links for node in agents):  # which may make anything
            return None
        has = {modality for node in agents for modality in makes(node)}
        wanted = dict.fromkeys(modality for asked in requests for modality in asked.expected)
        missing = [modality for modality in wanted if modality not in has]
        return f"no agent that makes {' or '.join(missing)}" if missing else None

    def groups(self, asked: Asked) -> Sequence[str]:
        return (" -> ".join(asked.expected) or TEXT,)

    def see(self, flow: Flow, asked: Sequence[Asked], made: Sequence[Values], group: str) -> list[Case]:
        return [_ended(flow.plan, request, values) for request, values in zip(asked, made, strict=True)]

    def scores(self, noted: Noted) -> dict[str, Score]:
        found = {"the media asked for, in order": share(case["made"] == list(a.expected) for a, case in noted)}
        found |= {f"names the {group}": score for group, score in by_group(noted, "names").items()}
        return found | {"stopped by answering": share(case["stop"] == "answer" for _, case in noted)}


def _ended(plan: Plan, asked: Asked, values: Values) -> Case:
    """What was made, and what the last agent said at last."""
    node = answers.agents(plan)[-1]
    said, stop = (values[s].text if (s := f"{node.name}.{port}") in values else "" for port in ("text", "stop"))
    names = {group: text.names(said, words) for group, words in asked.labels.items()}
    count = len(turns(node.name, values))
    return {"made": answers.made(plan, values), "said": said, "stop": stop, "turns": count, "names": names}
