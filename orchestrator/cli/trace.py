"""What a run looks like, as a rich renderable.

◆ film-this  pocket · seed 7
  image  (a thumbnail)                       the inputs, with previews
✓ see    encode    0.12 s  cpu  F_X [65, 256]
⠹ think  reason    1.30 s  cpu               the nodes on their rail: sign, name, stage, time, device, what it made
│  ━━━━━━━━╺━━━━━━━━━━ 9/24 tokens           and below: progress, previews, why it failed
○ split  decode
– film   generate          skipped: no split.video
→ caption  a red fox on blue                 the outputs, then one line about the run
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.padding import Padding
from rich.progress_bar import ProgressBar
from rich.segment import Segment
from rich.style import Style
from rich.table import Table
from rich.text import Text

from orchestrator.cli.previews import pictures, preview, prose
from orchestrator.cli.view import MOVING, NodeView, RunView, State
from orchestrator.engine import events as ev
from orchestrator.nodes.stage import Progress

SPINNER = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
SIGNS: dict[State, tuple[str, str]] = {  # sign and style; the spinner stands in for what moves
    "waiting": ("○", "bright_black"),
    "loading": ("", "yellow"),
    "running": ("", "bold cyan"),
    "ran": ("✓", "bold green"),
    "cached": ("↻", "bold blue"),
    "skipped": ("–", "yellow"),
    "failed": ("✗", "bold red"),
    "stopped": ("■", "magenta"),
}
ENDINGS = {"done": "bold green", "failed": "bold red", "interrupted": "bold magenta"}
DIM = "bright_black"
Lines = list[list[Segment]]


class Trace:
    """One run, fed by `apply` from any thread; printing it draws the run as it is now.

    While the run goes on the drawing keeps to the height of the terminal: the previews of what finished first go first.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.view = RunView(clock)
        self._lock = threading.Lock()
        self._drawn: dict[tuple[str, int], Lines] = {}  # what does not change any more, by name and width: drawn once

    def apply(self, event: ev.Event) -> None:
        """Take in an event."""
        with self._lock:
            self.view.apply(event)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        with self._lock:
            limit = None if self.view.finished else options.size.height - 1
            lines = self._lines(console, options.update(height=None), limit)
        for line in lines:
            yield from line
            yield Segment.line()

    def _lines(self, console: Console, options: ConsoleOptions, limit: int | None) -> Lines:
        blocks = [self._inputs(console, options), *(self._node(n, console, options) for n in self.view.nodes.values())]
        head, tail = self._head(console, options), self._tail(console, options)
        if limit is not None:
            spare = limit - len(head) - len(tail) - sum(len(lines) for lines, _ in blocks)
            for i, (lines, kept) in enumerate(blocks):
                if spare < 0 and len(lines) > kept:
                    spare += len(lines) - kept
                    blocks[i] = (lines[:kept], kept)
        lines = [*head, *(line for block, _ in blocks for line in block), *tail]
        return lines if limit is None else lines[-max(1, limit) :]

    def _head(self, console: Console, options: ConsoleOptions) -> Lines:
        started = self.view.started
        if started is None:
            return _render(Text.assemble((self._spinner(), "cyan"), " ", ("starting", DIM)), console, options)
        facts = " · ".join(f for f in (started.bundle, f"seed {started.seed}") if f)
        text = Text.assemble(("◆", "bold magenta"), " ", (started.flow, "bold"), "  ", (facts, DIM), no_wrap=True)
        return _render(text, console, options)

    def _inputs(self, console: Console, options: ConsoleOptions) -> tuple[Lines, int]:
        """The inputs with their previews; without the previews they take no rows at all."""
        inputs = self.view.started.inputs if self.view.started else {}
        key = ("", options.max_width)
        if key not in self._drawn:
            grid = Table.grid(padding=(0, 2))
            for name, media in inputs.items():
                grid.add_row(Text(name, "magenta"), preview(media, options.max_width - 24))
            shown = Padding(grid, (0, 0, 1, 2))
            self._drawn[key] = _render(shown, console, options) if inputs else []
        return self._drawn[key], 0

    def _node(self, node: NodeView, console: Console, options: ConsoleOptions) -> tuple[Lines, int]:
        """A node's rows, and how many of them stay when the terminal is too low for its details."""
        rail = self.view.rails[node.name]
        sign, style = SIGNS[node.state]
        sign = sign or self._spinner()
        head = Text.assemble((rail.head[: rail.column], DIM), (sign, style), (rail.head[rail.column + 1 :], DIM), " ")
        head.append_text(self._facts(node, options.max_width - len(rail.head) - 1))
        lines = _render(Text(rail.join, DIM), console, options) if rail.join else []
        lines += _render(head, console, options)
        kept = len(lines)
        beside = Segment(rail.rest + "   ", Style.parse(DIM))
        lines += [[beside, *line] for line in self._details(node, console, options, len(rail.rest) + 3)]
        return lines, kept

    def _spinner(self) -> str:
        return SPINNER[int(self.view.now * 10) % len(SPINNER)]

    def _facts(self, node: NodeView, width: int) -> Text:
        """One line about a node, in columns that line up over all nodes."""
        nodes = self.view.nodes.values()
        faint = node.state == "waiting"
        timed = f"{self.view.seconds(node):6.2f} s" if node.state not in ("waiting", "skipped") else " " * 8
        told = all(n.name.startswith(n.stage) for n in nodes)  # the names tell the stages: no column for them
        columns = (
            _column(node.name, min(22, max(len(n.name) for n in nodes)), DIM if faint else "bold"),
            *(() if told else (_column(node.stage, max(len(n.stage) for n in nodes), DIM if faint else "cyan"),)),
            Text(timed),
            _column(node.device if node.state != "skipped" else "", max(len(n.device) for n in nodes), DIM),
            self._said(node),
        )
        line = Text("  ", no_wrap=True).join(columns)
        line.truncate(width, overflow="ellipsis")
        return line

    def _said(self, node: NodeView) -> Text:
        """What a node made, or what it is doing."""
        if node.state == "loading":
            return Text(f"loading {node.part}", "yellow")
        if node.state in ("skipped", "failed"):
            reason = f": {node.reason}" if node.state == "skipped" and node.reason else ""
            return Text(node.state + reason, SIGNS[node.state][1])
        named = len(node.made) > 1
        made = Text(", ").join(
            Text.assemble((f"{port}:" if named else "", DIM), " " if named else "", what)
            for port, what in node.made.items()
        )
        return Text.assemble(("cached", "blue"), " ", made) if node.state == "cached" else made

    def _details(self, node: NodeView, console: Console, options: ConsoleOptions, left: int) -> Lines:
        width = max(20, options.max_width - left)
        key = (node.name, width)
        if key in self._drawn:
            return self._drawn[key]
        inner = options.update(width=width)
        lines = [line for part in details(node, width) for line in _render(part, console, inner)]
        if node.state not in (*MOVING, "waiting"):
            self._drawn[key] = lines
        return lines

    def _tail(self, console: Console, options: ConsoleOptions) -> Lines:
        """The outputs and the line about the run, once it is over."""
        if self.view.finished is None:
            return []
        grid = Table.grid(padding=(0, 2))
        for output in self.view.outputs:
            text = output.media.text if output.media.modality == "text" else None
            shown = prose(text, options.max_width - 20, 2) if text is not None else Text(output.path or "in memory")
            grid.add_row(Text("→", "bold magenta"), Text(output.name, "magenta"), shown)
        parts = (Text(""), grid, self._ending(self.view.finished))
        return _render(Group(*parts), console, options)

    def _ending(self, finished: ev.RunFinished) -> Text:
        states = [node.state for node in self.view.nodes.values()]
        counts = [f"{states.count(state)} {state}" for state in SIGNS if state in states]
        line = Text.assemble((finished.status, ENDINGS[finished.status]), " ", f"in {finished.seconds:.2f} s")
        line.append("  ").append(", ".join(counts), DIM)
        folder = self.view.started.folder if self.view.started else None
        return line.append("  ").append(folder, DIM) if folder else line


