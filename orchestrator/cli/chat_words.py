"""A line of a chat: the files that it names are shown, the rest is said.

Terminals write a dragged file in their own ways: quoted, with backslashes before blanks, as a file:// URI, or as it is.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlparse
from urllib.request import url2pathname

from orchestrator.errors import InputError, nearest
from orchestrator.nodes.modality import MODALITIES

WORD = re.compile(
    r"""(?<!\S)(?:(?P<quoted>'[^']*'(?:\\'|'[^']*')*|"(?:\\.|[^"\\])*")(?=[?!.,;:)]*(?:\s|$))|(?P<bare>(?:\\.|[^\s\\])+)(?!\S))"""
)
QUOTES = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)""")
AS_A_PATH = re.compile(r"file://|https?://|~/|\.{1,2}/|/[^/\s]+/")  # how only a path begins
ENDS = "?!.,;:)"
BLANKS = re.compile(r"\s+(?=[?!.,;:)]*(?:\s|$))")  # before the end of what is left, or doubled
KINDS = {suffix: m.name for m in MODALITIES.values() for suffix in m.suffixes}


@dataclass(frozen=True)
class Line:
    """What is said, and the files that are shown, in order."""

    text: str
    files: tuple[Path, ...] = ()


def read_line(line: str) -> Line:
    """A line as the user means it. Raises InputError for every path that does not exist, or is of no known kind."""
    if os.path.isfile(whole := os.path.expanduser(line.strip())) and Path(whole).suffix.lower() in KINDS:
        return Line("", (Path(whole),))
    left, begin = "", 0
    files: list[Path] = []
    problems: list[str] = []
    for word in WORD.finditer(line):
        found = _file(word, problems)
        if found:
            path, after = found
            files.append(path)
            left, begin = left + line[begin : word.start()] + after, word.end()
    if problems:
        raise InputError("\n".join(problems))
    return Line(BLANKS.sub("", left + line[begin:]).strip() if files else line.strip(), tuple(files))


def _file(word: re.Match[str], problems: list[str]) -> tuple[Path, str] | None:
    """The file that a word names, and the punctuation after it; None where it names none."""
    forms = list(_forms(word))
    for form, after in forms:
        path = _path(form)
        if path is not None and os.path.isfile(path):
            if path.suffix.lower() in KINDS:
                return path, after
            if os.sep in form or AS_A_PATH.match(form):
                problems.append(f"{path} is of no known kind: {_kinds()}")
            return None
    form, _ = forms[-1]
    if AS_A_PATH.match(form) or KINDS.get(Path(form).suffix.lower(), "text") != "text":
        problems.append(_missing(form))
    return None


def _forms(word: re.Match[str]) -> Iterator[tuple[str, str]]:
    """What a word may stand for, and what is left after it: as it is, unescaped, without the punctuation at its end."""
    if word["quoted"] is not None:
        yield QUOTES.sub(lambda m: next(group for group in m.groups() if group is not None), word["quoted"]), ""
        return
    bare = word["bare"]
    plain = re.sub(r"\\(.)", r"\1", bare)
    for form in dict.fromkeys((bare, plain, plain.rstrip(ENDS))):
        yield form, plain[len(form) :] if plain.startswith(form) else ""


def _path(form: str) -> Path | None:
    """The path that a word stands for, if it can be one."""
    if form.startswith("file://"):
        address = urlparse(form)
        return Path(url2pathname(address.path)) if address.netloc in ("", "localhost") else None
    return Path(os.path.expanduser(form)) if form else None


def _missing(form: str) -> str:
    """Why a word that is meant as a path can't be shown."""
    if form.startswith(("http://", "https://")):
        return f"{form} is an address: download it, and name the file"
    path = _path(form)
    if path is None:
        return f"{form} is on another machine: copy it here, and name the file"
    if os.path.isdir(path):
        return f"{path} is a folder: name a file in it"
    beside = [p.name for p in path.parent.iterdir() if p.suffix.lower() in KINDS] if os.path.isdir(path.parent) else []
    hint = nearest(path.name, beside)
    return f"there is no file {path}.{hint if hint.startswith(' Did') else ''}"


def _kinds() -> str:
    return "; ".join(f"{m.name} ({', '.join(m.suffixes)})" for m in MODALITIES.values())
