"""From a spec to a plan: how a flow may be wired, checked before any weight is loaded.

All problems are found at once. References are `scope`'s, the fields of one node are `draft`'s; this module knows how
nodes fit together: names, types, cycles, and what is missing or unused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from orchestrator.errors import FlowError, InputError, Problem, UserError, nearest
from orchestrator.flow.draft import Draft, draft
from orchestrator.flow.graph import reach, topological
from orchestrator.flow.plan import Link, Plan, WiredNode, owner
from orchestrator.flow.refs import NAME
from orchestrator.flow.scope import OUTPUTS, TEXT, Broken, Scope, describe
from orchestrator.flow.spec import FlowSpec, Path
from orchestrator.nodes.modality import MODALITIES
from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.registry import stages
from orchestrator.nodes.route import ActConfig, made_by
from orchestrator.nodes.stage import Stage

INPUTS = "inputs"  # the first word of the sources that are inputs; no node may have this name


def wire(spec: FlowSpec) -> Plan:
    """The plan of a flow, or a `FlowError` with all its problems."""
    wiring = _Wiring(spec, {})
    plan = wiring.plan()
    if plan is None:
        raise FlowError(wiring.problems)
    return plan


def check(spec: FlowSpec, broken: Broken | None = None) -> list[Problem]:
    """All problems of a flow, in file order. `broken` are entries that could not be read, as written."""
    wiring = _Wiring(spec, broken or {})
    wiring.plan()
    return wiring.problems


def check_inputs(spec: FlowSpec, given: Iterable[str]) -> None:
    """Raise an `InputError` unless `given` names the inputs of a run: all that are required, and no others."""
    names = set(given)
    missing = [name for name, put in spec.inputs.items() if put.required and name not in names]
    problems = [f"input '{name}' ({spec.inputs[name].modality}) is missing; give {name}=..." for name in missing]
    for name in sorted(names - set(spec.inputs)):
        hint = nearest(name, spec.inputs) or " It takes none."
        problems.append(f"flow '{spec.flow}' has no input '{name}'.{hint}")
    if problems:
        raise InputError("\n".join(problems))


class _Wiring:
    """One pass over a spec: `problems`, and `plan()` if there are none."""

    def __init__(self, spec: FlowSpec, broken: Broken) -> None:
        self.spec, self.broken = spec, broken
        known = stages()
        nodes = {name: node for name, node in spec.nodes.items() if node.stage in known and name != INPUTS}
        classes = {name: known[node.stage] for name, node in nodes.items()}
        self.scope = Scope(spec, classes, broken)
        self.report = self.scope.report
        self._check_names(known)
        self.drafts = {name: draft(self.scope, name, stage) for name, stage in classes.items()}
        self.order, cycles = topological({name: map(_head, d.reads()) for name, d in self.drafts.items()})
        for cycle in cycles:
            self.report(("nodes", cycle[0]), f"reads itself in a cycle: {' -> '.join(cycle)}. Remove one of its edges.")
        misfits = [misfit for name in self.order for misfit in self._infer(name)]
        for name, port, path, source in misfits:
            self._report_misfit(name, port, path, source)
        self._check_missing()
        self._check_comparisons()
        self.outputs = dict(self._outputs())
        self._check_unused()

    @property
    def problems(self) -> list[Problem]:
        """What was found, in file order; what has no place keeps the order in which it was found."""
        return sorted(self.scope.problems, key=lambda p: (p.line, p.column))

    def plan(self) -> Plan | None:
        """The plan, or None if anything is wrong. Stages are told which signals their readers take."""
        if self.scope.problems or self.broken:
            return None
        used = {source for d in self.drafts.values() for source in d.reads()}
        used |= {source for source, _ in self.outputs.values()}
        signals = self._signals(used)
        nodes = [self._wired(name, self.drafts[name], used, frozenset(signals[name])) for name in self.order]
        return None if self.scope.problems else Plan(self.spec, tuple(nodes), self.outputs)

    def _check_names(self, known: Iterable[str]) -> None:
        spec = self.spec
        named: list[tuple[Path, str]] = [(("flow",), spec.flow)]
        named += [((part, n), n) for part in ("inputs", "nodes", "outputs") for n in getattr(spec, part)]
        for path, name in named:
            if not NAME.fullmatch(name):
                self.report(path, f"'{name}' is no name; use small letters, digits, - and _, a letter first.")
        for name, put in spec.inputs.items():
            if put.modality not in MODALITIES:
                hint = nearest(put.modality, MODALITIES)
                self.report(("inputs", name, "modality"), f"unknown modality '{put.modality}'.{hint}")
        for name, node in spec.nodes.items():
            if name in spec.inputs or name == INPUTS:
                self.report(("nodes", name), "inputs have this name; give the node another.")
            if node.stage not in known:
                self.report(("nodes", name, "stage"), f"unknown stage '{node.stage}'.{nearest(node.stage, known)}")
        if not spec.nodes and not self.broken:
            self.report(("nodes",), f"flow '{spec.flow}' has no nodes.")

    def _infer(self, name: str) -> Iterator[tuple[str, str, Path, str]]:
        """Give a draft its types; yields (node, port, path, source) for each link that does not fit."""
        d = self.drafts[name]
        for port, placed in d.links.items():
            declared = d.stage.inputs[port]
            for i, (path, link) in enumerate(placed):
                found = self._link_type(link)
                if found and not declared.accepts(found):
                    yield name, port, path, str(link.source)
                    continue
                kind = found.kind if found else declared.type.kind
                known = PortType(kind, declared.type.modality or (found.modality if found else None))
                d.types.setdefault(port, known)
                if declared.many:
                    d.types[f"{port}[{i}]"] = known
        for port, declared in d.stage.outputs.items():
            like = d.types.get(declared.like or "")
            d.out_types[port] = PortType(declared.type.kind, like.modality) if like else declared.type

    def _link_type(self, link: Link) -> PortType | None:
        return TEXT if link.source is None else self._type(link.source)

    def _type(self, source: str) -> PortType | None:
        """The type of a source; None where it can't be known (within a cycle, or of an unknown modality)."""
        name, _, port = source.partition(".")
        if name != INPUTS:
            return self.drafts[name].out_types.get(port)
        modality = self.spec.inputs[port].modality
        return PortType("Media", modality) if modality in MODALITIES else None

    def _report_misfit(self, name: str, port: str, path: Path, source: str) -> None:
        declared = self.drafts[name].stage.inputs[port]
        found = f"'{self.scope.shown(source)}' is {self._type(source)}"
        self.report(path, f"port '{port}' takes {describe(declared)}, but {found}.{self._fitting(name, declared)}")

    def _fitting(self, name: str, port: Port) -> str:
        """` Did you mean '$x'?` for a source that fits a port: the first that nobody reads, else the first."""
        reads = self.scope.reads
        sources = [f"inputs.{put}" for put in self.spec.inputs]
        sources += [f"{n}.{p}" for n, d in self.drafts.items() if name not in reach([n], reads) for p in d.out_types]
        known = [(source, found) for source in sources if (found := self._type(source)) and port.accepts(found)]
        fits = [source for source, found in known if port.type.accepts(found)] or [source for source, _ in known]
        if not fits:
            return ""
        read = set().union(*reads.values())
        best = next((source for source in fits if owner(source) not in read), fits[0])
        reads[name].add(owner(best))
        return f" Did you mean '{self.scope.shown(best)}'?"

    def _check_missing(self) -> None:
        for name, d in self.drafts.items():
            fields = self.spec.nodes[name].fields
            for port, declared in d.stage.inputs.items():
                if not declared.optional and fields.get(port, []) == []:
                    hint = self._fitting(name, declared)
                    self.report(("nodes", name), f"port '{port}' ({describe(declared)}) is not connected.{hint}")

    def _check_comparisons(self) -> None:
        """Only texts can be compared."""
        for name, d in self.drafts.items():
            edges = [((*path, "when"), link.when) for placed in d.links.values() for path, link in placed]
            for path, when in [(("nodes", name, "when"), d.when), *edges]:
                found = self._type(when.source) if when and when.operator in ("==", "!=") else None
                if when and found and not TEXT.accepts(found):
                    shown = self.scope.shown(when.source)
                    self.report(path, f"'{shown}' is {found}; only {TEXT} can be compared. Write '{shown}' alone.")

    def _outputs(self) -> Iterator[tuple[str, tuple[str, PortType]]]:
        if not self.spec.outputs and not self.broken:
            self.report(("outputs",), f"flow '{self.spec.flow}' has no outputs; write outputs: {{name: $ref}}.")
        for name, text in self.spec.outputs.items():
            source = self.scope.source(("outputs", name), text)
            found = self._type(source) if source else None
            if source and found and found.kind == "Media":
                yield name, (source, found)
            elif found:
                self.report(("outputs", name), f"an output is Media, but '{text}' is {found}.")

    def _check_unused(self) -> None:
        reads = self.scope.reads
        if reads[OUTPUTS]:  # without outputs, which is reported, nothing would be in use
            live = reach([OUTPUTS], reads)
            for name in self.spec.nodes:
                if name not in live:
                    self.report(("nodes", name), "no output depends on it; add it to the outputs or remove it.")
        read = set().union(*reads.values())
        for name in self.spec.inputs:
            if name not in read:
                self.report(("inputs", name), "nothing reads it; connect it or remove it.")

    def _wired(self, name: str, d: Draft, used: set[str], signals: frozenset[str]) -> WiredNode:
        links = {
            port: tuple(link for _, link in placed) if d.stage.inputs[port].many else placed[0][1]
            for port, placed in d.links.items()
        }
        ports = frozenset(port for port in d.out_types if f"{name}.{port}" in used)
        return WiredNode(name, self._stage(name, d, signals), links, d.types, d.out_types, ports, d.when)

    def _stage(self, name: str, d: Draft, signals: frozenset[str]) -> Stage:
        """The stage of a node, for this flow; it may refuse (a signal that must come, but that nobody takes)."""
        stage = d.stage(d.config)  # type: ignore[arg-type]  # without problems there is a config
        try:
            return stage.for_flow(signals)
        except UserError as error:
            self.report(("nodes", name), str(error))
            return stage

    def _signals(self, used: set[str]) -> dict[str, set[str]]:
        """For each node, the modalities of the signals that its readers hand on."""
        taken: dict[str, set[str]] = {name: set() for name in self.drafts}
        for name, d in self.drafts.items():
            ports = [(f"{name}.{port}", found) for port, found in d.out_types.items() if found.kind == "Signals"]
            signals = {found.modality for source, found in ports if source in used and found.modality}
            if isinstance(d.config, ActConfig):
                signals |= set(made_by(d.config.make, {port for port in d.out_types if f"{name}.{port}" in used}))
            for before in set(map(_head, d.reads())) & taken.keys():
                taken[before] |= signals
        return taken


def _head(source: str) -> str:
    """The node of a source, or `INPUTS`."""
    return source.partition(".")[0]
