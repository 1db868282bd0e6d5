"""Run a flow file or an arrow line, and show its trace.

The trace goes to stderr; outputs are files under DIR/<run>/. Exit codes: 0 done, 1 the run failed, 2 wrong input,
130 interrupted.

  orch run "image -> text -> video" -i image=cat.png
  orch run flow.yaml -i image=cat.png -i prompt=@question.txt --set film.steps=4 --seed 7 --json
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.cli.options import flow_arguments, load_flow, pairs, placing, placing_arguments
from orchestrator.errors import InputError

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow
    from orchestrator.engine.result import Result

MAX_TEXT_FILE = 1 << 20


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch run`."""
    flow_arguments(parser)
    parser.add_argument(
        "-i", "--input", action="append", default=[], metavar="NAME=VALUE",
        help="an input: a path, or text; @FILE reads text from a file, @@ is a plain @",
    )  # fmt: skip
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of all that is random (default: 0)")
    placing_arguments(parser)
    parser.add_argument("--no-cache", action="store_true", help="compute every node, even if its result is there")
    parser.add_argument("--allow-urls", action="store_true", help="fetch media inputs that are http(s) addresses")
    parser.add_argument("--json", action="store_true", help="print one JSON object on stdout, last")
    parser.add_argument("--quiet", action="store_true", help="no trace; only the paths of the outputs")
    parser.add_argument("--trace-svg", type=Path, metavar="FILE", help="keep the finished trace as a picture")


def main(args: argparse.Namespace) -> int:
    """Run the flow; its errors are for the caller to report."""
    from rich.console import Console

    from orchestrator.cli.live import showing
    from orchestrator.cli.memory import memory

    flow = load_flow(args)
    console = Console(stderr=True)
    with ExitStack() as stack:
        inputs = read_inputs(flow, pairs(args.input, "-i"), args.allow_urls, stack)
        places = placing(args)
        if not args.quiet and (plan := flow.memory_plan(**places)).decided:
            console.print(memory(plan))
        on_event = stack.enter_context(showing(console, args.quiet, args.trace_svg))
        result = flow.run(inputs, seed=args.seed, out=args.out, cache=not args.no_cache, on_event=on_event, **places)
    if args.json:
        print(json.dumps(result.as_dict()))
    elif args.quiet or not (console.is_terminal and sys.stdout.isatty()):  # there the trace has just shown it
        print("\n".join(_said(result, args.quiet)))
    return 0


def read_inputs(flow: Flow, given: Mapping[str, str], allow_urls: bool, stack: ExitStack) -> dict[str, str | Path]:
    """What the run gets: `@file` read, addresses fetched into a folder that lives as long as `stack`."""
    modalities = {name: spec.modality for name, spec in flow.spec.inputs.items()}
    fetched: dict[str, str | Path] = {}
    for name, value in given.items():
        if modalities.get(name) == "text":
            fetched[name] = read_text(name, value)
        elif value.lower().startswith(("http://", "https://")):
            fetched[name] = _fetched(name, value, allow_urls, stack)
        else:
            fetched[name] = value
    return fetched


def read_text(name: str, value: str) -> str:
    """The text itself, or that of the file behind `@`; `@@` stands for an `@` that is meant."""
    if not value.startswith("@") or value.startswith("@@"):
        return value.removeprefix("@") if value.startswith("@@") else value
    path = Path(value[1:])
    try:
        with path.open("rb") as file:
            data = file.read(MAX_TEXT_FILE + 1)
        if len(data) > MAX_TEXT_FILE:
            raise InputError(f"input '{name}': {path} is longer than {MAX_TEXT_FILE} bytes")
        return data.decode("utf-8").removesuffix("\n")
    except OSError as error:
        raise InputError(f"input '{name}': {path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"input '{name}': {path} is no UTF-8 text: byte {error.start} is wrong") from error


def _fetched(name: str, url: str, allowed: bool, stack: ExitStack) -> Path:
    if not allowed:
        raise InputError(f"input '{name}': {url} is an address; add --allow-urls to fetch it, or give a file")
    import tempfile

    from orchestrator.nodes.media_fetch import fetch

    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="orch-")))
    return fetch(url, folder, f"input '{name}'")


def _said(result: Result, paths_only: bool) -> Iterator[str]:
    """The outputs as lines: `name: text` or `name: path`, or the bare paths."""
    from orchestrator.cli.previews import one_line

    for name, media, path in result.each():
        yield str(path) if paths_only else f"{name}: {one_line(media.text) if media.modality == 'text' else path}"
