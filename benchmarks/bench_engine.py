"""What the engine costs: beside a hand-written LangGraph graph, a critical path, a full run, a bare interpreter.

No weights: the stages are stubs that pass a tensor of 1 MB, do nothing or a matrix product, or sleep.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported: threads that spin would count as CPU time

import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar, TypedDict

import torch
from langgraph.graph import END, START, StateGraph
from measure import Figure, Times, child, figure, from_ratios, parser, report, rounds

from orchestrator.engine.compile import compile_plan
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.runner import run_session
from orchestrator.engine.session import Session
from orchestrator.engine.store import Store
from orchestrator.flow.builder import FlowBuilder
from orchestrator.flow.plan import Plan
from orchestrator.flow.wiring import wire
from orchestrator.models.bundle import Bundle, BundleSpec, LlmSpec
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Features, Port, PortType
from orchestrator.nodes.registry import stages
from orchestrator.nodes.stage import Config, Context, Inputs, Outputs, Stage

SIDE = 512  # a tensor [SIDE, SIDE] of float32 is 1 MB; its product with another takes some 4.5 ms on one core
NODES = 6
TENSOR, WEIGHT = torch.ones(SIDE, SIDE), torch.eye(SIDE)


def work(tensor: torch.Tensor, products: int) -> torch.Tensor:
    """What a node does: nothing, or some matrix products."""
    for _ in range(products):
        tensor = tensor @ WEIGHT
    return tensor


class StubConfig(Config):
    """`products` are computed, `seconds` slept; `mark` makes the node's key another."""

    products: int = 0
    seconds: float = 0.0
    mark: int = 0


