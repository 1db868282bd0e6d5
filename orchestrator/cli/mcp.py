"""Serve flows as the tools of an MCP server, over stdin and stdout or HTTP, until it is stopped.

An agent gives texts as they are, and media as a path within --root, a data URI, or with --allow-urls an address.
With ORCH_API_KEY in the environment, HTTP needs `Authorization: Bearer <that key>`.

  orch mcp flows/image_to_text.yaml "text -> video"
  orch mcp flows/*.yaml --http 127.0.0.1:8000       streamable HTTP, at http://127.0.0.1:8000/mcp
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.options import placing, placing_arguments
from orchestrator.errors import UserError

if TYPE_CHECKING:
    from orchestrator.agents.offer import Offer

MAX_BODY = 96 << 20  # of a request: what an input may hold (media_intake.MAX_BYTES), in base64, and a little more


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch mcp`."""
    parser.add_argument("flows", nargs="+", metavar="FLOW", help="flow files or arrow lines, each a tool")
    parser.add_argument("--bundle", metavar="NAME|PATH", help="run on this bundle, not on the ones the flows name")
    parser.add_argument("--http", metavar="HOST:PORT", help="serve over streamable HTTP, not over stdin and stdout")
    parser.add_argument(
        "--root", action="append", type=Path, metavar="DIR",
        help="where media may be read from, beside --out (default: this folder; with --http: nowhere)",
    )  # fmt: skip
    parser.add_argument("--allow-urls", action="store_true", help="fetch media that are public http(s) addresses")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")
    placing_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Serve; ends when the client goes away, or by Ctrl-C."""
    import anyio

    from orchestrator.agents.mcp import mcp_server

    place = address(args.http) if args.http else None
    server = mcp_server(offers(args))
    if place is None:
        anyio.run(_over_stdio, server)
    else:
        _over_http(server, *place)
    return 0


def offers(args: argparse.Namespace) -> list[Offer]:
    """The flows as tools, with what a client may give them."""
    from orchestrator.agents.offer import Offer
    from orchestrator.engine.flow import Flow
    from orchestrator.nodes.media_intake import Intake

    default = [] if args.http else [Path.cwd()]
    intake = Intake((*(default if args.root is None else args.root), args.out), args.allow_urls)
    flows = [Flow.of(text, args.bundle) for text in args.flows]
    return [Offer.of(flow, out=args.out, intake=intake, options=placing(args)) for flow in flows]


def address(text: str) -> tuple[str, int]:
    """HOST:PORT; without a host this machine alone."""
    host, _, port = text.rpartition(":")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise UserError(f"--http {text}: not HOST:PORT; type for example --http 127.0.0.1:8000")
    return host.strip("[]") or "127.0.0.1", int(port)


async def _over_stdio(server: Any) -> None:
    from mcp import stdio_server

    async with stdio_server() as streams:
        await server.run(*streams, server.create_initialization_options())


def _over_http(server: Any, host: str, port: int) -> None:
    import uvicorn

    from orchestrator.cli.serve import HERE, KEY

    app, key = server.streamable_http_app(host=host, max_request_body_size=MAX_BODY), os.environ.get(KEY, "")
    if not key and host not in HERE:
        print(f"warning: {KEY} is not set: whoever reaches {host} may use this server", file=sys.stderr)
    print(f"serving at http://{host}:{port}/mcp", file=sys.stderr)
    uvicorn.run(_locked(app, key) if key else app, host=host, port=port, log_level="warning")


def _locked(app: Any, key: str) -> Any:
    try:
        from orchestrator.serve.guard import KeyGuard
    except ModuleNotFoundError as error:
        raise UserError(f"a key for --http needs {error.name}; type: pip install 'orch-mm[serve]'") from None
    return KeyGuard(app, key)
