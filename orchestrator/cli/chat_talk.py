"""A chat at work: lines come in, turns run, what comes of them is shown; a turn that fails does not end the chat."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from glob import glob
from os.path import expanduser

from rich.console import Console, RenderableType

from orchestrator.cli.chat_commands import COMMANDS, follow, is_command
from orchestrator.cli.chat_view import answered, attached, lines, watching
from orchestrator.cli.chat_words import Line, read_line
from orchestrator.cli.main import exit_code, report
from orchestrator.engine import events as ev
from orchestrator.engine.chat import Chat, Exchange, Shown
from orchestrator.errors import InputError, OrchError, UserError
from orchestrator.flow.turn import sees
from orchestrator.nodes.media import Media

PROMPT = "\001\033[1;35m\002{}› \001\033[0m\002"  # readline does not count what stands between \001 and \002


@dataclass
class Talk:
    """A chat with somebody at a terminal, or with a pipe. `pending` is what was shown and not yet spoken of, `code` the
    exit code of the first turn that failed."""

    chat: Chat
    args: Namespace
    interactive: bool
    pending: list[Shown] = field(default_factory=list)
    events: list[ev.Event] = field(default_factory=list)
    tracing: bool = False
    over: bool = False
    code: int = 0
    forgot: int = 0
    typed: str = ""
    """What the next line begins with: one that failed, to be mended."""

    def __post_init__(self) -> None:
        self.console = Console(stderr=self.args.json)

    def run(self) -> int:
        """Talk until it is over; returns the exit code."""
        if self.interactive:
            self._greet()
        for line in self._lines():
            self._guarded(line)
            if self.over:
                break
        else:
            if self.pending:  # shown, and nothing said of it
                self._guarded("")
        return 0 if self.interactive else self.code

    def tell(self, what: RenderableType) -> None:
        """Show something that is no reply."""
        self.console.print(what, markup=False, highlight=False, soft_wrap=isinstance(what, str))

    # --- lines

    def _lines(self) -> Iterator[str]:
        if self.interactive:
            yield from self._asked()
            return
        try:
            yield from sys.stdin
        except UnicodeDecodeError as error:
            raise InputError(f"what is said is no UTF-8 text: byte {error.start} is wrong") from None

    def _asked(self) -> Iterator[str]:
        """Lines that are typed. Ctrl-C clears one, Ctrl-D ends it all."""
        _editing(self)
        while True:
            try:
                yield input(PROMPT.format(f"[{len(self.pending)} shown] " if self.pending else ""))
            except KeyboardInterrupt:
                print("\n(Ctrl-D or /quit ends the chat)")
            except EOFError:
                print()
                return

    def _guarded(self, line: str) -> None:
        """Follow a line; what is wrong with it is told, and the chat goes on. Ctrl-C ends one that nobody is at."""
        try:
            self._take(line)
        except (OrchError, KeyboardInterrupt) as error:
            code = exit_code(error)
            if not self.interactive and code == exit_code(KeyboardInterrupt()):
                raise
            self.code = self.code or code
            self.typed = line.rstrip("\n")
            report(self.args, error, str(error) or "interrupted", code)

    def _take(self, line: str) -> None:
        if is_command(line):
            follow(self, line)
            return
        read = read_line(line)
        shown = [self._shown(Shown(Media.load(path), path)) for path in read.files]
        if shown and not read.text:  # there is more to come
            self.pending += shown
        elif read.text or self.pending:
            self._say(read, shown)

    def _shown(self, shown: Shown) -> Shown:
        """A medium that is named, as a thumbnail. Raises InputError if the flow does not take it."""
        own = {*sees(self.chat.bundle), "text"} if self.chat.own else set()
        can = own or {put.modality for put in self.chat.flow.spec.inputs.values()}
        if shown.media.modality not in can:
            raise InputError(f"{shown.path} is {shown.media.modality}, but this chat takes: {', '.join(sorted(can))}")
        if self.interactive:
            self.tell(attached(shown, self.console.width))
        return shown

    # --- turns

    def _say(self, read: Line, shown: list[Shown]) -> None:
        """One turn."""
        self.events = []
        try:
            with watching(Console(stderr=True), self.tracing) as on_event:

                def both(event: ev.Event) -> None:
                    self.events.append(event)
                    on_event(event)

                exchange = self.chat.say(read.text, *self.pending, *shown, on_event=both)
        except UserError:
            self.pending.clear()  # or else the next turn would fail of it, too
            raise
        self.pending.clear()
        self._show(exchange)

    def _show(self, exchange: Exchange) -> None:
        if exchange.forgot > self.forgot:
            told = f"the dialogue is longer than the LLM reads: {exchange.forgot} turns, the oldest, are forgotten"
            print(told, file=sys.stderr)
        self.forgot = exchange.forgot
        if self.args.json:
            print(json.dumps(exchange.result.as_dict()), flush=True)
        elif self.interactive:
            self.console.print(answered(exchange, self.console.width), soft_wrap=True)
        else:
            print("\n".join(lines(exchange)), flush=True)

    def _greet(self) -> None:
        flow = self.chat.flow.spec
        takes = dict.fromkeys(put.modality for put in flow.inputs.values())
        self.tell(
            f"{self.chat.bundle.name}: takes {', '.join(takes)}; gives {', '.join(flow.outputs)}. /help tells more"
        )


def _editing(talk: Talk) -> None:
    """Lines can be edited and completed, where Python has readline."""
    try:
        import readline
    except ImportError:
        return

    def complete(text: str, state: int) -> str | None:
        found = [name for name in COMMANDS if name.startswith(text)] if text else []
        found += glob(f"{expanduser(text)}*") if text else []
        return found[state] if state < len(found) else None

    def begin() -> None:
        readline.insert_text(talk.typed)
        talk.typed = ""

    readline.set_completer(complete)
    readline.set_completer_delims(" \t\n")
    readline.parse_and_bind("tab: complete")
    readline.set_startup_hook(begin)
