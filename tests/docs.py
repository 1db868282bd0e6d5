"""The blocks of code in README and docs/, for the tests that hold them true.

A block whose first line is a comment with a file name is that file; a text block after a Python block is its output;
in a console block, lines after a command are what it prints. The first Python block of a page that names `Flow`, or has
`bundle=` behind the language, needs a bundle, and so do those after it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_FENCE = re.compile(r"^```(\w*)(.*)\n((?:.*\n)*?)```$", re.MULTILINE)
_FILE = re.compile(r"# ([\w/]+\.\w+)(?::.*)?\n")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page; `then` is the text block right after it, if there is one."""

    page: Path
    line: int
    language: str
    info: str
    text: str
    then: str | None

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"

    @property
    def file(self) -> str | None:
        """The name of the file that it is."""
        match = _FILE.match(self.text)
        return match[1] if match else None

    @property
    def needs_bundle(self) -> bool:
        return "bundle=" in self.info or bool(re.search(r"\bFlow\b", self.text))

    def commands(self) -> Iterator[tuple[list[str], str]]:
        """(words after `orch`, what is printed) of every command; redirections are left out."""
        for entry in re.findall(r"^(?:\$ )?orch (.*)\n((?:(?!\$ |orch ).+\n)*)", self.text, re.MULTILINE):
            words = shlex.split(entry[0], comments=True)
            yield words[: words.index(">")] if ">" in words else words, entry[1]


def blocks(*languages: str) -> list[Block]:
    """All blocks of these languages, page by page."""
    found = []
    for page in PAGES:
        text = page.read_text("utf-8")
        matches = list(_FENCE.finditer(text))
        for match, after in zip_longest(matches, matches[1:]):
            then = after[3] if after and after[1] == "text" and not text[match.end() : after.start()].strip() else None
            line = text.count("\n", 0, match.start()) + 1
            found.append(Block(page, line, match[1], match[2], match[3], then))
    return [block for block in found if block.language in languages]


def run(python: list[Block], folder: Path) -> Iterator[Block]:
    """Run the blocks of one page one after the other, as one would type them, and yield each when it is done; those
    that are files are written to `folder`."""
    names: dict[str, Any] = {"__name__": "page"}
    for block in python:
        if block.file:
            (folder / block.file).write_text(block.text)
        else:
            exec(compile(block.text, str(block), "exec"), names)
        yield block
