"""Show the flow behind a file or an arrow line: its YAML, its graph, and where its parts go.

orch show "image -> text -> video"
orch show "image -> text -> video" --yaml > flow.yaml
orch show flow.yaml --png flow.png
orch show flow.yaml --memory 8GB
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.memory import memory
from orchestrator.cli.options import flow_arguments, load_flow, placing, placing_arguments

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch show`."""
    flow_arguments(parser)
    placing_arguments(parser)
    parser.add_argument("--yaml", action="store_true", help="print only the YAML")
    parser.add_argument("--mermaid", action="store_true", help="print only the compiled graph, as a mermaid diagram")
    parser.add_argument("--png", type=Path, metavar="FILE", help="save the graph as a picture instead of printing it")


def main(args: argparse.Namespace) -> int:
    """Show what was asked for; without options, everything."""
    flow = load_flow(args)
    if args.png:
        from orchestrator.cli.drawing import Drawing
        from orchestrator.cli.picture import save_png

        save_png(Drawing.of(flow.plan), args.png)
        print(args.png)
    if args.mermaid:
        print(flow.graph().get_graph(xray=True).draw_mermaid())
    if args.yaml:
        print(yaml_of(flow), end="")
    if not (args.png or args.mermaid or args.yaml):
        everything(flow, placing(args))
    return 0


def yaml_of(flow: Flow) -> str:
    """The flow as a file would have it."""
    from orchestrator.flow.yaml_io import dumps

    return dumps(flow.spec)


def everything(flow: Flow, places: Mapping[str, Any]) -> None:
    """YAML, graph and memory plan, on stdout."""
    from rich.console import Console
    from rich.syntax import Syntax

    from orchestrator.cli.drawing import Drawing

    console = Console()
    text = yaml_of(flow)
    if console.is_terminal:
        console.print(Syntax(text, "yaml", theme="ansi_dark", background_color="default", word_wrap=True))
    else:
        sys.stdout.write(text)
    console.print()
    console.print(Drawing.of(flow.plan))
    console.print(memory(flow.memory_plan(**places)))