def render_trace(events: Iterable[ev.Event]) -> RenderableType:
    """The picture of a run, or of its begin, from its events."""
    trace = Trace(clock=lambda: 0.0)  # time stands still at the last event
    for event in events:
        trace.apply(event)
    return trace


def details(node: NodeView, width: int) -> Iterator[RenderableType]:
    """What is told below a node: its progress while it runs, then why it ended as it did, and previews."""
    progress = node.progress
    if progress and node.state in (*MOVING, "stopped"):
        if progress.text:
            yield Text.assemble(prose(progress.text, width - 2, tail=True), ("▌", "bold cyan"))
        if progress.preview:
            yield pictures(progress.preview, width)
        yield _bar(progress)
    if node.reason and node.state != "skipped":  # there it stands in the line above
        yield Text(node.reason, SIGNS[node.state][1])
    for media in node.media.values():
        shown = preview(media, width)
        if shown is not None:
            yield shown


def _bar(progress: Progress) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    bar = ProgressBar(progress.total, progress.done, width=28, complete_style="cyan", finished_style="green")
    grid.add_row(bar, Text(f"{progress.done}/{progress.total} {progress.unit}", DIM))
    return grid


def _column(word: str, width: int, style: str) -> Text:
    text = Text(word, style)
    text.truncate(width, overflow="ellipsis", pad=True)
    return text


def _render(part: RenderableType, console: Console, options: ConsoleOptions) -> Lines:
    lines = console.render_lines(part, options, pad=False)
    return [list(line) for line in lines]
