"""Instruction templates: the `.txt` files of this folder, the wordings of training data in `asks/`, and their loader.

Variables are `{name}`, other braces are doubled as in `str.format`. Templates know no modality: words are passed in.
"""

from __future__ import annotations

import re
import string
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources

from orchestrator.errors import UserError, nearest

__all__ = ["Template", "names", "role", "template", "wordings"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")


@dataclass(frozen=True)
class Template:
    """A text with `{variables}`."""

    text: str

    def __post_init__(self) -> None:
        self.variables  # noqa: B018  a malformed template fails here, not when it is rendered

    @property
    def variables(self) -> tuple[str, ...]:
        """The names of its variables, in order of appearance."""
        return tuple(dict.fromkeys(_variables(self.text)))

    def render(self, **values: str) -> str:
        """The text with every variable replaced; missing and surplus values are errors."""
        wrong = set(values) ^ set(self.variables)
        if wrong:
            takes, got = (", ".join(words) or "no values" for words in (self.variables, values))
            raise UserError(f"template {self.text!r} takes {takes}; got {got}")
        return self.text.format(**values)


def names() -> tuple[str, ...]:
    """The names of the templates that are files."""
    files = resources.files(__name__).iterdir()
    return tuple(sorted(f.name.removesuffix(".txt") for f in files if f.name.endswith(".txt")))


@cache
def template(name_or_text: str) -> Template:
    """The template of that name, or, for anything that is not one lower-case word, the text itself as a template."""
    if not _NAME.fullmatch(name_or_text):
        return Template(name_or_text)
    if name_or_text not in names():
        raise UserError(
            f"no template is named '{name_or_text}'.{nearest(name_or_text, names())}"
            " An inline template is more than one lower-case word."
        )
    file = resources.files(__name__).joinpath(f"{name_or_text}.txt")
    return Template(file.read_text(encoding="utf-8").rstrip("\n"))


@cache
def role(name_or_text: str) -> str:
    """What an LLM is told to be: `roles/<name>.txt`; anything that is not one lower-case word is the text itself."""
    if not _NAME.fullmatch(name_or_text):
        return name_or_text
    folder = resources.files(__name__).joinpath("roles")
    file = folder.joinpath(f"{name_or_text}.txt")
    if not file.is_file():
        known = (f.name.removesuffix(".txt") for f in folder.iterdir())
        raise UserError(f"no role is named '{name_or_text}'.{nearest(name_or_text, known)}")
    return file.read_text(encoding="utf-8").strip()


@cache
def wordings(ask: str) -> tuple[Template, ...]:
    """The ways to ask for something, one a line of `asks/<ask>.txt`."""
    folder = resources.files(__name__).joinpath("asks")
    file = folder.joinpath(f"{ask}.txt")
    if not file.is_file():
        known = (f.name.removesuffix(".txt") for f in folder.iterdir())
        raise UserError(f"no wordings are named '{ask}'.{nearest(ask, known)}")
    return tuple(Template(line) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())


def _variables(text: str) -> Iterator[str]:
    """Names of the replacement fields. Attributes, indices, conversions and formats are refused: values are text."""
    try:
        fields = [(name, spec, conversion) for _, name, spec, conversion in string.Formatter().parse(text)]
    except ValueError as error:
        raise UserError(f"template {text!r}: {error}. Write '{{{{' for a brace.") from None
    for name, spec, conversion in fields:
        if name is None:
            continue
        if not name.isidentifier() or spec or conversion:
            raise UserError(f"template {text!r}: '{{{name}}}' is no variable. Write {{name}}, or '{{{{' for a brace.")
        yield name
