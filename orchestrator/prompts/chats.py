"""Chat templates: the Jinja files of `prompts/chat/`, in the form that tokenizers carry them."""

from __future__ import annotations

from functools import cache
from importlib import resources

from orchestrator.errors import BundleError, nearest

__all__ = ["chat_template", "chats"]


def chats() -> tuple[str, ...]:
    """The names of the chat templates."""
    files = resources.files(__package__).joinpath("chat").iterdir()
    return tuple(sorted(f.name.removesuffix(".jinja") for f in files if f.name.endswith(".jinja")))


@cache
def chat_template(name: str) -> str:
    """The text of a chat template. Raises BundleError for an unknown name."""
    if name not in chats():
        raise BundleError(f"no chat template is named '{name}'.{nearest(name, chats())}")
    return resources.files(__package__).joinpath("chat", f"{name}.jinja").read_text("utf-8").strip()
