"""Chat with a bundle in the terminal: text and media in, text and media out, over several turns.

A line is said. Files that it names are shown to the LLM: drop one into the terminal, alone to speak of it in the next
line. Media come back as thumbnails, and as files under DIR/<run>/. Without FLOW a turn is all that the bundle can see
and make. /help lists the commands; Ctrl-C stops a turn, Ctrl-D ends the chat. From a pipe each line is a turn. Exit
codes: 0 done, else that of the first turn that failed: 1 it failed, 2 wrong input; 130 interrupted.

  orch chat
  orch chat "image + text -> text" --bundle ./my-bundle
  printf 'cat.png what is this?\nFilm it.\n' | orch chat --json
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from orchestrator.cli.options import flow_arguments, pairs, placing, placing_arguments


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch chat`."""
    flow_arguments(parser, required=False)
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")
    parser.add_argument(
        "--seed",
        type=int,
        default=0,
        metavar="N",
        help="seed of the first turn; each later one has the next (default: 0)",
    )
    placing_arguments(parser)
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object a turn on stdout, as `orch run` does"
    )


def main(args: argparse.Namespace) -> int:
    """Chat until it is over; errors before the first turn are for the caller to report."""
    from orchestrator.cli.chat_talk import Talk
    from orchestrator.engine.chat import Chat

    chat = Chat(args.flow, args.bundle, seed=args.seed, out=args.out, changes=pairs(args.set, "--set"), **placing(args))
    typed = sys.stdin.isatty() and sys.stdout.isatty() and not args.json
    return Talk(chat, args, typed).run()
