"""Check flow files and arrow lines without loading any weights: every problem, with its line and how to mend it.

Exit codes: 0 all sound, 2 there are problems.

  orch check flows/*.yaml
  orch check --schema > flow.schema.json      the JSON schema, for editors
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from orchestrator.cli.options import trust_argument
from orchestrator.errors import FlowError, InputError, Problem, UserError

if TYPE_CHECKING:
    from orchestrator.flow.plan import Plan


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch check`."""
    parser.add_argument("flows", nargs="*", metavar="FLOW", help="flow files or arrow lines")
    parser.add_argument("--bundle", metavar="NAME|PATH", help="check against this bundle, not the one the flow names")
    trust_argument(parser)
    parser.add_argument("--schema", action="store_true", help="print the JSON schema of flow files and exit")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def main(args: argparse.Namespace) -> int:
    """Check everything, then report; 2 if there is any problem."""
    if args.schema:
        from orchestrator.flow.schema import json_schema

        print(json.dumps(json_schema(), indent=2))
        return 0
    if not args.flows:
        raise UserError("nothing to check: give flow files or arrow lines, as in `orch check flows/*.yaml`")
    found, warned, dialogues = {}, {}, {}
    for flow in args.flows:
        found[flow], warned[flow], dialogues[flow] = problems(flow, args.bundle)
    if args.json:
        listed = {flow: [asdict(p) for p in told] for flow, told in found.items()}
        print(json.dumps({"flows": listed, "warnings": warned, "dialogues": dialogues}))
    else:
        for flow, told in found.items():
            refused = dialogues[flow].get("refusal", "")
            print("\n".join(map(str, told)) or f"{flow}: sound{refused and f' ({refused})'}")
        for line in dict.fromkeys(line for told in warned.values() for line in told):
            print(f"warning: {line}")
    return 2 if any(found.values()) else 0


def problems(flow: str, bundle: str | None) -> tuple[list[Problem], list[str], dict[str, Any]]:
    """Everything that is wrong with a flow; of one that is sound, what may go wrong one day with its bundle, and who
    hears a dialogue."""
    from orchestrator.engine.flow import Flow
    from orchestrator.models.bundle.places import warnings

    try:
        found = Flow.of(flow, bundle=bundle)
        return [], list(warnings(found.bundle)), _dialogue(found.plan)
    except FlowError as error:
        return list(error.problems), [], {}
    except UserError as error:
        return [Problem(str(error), flow)], [], {}


def _dialogue(plan: Plan) -> dict[str, Any]:
    """The nodes that hear the dialogue before a request, or why there is none."""
    from orchestrator.flow.history import place

    try:
        return {"hear": [node.name for node in place(plan).hearers]}
    except InputError as refusal:
        return {"refusal": str(refusal)}
