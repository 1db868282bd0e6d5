"""Measure a bundle by an evaluation file: captions, generated media by each bridge, signals, routes,
an agent's steps.

Numbers are means over the seeds, with their standard deviation. Exit codes: 0 done, 1 the run failed, 2 wrong input,
130 interrupted.

  orch eval recipes/pocket/eval.yaml
  orch eval eval.yaml --bundle runs/train/x/bundle --out numbers.json
  orch eval eval.yaml --limit 20 --json
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.options import trust_argument
from orchestrator.cli.tables import plain_table
from orchestrator.errors import UserError

if TYPE_CHECKING:
    from rich.console import Console

    from orchestrator.evaluation import Advanced, Evaluated


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch eval`."""
    parser.add_argument("evaluation", metavar="FILE", help="an evaluation file")
    trust_argument(parser)
    parser.add_argument("--bundle", metavar="NAME|PATH", help="measure this bundle, not the one the file names")
    parser.add_argument("--limit", type=int, metavar="N", help="only N samples of each measure and seed: a quick look")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write everything as JSON, every reply included")
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 or auto (default)")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout")
    parser.add_argument("--quiet", action="store_true", help="no progress")


def main(args: argparse.Namespace) -> int:
    """Measure; errors are for the caller to report."""
    from rich.console import Console

    from orchestrator.evaluation import evaluate

    if args.limit is not None and args.limit < 1:
        raise UserError(f"--limit {args.limit}: at least 1 sample has to be measured")
    if args.out and not args.out.parent.is_dir():
        raise UserError(f"--out {args.out}: the folder '{args.out.parent}' does not exist: make it first")
    with showing(Console(stderr=True), args.quiet) as on_progress:
        found = evaluate(
            args.evaluation, bundle=args.bundle, limit=args.limit, device=args.device, on_progress=on_progress
        )
    if args.out:
        found.write(args.out)
    if args.json:
        print(json.dumps(found.as_dict()))
    else:
        _print(found, Console())
    return 0


@contextmanager
def showing(console: Console, quiet: bool) -> Iterator[Callable[[Advanced], None]]:
    """A function that shows progress until the block ends: bars in a terminal, lines in a log."""
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    def line(event: Advanced) -> None:
        if event.done in (0, event.total):
            console.print(f"{event.measure}: {event.done} of {event.total}", markup=False, highlight=False)

    if quiet:
        yield lambda event: None
    elif not console.is_terminal:
        yield line
    else:
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn())
        with Progress(*columns, TimeRemainingColumn(), console=console) as bars:
            yield _bar_a_measure(bars)


def _bar_a_measure(bars: Any) -> Callable[[Advanced], None]:
    tasks: dict[str, Any] = {}

    def show(event: Advanced) -> None:
        if event.measure not in tasks:
            tasks[event.measure] = bars.add_task(event.measure, total=event.total)
        bars.update(tasks[event.measure], completed=event.done)

    return show


def _print(found: Evaluated, console: Console) -> None:
    from orchestrator.evaluation.report import COLUMNS

    limit = f", at most {found.limit} samples each: a quick look" if found.limit else ""
    head = f"{found.evaluation}: bundle {found.bundle} on {found.device}, seeds {', '.join(map(str, found.seeds))}"
    console.print(f"{head}{limit}", style="bold", markup=False, highlight=False, soft_wrap=True)
    console.print(plain_table(COLUMNS, _unrepeated(found.rows())))
    for measure in found.measures:
        if count := measure.broken["broken"]:
            console.print(f"{measure.name}: {count} broken samples were left out", markup=False, highlight=False)


def _unrepeated(rows: Sequence[tuple[str, ...]]) -> Iterator[tuple[str, ...]]:
    """The name of a measure stands in its first row only."""
    for before, row in zip([("",), *rows], rows, strict=False):
        yield ("" if row[0] == before[0] else row[0], *row[1:])
