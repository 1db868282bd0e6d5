"""The commands of a chat: what begins with a slash."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import UserError, nearest

if TYPE_CHECKING:
    from orchestrator.cli.chat_talk import Talk

OWN = "own"


@dataclass(frozen=True)
class Command:
    """What it takes and does, and the function that does it."""

    takes: str
    doc: str
    do: Callable[[Talk, str], None]


def is_command(line: str) -> bool:
    """Whether a line is meant as a command, not as the path of a file."""
    word = line.split(maxsplit=1)[0] if line.strip() else ""
    return word.startswith("/") and (word in COMMANDS or (word.count("/") == 1 and not os.path.exists(word)))


def follow(talk: Talk, line: str) -> None:
    """Do what a line says. Raises UserError for a command that there is not."""
    word, _, rest = line.strip().partition(" ")
    if word not in COMMANDS:
        raise UserError(f"there is no command '{word}'.{nearest(word, COMMANDS)} /help lists them")
    COMMANDS[word].do(talk, rest.strip())


def _help(talk: Talk, rest: str) -> None:
    from orchestrator.cli.tables import plain_table

    rows = [(f"{name} {command.takes}".strip(), command.doc) for name, command in COMMANDS.items()]
    talk.tell(plain_table(("command", "what it does"), rows))
    talk.tell("Everything else is said. Files that a line names are shown; Ctrl-C stops a turn, Ctrl-D ends the chat.")


def _flow(talk: Talk, rest: str) -> None:
    from rich.syntax import Syntax

    from orchestrator.flow.yaml_io import dumps

    if rest:
        flow = talk.chat.use(None if rest == OWN else rest)
        takes = ", ".join(put.modality for put in flow.spec.inputs.values())
        talk.tell(f"flow {flow.spec.flow}: takes {takes}; gives {', '.join(flow.spec.outputs)}")
        return
    text = dumps(talk.chat.flow.spec).rstrip()
    rich = talk.console.is_terminal
    talk.tell(Syntax(text, "yaml", theme="ansi_dark", background_color="default", word_wrap=True) if rich else text)


def _save(talk: Talk, rest: str) -> None:
    from orchestrator.cli.chat_save import save

    if not rest:
        raise UserError("/save needs a file, e.g. /save talk.jsonl")
    talk.tell(f"saved to {save(talk.chat.exchanges, Path(rest).expanduser())}")


def _trace(talk: Talk, rest: str) -> None:
    from orchestrator.cli.trace import render_trace

    if rest in SWITCH:
        talk.tracing = SWITCH[rest]
        talk.tell(f"the trace of each turn is {'shown' if talk.tracing else 'not shown'}")
    elif rest:
        raise UserError(f"/trace takes on, off or nothing, not '{rest}'.{nearest(rest, SWITCH)}")
    elif not talk.events:
        raise UserError("there is no trace yet: say something first")
    else:
        talk.tell(render_trace(talk.events))


def _new(talk: Talk, rest: str) -> None:
    talk.chat.new()
    talk.pending.clear()
    talk.tell("a new dialogue")


def _quit(talk: Talk, rest: str) -> None:
    talk.over = True


SWITCH = {"on": True, "off": False}
COMMANDS: dict[str, Command] = {
    "/help": Command("", "these lines", _help),
    "/flow": Command(
        f"[FLOW|{OWN}]", f"the flow that runs, as YAML; or go on with another, or the bundle's {OWN}", _flow
    ),
    "/save": Command("FILE", "write the dialogue as a line of training data, its media beside it", _save),
    "/trace": Command("[on|off]", "the trace of the last turn; or show that of each turn", _trace),
    "/new": Command("", "forget all that was said", _new),
    "/quit": Command("", "end the chat, as Ctrl-D does", _quit),
}