class Start(Stage):
    """Text -> the tensor."""

    name = "stub_start"
    config_class = StubConfig
    inputs: ClassVar[Mapping[str, Port]] = {"text": Port(PortType("Media", "text"), "anything")}
    outputs: ClassVar[Mapping[str, Port]] = {"out": Port(PortType("Features", "image"), "the tensor")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        return [{"out": Features("image", work(TENSOR, self.config.products))} for _ in batch]


class Middle(Stage):
    """The tensor -> the tensor."""

    name = "stub_middle"
    config_class = StubConfig
    inputs: ClassVar[Mapping[str, Port]] = {"x": Port(PortType("Features", "image"), "the tensor")}
    outputs: ClassVar[Mapping[str, Port]] = {"out": Port(PortType("Features", "image"), "the tensor")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        if self.config.seconds:
            time.sleep(self.config.seconds)
        return [{"out": Features("image", work(request["x"].tokens, self.config.products))} for request in batch]


class Finish(Stage):
    """The tensor -> text."""

    name = "stub_finish"
    config_class = StubConfig
    inputs: ClassVar[Mapping[str, Port]] = {"x": Port(PortType("Features", "image"), "the tensor")}
    outputs: ClassVar[Mapping[str, Port]] = {"text": Port(PortType("Media", "text"), "its first value")}

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        made = [work(request["x"].tokens, self.config.products) for request in batch]
        return [{"text": Media.load(str(float(tensor[0, 0])), "text")} for tensor in made]


stages().update({stage.name: stage for stage in (Start, Middle, Finish)})
BUNDLE = Bundle(Path(), BundleSpec(name="none", llm=LlmSpec(path="none")))  # no stub asks for a part


def chain(marks: Sequence[int] = (0,) * NODES, **config: Any) -> Plan:
    """A flow of six stubs in a row."""
    flow = FlowBuilder("chain", bundle="none")
    node = flow.add("stub_start", "n0", text=flow.input("text", "text"), mark=marks[0], **config)
    for i in range(1, NODES - 1):
        node = flow.add("stub_middle", f"n{i}", x=node, mark=marks[i], **config)
    flow.output("text", flow.add("stub_finish", f"n{NODES - 1}", x=node, mark=marks[-1], **config))
    return wire(flow.build())


BRANCHES = {"a": (0.3, 0.05, 0.05), "b": (0.05, 0.3, 0.05)}
CRITICAL = max(map(sum, BRANCHES.values()))


def fork() -> Plan:
    """A flow with two uneven branches of sleeping stubs."""
    flow = FlowBuilder("fork", bundle="none")
    start = flow.add("stub_start", "start", text=flow.input("text", "text"))
    for branch, pauses in BRANCHES.items():
        node = start
        for i, seconds in enumerate(pauses):
            node = flow.add("stub_middle", f"{branch}{i}", x=node, seconds=seconds)
        flow.output(branch, flow.add("stub_finish", f"{branch}_end", x=node))
    return wire(flow.build())


def orch(plan: Plan, store: Store, cache: bool) -> Callable[[], object]:
    """A run of a plan by Orch, as `Flow.run` does it."""
    graph, pool = compile_plan(plan), ModelPool()
    text = Media.load("go", "text")
    return lambda: run_session(graph, Session("bench", plan, BUNDLE, store, pool, cache=cache), {"text": text})


Values = TypedDict("Values", dict.fromkeys((*(f"v{i}" for i in range(NODES)), *BRANCHES), Any), total=False)  # type: ignore[misc]


def hand_written_chain(products: int) -> Callable[[], object]:
    """Six nodes in a row, as one writes them on LangGraph alone: a key for each value, for each is of another type."""

    def node(i: int) -> Callable[[Any], Any]:
        if i == 0:
            return lambda state: {"v0": work(TENSOR, products)}
        if i == NODES - 1:
            return lambda state: {f"v{i}": str(float(work(state[f"v{i - 1}"], products)[0, 0]))}
        return lambda state: {f"v{i}": work(state[f"v{i - 1}"], products)}

    builder: Any = StateGraph(Values)
    names = [f"n{i}" for i in range(NODES)]
    for i, name in enumerate(names):
        builder.add_node(name, node(i))
    for before, after in pairwise([START, *names, END]):
        builder.add_edge(before, after)
    graph = builder.compile()
    return lambda: graph.invoke({"a": "go"})


def hand_written_fork() -> Callable[[], object]:
    """The two branches with plain edges of LangGraph: every superstep waits for the slower branch."""

    def pause(branch: str, seconds: float) -> Callable[[Any], Any]:
        def node(state: Any) -> Any:
            time.sleep(seconds)
            return {branch: TENSOR}

        return node

    builder: Any = StateGraph(Values)
    for branch, pauses in BRANCHES.items():
        names = [START, *(f"{branch}{i}" for i in range(len(pauses))), END]
        for name, seconds in zip(names[1:-1], pauses, strict=True):
            builder.add_node(name, pause(branch, seconds))
        for before, after in pairwise(names):
            builder.add_edge(before, after)
    graph = builder.compile()
    return lambda: graph.invoke({"v0": "go"})


def many(call: Callable[[], object], times: int) -> Callable[[], object]:
    """A call so often that the clock can see it."""

    def run() -> None:
        for _ in range(times):
            call()

    return run


def overhead() -> Iterator[Figure]:
    """Orch over the hand-written graph, with the cache off."""
    for name, products, calls, count, goal in (
        ("nodes of no work", 0, 10, 15, None),
        ("nodes of 1 product", 1, 3, 25, 1.05),
    ):
        plan = chain(products=products)
        mine, other = orch(plan, Store(), cache=False), hand_written_chain(products)
        times = rounds({"orch": many(mine, calls), "langgraph": many(other, calls), "again": many(other, calls)}, count)
        each = [1e3 * min(times[who]) / calls / NODES for who in ("orch", "langgraph")]
        note = f"{each[0]:.2f} and {each[1]:.2f} ms CPU a node at best"
        yield figure(f"flow of {NODES} {name} / hand-written LangGraph", times, "orch", "langgraph", goal, note)
        yield figure("  control: hand-written / itself", times, "again", "langgraph")


def makespan() -> Iterator[Figure]:
    """Two uneven branches over the critical path, by the wall clock."""
    calls = {"orch": orch(fork(), Store(), cache=False), "langgraph": hand_written_fork()}
    times = rounds(calls, 5, time.perf_counter)
    for name, who, goal in (("Orch", "orch", 1.05), ("plain LangGraph edges", "langgraph", None)):
        yield from_ratios(f"two uneven branches / critical path: {name}", [t / CRITICAL for t in times[who]], goal)


def reruns() -> Iterator[Figure]:
    """Runs that find results in the store, over full runs."""
    a, b = (0,) * NODES, (0,) * (NODES // 2) + (1,) * (NODES // 2)
    for name, products in (("1 product", 1), ("20 products", 20)):
        store = Store()
        same, back = (orch(chain(marks, products=products), store, cache=True) for marks in (a, b))
        fresh = iter(range(2, 10**6))

        def half(store: Store = store, products: int = products, fresh: Iterator[int] = fresh) -> Callable[[], object]:
            mark = next(fresh)
            return orch(chain((0,) * (NODES // 2) + (mark,) * (NODES // 2), products=products), store, cache=True)

        full = orch(chain(a, products=products), Store(), cache=False)
        same(), back()
        times = _reruns(full, same, back, half)
        goals = {
            "unchanged": 0.02,
            "half of the nodes changed": 0.53,
            "A, B, A again": 0.02,
            "  floor: LangGraph": None,
        }
        for what, goal in goals.items():
            yield figure(f"{what} / full, nodes of {name}", times, what, "full", goal)


def _reruns(
    full: Callable[[], object],
    same: Callable[[], object],
    back: Callable[[], object],
    half: Callable[[], Callable[[], object]],
) -> Times:
    """Half-changed flows are compiled outside the clock."""
    prepared = [half() for _ in range(10)]

    def there_and_back() -> None:
        back()
        same()

    times = rounds(
        {
            "full": full,
            "unchanged": same,
            "half of the nodes changed": lambda: prepared.pop()(),
            "A, B, A again": there_and_back,
            "  floor: LangGraph": hand_written_chain(0),  # a run whose nodes do nothing at all
        },
        9,
    )
    times["A, B, A again"] = [t / 2 for t in times["A, B, A again"]]
    return times


def cold_start() -> Iterator[Figure]:
    """`orch --help` over a bare interpreter, each in a fresh process."""
    orch_ = str(Path(sys.executable).with_name("orch"))
    ratios = [child([orch_, "--help"]).cpu / child([sys.executable, "-c", "pass"]).cpu for _ in range(15)]
    yield from_ratios("orch --help / bare python", ratios, 4.0)


def main() -> None:
    """Measure all of it, or what is asked for."""
    parts = {"overhead": overhead, "makespan": makespan, "reruns": reruns, "cold_start": cold_start}
    arguments = parser(__doc__)
    arguments.add_argument("--only", action="append", choices=list(parts), help="may be given several times")
    args = arguments.parse_args()
    torch.set_num_threads(1)
    figures = [f for name, part in parts.items() if name in (args.only or parts) for f in part()]
    report("The engine", figures, args.json)


if __name__ == "__main__":
    main()
