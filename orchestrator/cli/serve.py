"""Serve flows over HTTP: runs with events, media, and what clients of OpenAI's API expect.

With ORCH_API_KEY in the environment, every request but /health needs `Authorization: Bearer <that key>`. Ctrl-C stops
the server and its runs.

  orch serve flows/image_to_text.yaml flows/text_to_image.yaml --port 8000
  ORCH_API_KEY=secret orch serve "image -> text" --host 0.0.0.0
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from orchestrator.cli.options import placing, placing_arguments
from orchestrator.errors import UserError

KEY = "ORCH_API_KEY"
HERE = ("127.0.0.1", "::1", "localhost")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch serve`."""
    parser.add_argument("flow", nargs="+", metavar="FLOW", help="flow files, or arrow lines; each by its flow's name")
    parser.add_argument("--bundle", metavar="NAME|PATH", help="run on this bundle, not on the ones the flows name")
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen at (default: 127.0.0.1, this machine only)"
    )
    parser.add_argument("--port", type=int, default=8000, help="port to listen at (default: 8000)")
    parser.add_argument("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")
    parser.add_argument("--workers", type=int, default=4, metavar="N", help="runs at once (default: 4)")
    parser.add_argument("--queue", type=int, default=16, metavar="N", help="runs that wait; then 429 (default: 16)")
    parser.add_argument("--timeout", type=float, default=600, metavar="S", help="seconds a run may take (default: 600)")
    parser.add_argument("--max-upload", default="32MB", metavar="SIZE", help="most of a request (default: 32MB)")
    parser.add_argument(
        "--keep", type=int, default=1000, metavar="N", help="finished runs that are kept (default: 1000)"
    )
    parser.add_argument(
        "--allow-urls", action="store_true", help="fetch media inputs that are addresses of public hosts"
    )
    placing_arguments(parser)


def main(args: argparse.Namespace) -> int:
    """Serve until stopped; errors are for the caller to report."""
    try:
        import uvicorn

        from orchestrator.serve.app import create_app
    except ModuleNotFoundError as error:
        raise UserError(f"`orch serve` needs {error.name}; type: pip install 'orch-mm[serve]'") from None
    from orchestrator.engine.flow import Flow
    from orchestrator.models.placement.sizes import read_size
    from orchestrator.serve.settings import Settings

    settings = Settings(
        out=args.out, key=os.environ.get(KEY, ""), workers=args.workers, queue=args.queue, timeout=args.timeout,
        max_upload=read_size(args.max_upload), keep=args.keep, allow_urls=args.allow_urls, options=placing(args),
    )  # fmt: skip
    flows = [Flow.of(text, bundle=args.bundle) for text in args.flow]
    for flow in flows:
        flow.memory_plan(**settings.options)  # what can't be placed is told now
    app = create_app(flows, settings)
    if not settings.key and args.host not in HERE:
        print(f"warning: {KEY} is not set: whoever reaches {args.host} may use this server", file=sys.stderr)
    names = ", ".join(flow.spec.flow for flow in flows)
    print(f"serving {names} at http://{args.host}:{args.port} (schema: /openapi.json, pages: /docs)", file=sys.stderr)
    uvicorn.run(app, host=args.host, port=args.port, log_level="warning", timeout_graceful_shutdown=3)
    return 0
