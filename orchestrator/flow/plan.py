"""A wired flow: every reference resolved, every port typed, every stage configured. The engine compiles it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from orchestrator.flow.refs import When
from orchestrator.flow.spec import FlowSpec
from orchestrator.nodes.ports import PortType
from orchestrator.nodes.stage import Stage


@dataclass(frozen=True)
class Link:
    """What enters a port: a source (`inputs.image` or `see.features`), or else a literal text; `when` may skip it."""

    source: str | None = None
    literal: str | None = None
    when: When | None = None

    def refs(self) -> tuple[str, ...]:
        """The sources that it reads."""
        return ((self.source,) if self.source else ()) + (self.when.refs() if self.when else ())


@dataclass(frozen=True)
class WiredNode:
    """A node of a plan.

    `links` has a tuple for `many` ports. `types` are those of the connected inputs (a `many` port: that of the first
    under its name, and of all under `port[i]`), `out_types` those of all outputs, `used` the outputs that are read.
    """

    name: str
    stage: Stage
    links: dict[str, Link | tuple[Link, ...]]
    types: dict[str, PortType]
    out_types: dict[str, PortType]
    used: frozenset[str]
    when: When | None = None

    def at(self, branch: str) -> WiredNode:
        """The same node within a branch: its name and all that it reads begin with the branch's name."""

        def moved(link: Link) -> Link:
            return replace(link, source=f"{branch}.{link.source}") if link.source else link

        links = {
            port: tuple(map(moved, some)) if isinstance(some, tuple) else moved(some)
            for port, some in self.links.items()
        }
        return replace(self, name=f"{branch}.{self.name}", links=links)

    def all_links(self) -> Iterator[Link]:
        """The links of all ports, one by one."""
        for links in self.links.values():
            yield from links if isinstance(links, tuple) else (links,)

    def sources(self) -> tuple[str, ...]:
        """Everything that it reads, conditions included, each once."""
        refs = [ref for link in self.all_links() for ref in link.refs()]
        return tuple(dict.fromkeys(refs + list(self.when.refs() if self.when else ())))


@dataclass(frozen=True)
class Plan:
    """A flow that is ready to run: `nodes` in topological order, else that of the file; `outputs` as (source, type)."""

    spec: FlowSpec
    nodes: tuple[WiredNode, ...]
    outputs: dict[str, tuple[str, PortType]]

    def node(self, name: str) -> WiredNode:
        """The node of that name."""
        return next(node for node in self.nodes if node.name == name)

    def predecessors(self, name: str) -> tuple[str, ...]:
        """The names of the nodes that a node reads."""
        owners = (owner(source) for source in self.node(name).sources())
        return tuple(dict.fromkeys(before for before in owners if before in self.spec.nodes))

    def edges(self) -> tuple[tuple[str, str], ...]:
        """(node or input, node) for everything that is read, each once."""
        edges = ((owner(source), node.name) for node in self.nodes for source in node.sources())
        return tuple(dict.fromkeys(edges))


def owner(source: str) -> str:
    """The name of the node or input that a source belongs to."""
    name, _, port = source.partition(".")
    return port if name == "inputs" else name
