"""List the bundles that ship, show what one holds, fetch its parts, start one of your own, or verify it.

orch bundle list
orch bundle show pocket
orch bundle fetch nextgpt-like
orch bundle new mine --llm PATH --encoder image=PATH --generator video=PATH
orch bundle verify ./my-bundle              every byte and width, then every way through it, run once
orch bundle verify ./my-bundle --no-run     bytes and widths alone

Exit codes of verify: 0 sound, 1 a way through it failed, 2 a file or a width is wrong.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from orchestrator.cli import bundle_fetch, bundle_new
from orchestrator.cli.options import trust_argument
from orchestrator.cli.tables import plain_table, size

if TYPE_CHECKING:
    from rich.table import Table

    from orchestrator.engine.tryout import Outcome
    from orchestrator.models.bundle import Bundle

SIGNS = {"ran": "✓", "failed": "✗", "lacks": "–"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the subcommands of `orch bundle`."""
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|show|fetch|new|verify")
    actions.add_parser("list", help="the bundles that ship")
    actions.add_parser("show", help="what a bundle holds").add_argument("bundle", metavar="NAME|PATH")
    bundle_fetch.arguments(actions.add_parser("fetch", help="bring its parts from the hub, after telling their size"))
    bundle_new.arguments(actions.add_parser("new", help="start a bundle of your own from parts"))
    check = actions.add_parser("verify", help="read all of a bundle, run every way through it, report what is wrong")
    check.add_argument("bundle", metavar="NAME|PATH")
    check.add_argument("--no-run", action="store_true", help="files and widths alone: nothing is loaded")
    check.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, mps or auto (default)")
    trust_argument(check)
    check.add_argument("--json", action="store_true", help="print one JSON object on stdout")


def main(args: argparse.Namespace) -> int:
    """Run the subcommand."""
    return ACTIONS[args.action](args)


def _list(args: argparse.Namespace) -> int:
    from rich.console import Console

    from orchestrator.models.bundle import Bundle

    bundles = [Bundle.open(name) for name in Bundle.known()]
    rows = ((b.name, _size(b), b.spec.doc) for b in bundles)
    Console().print(plain_table(("bundle", "size", "what it is"), rows))
    return 0


def _size(bundle: Bundle) -> str:
    """The bytes of its weights, or that they are not all here."""
    return size(sum(map(bundle.size, bundle.names()))) if not bundle.absent() else "not fetched"


def _show(args: argparse.Namespace) -> int:
    from rich.console import Console

    from orchestrator.models.bundle import Bundle

    bundle = Bundle.open(args.bundle)
    console = Console()
    console.print(f"{bundle.name}  {bundle.root}", style="bold", markup=False, highlight=False, soft_wrap=True)
    for line in filter(None, (bundle.spec.doc, bundle.spec.licence and f"licence: {bundle.spec.licence}")):
        console.print(line, markup=False, highlight=False)
    if bundle.base:
        console.print(f"base: {bundle.spec.base} ({bundle.base.root})", markup=False, highlight=False, soft_wrap=True)
    for adapter in bundle.adapters:
        console.print(f"adapter of the LLM: {adapter}", markup=False, highlight=False, soft_wrap=True)
    console.print(_parts(bundle))
    if bundle.spec.signals:
        rows = ((modality, str(s.count), s.token) for modality, s in bundle.spec.signals.items())
        console.print(plain_table(("signal", "tokens", "named"), rows))
    return 0


def _verify(args: argparse.Namespace) -> int:
    from orchestrator.models.bundle import Bundle
    from orchestrator.models.bundle.verify import verify

    bundle = Bundle.open(args.bundle)
    problems = verify(bundle)
    if not args.json:
        print("\n".join(problems) or f"{bundle.name}: sound ({len(bundle.names())} parts in {bundle.root})")
    ways = [] if problems or args.no_run else _ways(bundle, args)
    if args.json:
        print(json.dumps({"bundle": bundle.name, "problems": problems, "ways": [way.as_dict() for way in ways]}))
    return 2 if problems else int(any(way.status == "failed" for way in ways))


def _ways(bundle: Bundle, args: argparse.Namespace) -> list[Outcome]:
    """Run every way through a bundle; each is told when it is done."""
    from orchestrator.engine.tryout import tryout

    found = []
    for way in tryout(bundle, args.device):
        found.append(way)
        if not args.json:
            print(_told(way), flush=True)
    return found


def _told(way: Outcome) -> str:
    """`✓ text -> video   signal   1.2 s  video 8 frames 64x64`."""
    from orchestrator.cli.previews import one_line

    time = f"{way.seconds:6.1f} s" if way.status != "lacks" else " " * 8
    said = f"{way.status}: {one_line(way.said)}" if way.status != "ran" else way.said
    return f"{SIGNS[way.status]} {way.line:<16} {way.bridge:<8}{time}  {said}"


def _parts(bundle: Bundle) -> Table:
    def where(part: str) -> str:
        spec = bundle.part(part)
        return spec.where if spec.place != "hub" else f"{spec.name} @ {spec.revision[:12] or 'not pinned'}"

    absent = bundle.absent()
    rows = (
        (part, *(("", "not fetched") if part in absent else (bundle.kind(part), size(bundle.size(part)))), where(part))
        for part in bundle.names()
    )
    return plain_table(("part", "kind", "size", "place"), rows)


ACTIONS = {"list": _list, "show": _show, "fetch": bundle_fetch.main, "verify": _verify, "new": bundle_new.main}
