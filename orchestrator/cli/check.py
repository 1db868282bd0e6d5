"""Check flow files and arrow lines without loading any weights: every problem, with its line and how to mend it.

Exit codes: 0 all sound, 2 there are problems.

  orch check flows/*.yaml
  orch check --schema > flow.schema.json      the JSON schema, for editors
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict

from orchestrator.errors import FlowError, Problem, UserError


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch check`."""
    parser.add_argument("flows", nargs="*", metavar="FLOW", help="flow files or arrow lines")
    parser.add_argument("--bundle", metavar="NAME|PATH", help="check against this bundle, not the one the flow names")
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
    found = {flow: problems(flow, args.bundle) for flow in args.flows}
    if args.json:
        print(json.dumps({"flows": {flow: [asdict(p) for p in listed] for flow, listed in found.items()}}))
    else:
        for flow, listed in found.items():
            print("\n".join(map(str, listed)) or f"{flow}: sound")
    return 2 if any(found.values()) else 0


def problems(flow: str, bundle: str | None) -> list[Problem]:
    """Everything that is wrong with a flow."""
    from orchestrator.engine.flow import Flow

    try:
        Flow.of(flow, bundle=bundle)
    except FlowError as error:
        return list(error.problems)
    except UserError as error:
        return [Problem(str(error), flow)]
    return []
