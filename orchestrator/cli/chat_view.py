"""What a turn of a chat looks like: what is at work, then the reply with its media and where they are."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.live import Live
from rich.padding import Padding
from rich.text import Text

from orchestrator.cli.live import showing
from orchestrator.cli.previews import one_line, preview
from orchestrator.cli.trace import SPINNER, details
from orchestrator.cli.view import MOVING, RunView
from orchestrator.engine import events as ev
from orchestrator.engine.chat import Exchange, Shown
from orchestrator.engine.summary import describe

OnEvent = Callable[[ev.Event], None]
DIM = "bright_black"


class Working:
    """The nodes that are at work in a run, fed by `apply`."""

    def __init__(self) -> None:
        self.view = RunView()
        self._lock = threading.Lock()  # the terminal draws from its own thread

    def apply(self, event: ev.Event) -> None:
        """Take in an event."""
        with self._lock:
            self.view.apply(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            sign = SPINNER[int(self.view.now * 10) % len(SPINNER)]
            for node in [node for node in self.view.nodes.values() if node.state in MOVING]:
                doing = f"loading {node.part}" if node.state == "loading" else f"{self.view.seconds(node):.1f} s"
                yield Text.assemble((sign, "yellow"), " ", (node.name, "bold"), f"  {doing}")
                for part in details(node, options.max_width - 2):
                    yield Padding(part, (0, 0, 0, 2))


@contextmanager
def watching(console: Console, tracing: bool) -> Iterator[OnEvent]:
    """A function that shows a turn at work until the block ends: the whole trace, which stays; else what is at work, in
    a terminal."""
    if tracing:
        with showing(console) as on_event:
            yield on_event
    elif console.is_terminal:
        working = Working()
        with Live(get_renderable=lambda: working, console=console, refresh_per_second=8, transient=True):
            yield working.apply
    else:
        yield lambda event: None


def attached(shown: Shown, width: int) -> RenderableType:
    """A medium that the user has named."""
    picture = preview(shown.media, width - 2)
    place = Text.assemble("+ ", describe(shown.media), "  ", (str(shown.path or ""), DIM))
    return Group(place, Padding(picture, (0, 0, 0, 2))) if picture is not None else place


def answered(exchange: Exchange, width: int) -> RenderableType:
    """What came back in a turn, with previews."""
    rows: list[RenderableType] = [Text(line) for line in texts(exchange)]
    for name, media, path in exchange.result.each():
        if media.modality != "text":
            picture = preview(media, width - 2)
            rows += [Padding(picture, (0, 0, 0, 2))] if picture is not None else []
            rows.append(Text.assemble(("→ ", "bold magenta"), (name, "magenta"), f"  {path}  ", (describe(media), DIM)))
    return Group(*rows)


def lines(exchange: Exchange) -> Iterator[str]:
    """The same for a pipe."""
    yield from texts(exchange)
    yield from (f"{name}: {path}" for name, media, path in exchange.result.each() if media.modality != "text")


def texts(exchange: Exchange) -> Iterator[str]:
    """What was said, without what would steer the terminal; several outputs by their names."""
    said = [(name, media.text) for name, media, _ in exchange.result.each() if media.modality == "text"]
    for name, text in said:
        begin = f"{name}: " if len(said) > 1 else ""
        yield from (begin + one_line(line) for line in text.splitlines() if line.strip() or len(said) == 1)
