"""Flows inside other programs: a node of a LangGraph, a tool of an agent, an MCP server. Light until one is used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from orchestrator.agents.mcp import mcp_server
    from orchestrator.agents.node import as_node
    from orchestrator.agents.offer import Offer
    from orchestrator.agents.tool import as_tool

__all__ = ["Offer", "as_node", "as_tool", "mcp_server"]

_HOME = {"Offer": "offer", "as_node": "node", "as_tool": "tool", "mcp_server": "mcp"}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'orchestrator.agents' has no attribute {name!r}")
    return getattr(import_module(f"orchestrator.agents.{_HOME[name]}"), name)
