"""`orch bundle fetch`: bring the parts of a bundle that are on the hub to this machine.

orch bundle fetch nextgpt-like            shows what and how much, asks, and fetches; go on with it after a break
orch bundle fetch nextgpt-like --yes      does not ask, for scripts
orch bundle fetch small-gpu llm encoders.image
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from orchestrator.cli.options import trust_argument
from orchestrator.cli.tables import plain_table, size
from orchestrator.errors import BundleError, UserError, nearest

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle
    from orchestrator.models.bundle.hub import Wanted

Needs = Sequence[tuple[str, "Wanted"]]  # parts that share a checkpoint, and what they need


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch bundle fetch`."""
    parser.add_argument("bundle", metavar="NAME|PATH")
    parser.add_argument("parts", nargs="*", metavar="PART", help="only these, e.g. llm generators.image (default: all)")
    parser.add_argument("--yes", action="store_true", help="fetch without asking")
    trust_argument(parser)


def main(args: argparse.Namespace) -> int:
    """Show sizes, ask, fetch."""
    from rich.console import Console

    from orchestrator.models.bundle import Bundle

    bundle, console = Bundle.open(args.bundle), Console()
    needs = wanted(bundle, args.parts)
    if not needs:
        print(f"{bundle.name}: {'none of these' if args.parts else 'no part of it'} is on the hub")
        return 0
    console.print(_table(needs))
    if total := sum(need.bytes for _, need in needs):
        agree(f"{bundle.name}: {size(total)} to fetch", args.yes)
        bring(needs)
    left = "; not fetched: " + ", ".join(absent) if (absent := bundle.absent()) else ""
    print(f"{bundle.name}: {'all' if not left else 'these'} parts of the hub are on this machine{left}")
    print("\n".join(_pins(needs)), end="")
    return 0


def wanted(bundle: Bundle, only: Sequence[str] = ()) -> Needs:
    """What the bundle's parts need of the hub. Raises BundleError for trust that the user does not allow."""
    from orchestrator.models.bundle import hub, trust

    if unknown := [part for part in only if part not in bundle.names()]:
        raise UserError(f"bundle '{bundle.name}' has no {unknown[0]}.{nearest(unknown[0], bundle.names())}")
    shared = [(parts, spec) for parts, spec in hub.shared(bundle) if not only or set(parts) & set(only)]
    if problems := [told for parts, _ in shared for part in parts for told in trust.refusals(bundle, part)]:
        raise BundleError("\n".join(problems))
    return [(", ".join(parts), hub.want(spec)) for parts, spec in shared]


def agree(what: str, yes: bool) -> None:
    """Ask, unless the answer is given. Raises UserError if it is no, or if nobody is there to be asked."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UserError(f"{what}, and nobody is there to be asked; add --yes to fetch it")
    try:
        answer = input(f"{what}. Go on? [y/N] ")
    except EOFError:
        answer = ""
    if answer.strip().lower() not in ("y", "yes"):
        raise UserError(f"{what}: nothing was fetched")


def bring(needs: Needs) -> None:
    """Fetch what is missing; huggingface_hub shows how far it is."""
    from orchestrator.models.bundle import hub

    for _, need in needs:
        if need.missing:
            hub.fetch(need)


def _table(needs: Needs) -> object:
    rows = (
        (
            parts,
            need.spec.name,
            need.commit[:12],
            str(len(need.files)),
            size(sum(need.files.values())),
            size(need.bytes),
        )
        for parts, need in needs
    )
    return plain_table(("part", "repository", "commit", "files", "size", "to fetch"), rows)


def _pins(needs: Needs) -> Iterator[str]:
    """The lines that pin what is not pinned."""
    for parts, need in needs:
        if not need.spec.pinned:
            yield f"{parts}: {need.spec.hub} is not pinned; write `revision: {need.commit}`\n"
