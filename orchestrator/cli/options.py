"""What commands share: the arguments that name a flow, those that place its parts, and NAME=VALUE pairs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from orchestrator.errors import UserError

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow


def flow_arguments(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """Declare FLOW, --bundle and --set."""
    told = 'a flow file, or an arrow line such as "image -> text -> video"'
    parser.add_argument("flow", metavar="FLOW", nargs=None if required else "?", help=told)
    parser.add_argument("--bundle", metavar="NAME|PATH", help="run on this bundle, not on the one the flow names")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NODE.FIELD=VALUE",
        help="change a node's field, e.g. film.steps=4",
    )  # fmt: skip
    trust_argument(parser)


def trust_argument(parser: argparse.ArgumentParser) -> None:
    """Declare --trust, which `orch` itself follows."""
    parser.add_argument(
        "--trust", action="append", default=[], metavar="WORD",
        help="let a bundle or flow that asks for it have it: pickle (weights as pickles), remote_code (code of a "
        "checkpoint), tools (functions and commands that a flow names)",
    )  # fmt: skip


def load_flow(args: argparse.Namespace) -> Flow:
    """The flow that the arguments of `flow_arguments` name."""
    from orchestrator.engine.flow import Flow

    return Flow.of(args.flow, bundle=args.bundle, changes=pairs(args.set, "--set"))


def placing_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare --device, --place and --memory."""
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1 or auto (default): where parts go")
    parser.add_argument(
        "--place", action="append", default=[], metavar="PART=WORDS",
        help="where one part goes (or * for the others): a device, a precision, offload, e.g. llm=cuda:1,bfloat16",
    )  # fmt: skip
    parser.add_argument("--memory", metavar="SIZE", help="the most that parts may take of each device, e.g. 8GB")


def placing(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of `placing_arguments` as options of `Flow.run` and `Flow.memory_plan`."""
    from orchestrator.models.placement.spec import read_words

    placement = {part: read_words(part, words) for part, words in pairs(args.place, "--place").items()}
    return {"device": args.device, "placement": placement, "memory": args.memory}


def pairs(words: Sequence[str], option: str) -> dict[str, str]:
    """`NAME=VALUE` words as a dict; a name may be given once."""
    out: dict[str, str] = {}
    for word in words:
        name, sign, value = word.partition("=")
        if not (name and sign):
            raise UserError(f"{option} {word}: not NAME=VALUE; type for example {EXAMPLES[option]}")
        if name in out:
            raise UserError(f"{option} {name}: given twice, as '{out[name]}' and '{value}'")
        out[name] = value
    return out


EXAMPLES = {
    "-i": "-i image=cat.png",
    "--set": "--set film.steps=4 (of a recipe: --set lr=1e-4)",
    "--place": "--place llm=cuda:1,bfloat16",
}
