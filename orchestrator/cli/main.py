"""`orch`: picks the command, and turns every error into a message and an exit code.

Exit codes: 0 done, 1 the run failed, 2 the user's input was wrong, 130 interrupted. A command is a module of this room
with `arguments(parser)` and `main(args)`; it is imported only when it was chosen, so `orch --help` is instant.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, Protocol, cast

from orchestrator.errors import Cancelled, OrchError, UserError, nearest

DONE, FAILED, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130

COMMANDS: dict[str, str] = {
    "run": "run a flow file or an arrow line",
    "chat": "chat with a bundle: text and media in and out, over several turns",
    "show": "show the flow behind a file or an arrow line: YAML, graph, memory plan",
    "check": "list every problem of flow files",
    "stages": "list the stages, with their ports and settings",
    "train": "train what is trainable in a flow, by a recipe",
    "eval": "measure a bundle: captions, generated media, signals, routes",
    "bundle": "list, show, fetch, start or verify bundles of models",
    "mcp": "serve flows as the tools of an MCP server",
    "serve": "serve flows over HTTP, also to clients of OpenAI's API",
    "doctor": "check this machine and installation",
}


class Command(Protocol):
    """What a command's module offers; its docstring is the command's help."""

    __doc__: str | None

    def arguments(self, parser: argparse.ArgumentParser) -> None:
        """Declare the command's arguments."""

    def main(self, args: argparse.Namespace) -> int:
        """Run the command; returns the exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `orch` with these arguments (default: the process's); returns the exit code."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # torch's threads sleep at barriers, not spin
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in COMMANDS:
        return _without_command(words)
    command = cast(Command, import_module(f"orchestrator.cli.{words[0]}"))
    parser = argparse.ArgumentParser(
        prog=f"orch {words[0]}", description=command.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    command.arguments(parser)
    return guarded(command, parser.parse_args(words[1:]))


def guarded(command: Command, args: argparse.Namespace) -> int:
    """Run a command; its errors become messages on stderr (and, with --json, one object on stdout)."""
    try:
        if words := getattr(args, "trust", None):
            from orchestrator.models.bundle.trust import allow

            allow(words)
        return command.main(args)
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (OrchError, KeyboardInterrupt) as error:
        if debugging():
            traceback.print_exc()
        return report(args, error, _message(error), exit_code(error))
    except Exception as error:
        if debugging():
            traceback.print_exc()
        hint = "" if debugging() else "\nThis should not happen; ORCH_DEBUG=1 before the command shows the traceback."
        return report(args, error, f"unexpected {type(error).__name__}: {error}{hint}", FAILED)


def exit_code(error: BaseException) -> int:
    """The exit code that an error stands for."""
    if isinstance(error, UserError):
        return WRONG_INPUT
    return INTERRUPTED if isinstance(error, (Cancelled, KeyboardInterrupt)) else FAILED


def debugging() -> bool:
    """Whether the user asked for tracebacks."""
    return os.environ.get("ORCH_DEBUG", "") not in ("", "0")


def _message(error: BaseException) -> str:
    return str(error) or "interrupted"


def report(args: argparse.Namespace, error: BaseException, message: str, code: int) -> int:
    """Print an error: to stderr for people, and with --json as the one object on stdout."""
    word = "interrupted" if code == INTERRUPTED else "error"
    text = message if message == word else f"{word}: {message}"
    color = sys.stderr.isatty() and not os.environ.get("NO_COLOR")
    print(f"\033[1;31m{text.partition(':')[0]}\033[0m{text[len(word) :]}" if color else text, file=sys.stderr)
    if getattr(args, "json", False):
        print(json.dumps(_failure(error, message, code)))
    return code


def _failure(error: BaseException, message: str, code: int) -> dict[str, Any]:
    """The --json object of what failed: what the run had finished, if one had begun, and the error."""
    result = getattr(error, "result", None)
    begun: dict[str, Any] = {
        "run": None,
        "status": "interrupted" if code == INTERRUPTED else "failed",
        "outputs": {},
        "nodes": [],
    }
    return (result.as_dict() if result is not None else begun) | {"error": message}


def _without_command(words: Sequence[str]) -> int:
    """`orch`, `orch --help`, `orch --version`, or a command that does not exist."""
    width = max(map(len, COMMANDS))
    parser = argparse.ArgumentParser(
        prog="orch",
        usage="orch COMMAND ...",
        description="Any-to-any multimodal models as graphs.",
        epilog="commands:\n"
        + "\n".join(f"  {name:<{width}}  {summary}" for name, summary in COMMANDS.items())
        + "\n\n`orch COMMAND --help` tells more, for example:\n"
        + '  orch run "image -> text -> video" -i image=cat.png',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="store_true", help="print the version and exit")
    if words and not words[0].startswith("-"):
        parser.error(f"unknown command '{words[0]}'.{nearest(words[0], COMMANDS)}")
    if parser.parse_args(words).version:
        from orchestrator import __version__

        print(f"orch {__version__}")
        return DONE
    parser.print_help()
    return DONE


if __name__ == "__main__":
    sys.exit(main())
