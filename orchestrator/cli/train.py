"""Train by a recipe: what is trainable in a flow, on your data.

It tells what trains and what it takes, then trains; metrics, curves, samples and checkpoints go to DIR, and at the end
a bundle that runs. The same command goes on after an interruption. Exit codes: 0 done, 1 the run failed, 2 wrong
input, 130 interrupted (the state is kept).

  orch train recipes/mm_pt_input.yaml
  orch train recipe.yaml --set lr=1e-4 --set train.llm.lora.r=16 --out runs/train/lora16
  accelerate launch -m orchestrator.cli.main train recipe.yaml        on all GPUs
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.options import pairs, trust_argument

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.train.run.events import Event

LINES = 50  # of steps, in a log


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch train`."""
    parser.add_argument("recipe", metavar="RECIPE", help="a recipe file")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where results go (default: runs/train/NAME)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change a key of the recipe, e.g. lr=1e-4"
    )
    parser.add_argument("--steps", type=int, metavar="N", help="train so many steps, whatever the recipe says")
    again = parser.add_mutually_exclusive_group()
    again.add_argument("--resume", action="store_true", help="go on from a checkpoint; without one, that is an error")
    again.add_argument("--fresh", action="store_true", help="remove what is in DIR of a run before, and start anew")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 or auto (default)")
    trust_argument(parser)
    parser.add_argument("--dry-run", action="store_true", help="only tell what trains, and estimate memory and time")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, last")
    parser.add_argument("--quiet", action="store_true", help="no bars; only the path of the bundle")


def main(args: argparse.Namespace) -> int:
    """Train; errors are for the caller to report."""
    from rich.console import Console

    from orchestrator.train.trainer import train

    changes = pairs(args.set, "--set")
    if args.steps is not None:
        changes |= {"steps": str(args.steps), "epochs": "null"}
    resume = True if args.resume else (False if args.fresh else None)
    first = os.environ.get("RANK", "0") == "0"  # of several processes one speaks
    with showing(Console(stderr=True), args.quiet or not first) as on_event:
        result = train(
            args.recipe, args.out, changes=changes, device=args.device, resume=resume, rehearse=args.dry_run,
            on_event=on_event,
        )  # fmt: skip
    if args.json and first:
        print(json.dumps(result.as_dict()))
    elif result.bundle and first:
        print(result.bundle)
    return 0


@contextmanager
def showing(console: Console, quiet: bool) -> Iterator[Callable[[Event], None]]:
    """A function that shows events until the block ends: bars in a terminal, lines in a log."""
    from rich.live import Live

    from orchestrator.cli.bars import Bars, Lines

    if quiet:
        yield lambda event: None
    elif console.is_terminal:
        bars = Bars()
        with Live(get_renderable=lambda: bars, console=console, refresh_per_second=8):
            yield bars.apply
    else:
        yield Lines(console, LINES)
