"""Readers of a run's events: the live trace of a terminal, plain lines for a log, or nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rich.console import Console
from rich.live import Live

from orchestrator.cli.previews import one_line
from orchestrator.cli.svg import save_svg
from orchestrator.cli.trace import Trace
from orchestrator.engine import events as ev

OnEvent = Callable[[ev.Event], None]
TEXT_LIMIT = 200


@contextmanager
def showing(console: Console, quiet: bool = False, svg: Path | None = None) -> Iterator[OnEvent]:
    """A function that shows events on `console` until the block ends; with `svg` the last picture is saved there."""
    trace = Trace()
    plain = PlainLines(console)
    live = console.is_terminal and not quiet

    def on_event(event: ev.Event) -> None:
        trace.apply(event)
        if not live and not quiet:
            plain(event)

    with ExitStack() as stack:
        if svg is not None:
            stack.callback(_save, trace, svg)
        if live:
            screen = stack.enter_context(
                Live(get_renderable=lambda: trace, console=console, refresh_per_second=8, vertical_overflow="crop")
            )
            stack.callback(lambda: setattr(screen, "transient", trace.view.started is None))
        yield on_event


def _save(trace: Trace, path: Path) -> None:
    if trace.view.started is not None:
        save_svg(trace, path, f"orch run {trace.view.started.flow}")


class PlainLines:
    """A line an event, for logs: nodes as they start and finish, outputs, the end. May be called from any thread."""

    def __init__(self, console: Console) -> None:
        self._console, self._lock = console, threading.Lock()

    def __call__(self, event: ev.Event) -> None:
        line = LINES.get(type(event), lambda _: "")(event)
        if line:
            with self._lock:
                self._console.print(line, markup=False, highlight=False, soft_wrap=True)


def _finished(event: ev.NodeFinished) -> str:
    made = ", ".join(f"{port}: {what}" for port, what in event.made.items())
    facts = f"{event.seconds:.2f} s on {event.device}" if event.status in ("ran", "failed") else ""
    words = "  ".join(word for word in (facts, made, event.reason) if word)
    return f"{_at(event)} {event.node} ({event.stage}) {event.status}  {words}".rstrip()


def _shown(event: ev.OutputReady) -> str:
    text = f'"{one_line(event.media.text)}"' if event.media.modality == "text" else ""
    return "  ".join(word for word in (text[:TEXT_LIMIT], event.path) if word)


def _at(event: ev.Event) -> str:
    return f"[{event.time:7.2f}]"


LINES: dict[type[ev.Event], Callable[..., str]] = {
    ev.RunStarted: lambda e: f"{_at(e)} run {e.run}: {e.flow}, bundle {e.bundle}, seed {e.seed}",
    ev.LoadStarted: lambda e: f"{_at(e)} {e.node} ({e.stage}) loads {e.part}",
    ev.NodeStarted: lambda e: f"{_at(e)} {e.node} ({e.stage}) started on {e.device}",
    ev.NodeFinished: _finished,
    ev.OutputReady: lambda e: f"{_at(e)} output {e.name} ({e.media.modality})  {_shown(e)}".rstrip(),
    ev.RunFinished: lambda e: f"{_at(e)} {e.status} in {e.seconds:.2f} s",
}
