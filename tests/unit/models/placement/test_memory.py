"""What a memory plan reckons."""

from __future__ import annotations

import pytest

from orchestrator.models.placement.memory import MemoryPlan, Offload, PartPlan, Spot, advice
from orchestrator.models.placement.needs import Need

PIPELINE = Need("generators.video", floats=100, largest=60, streamed=15, floor=5, fixed=8, work=10)


@pytest.mark.parametrize(
    ("dtype", "offload", "held", "lent"),
    [
        ("float32", "none", 408, 408),
        ("float16", "none", 208, 208),
        ("float16", "model", 0, 128),
        ("bfloat16", "sequential", 18, 38),
    ],
)
def test_bytes_of_a_part(dtype: str, offload: Offload, held: int, lent: int) -> None:
    row = PartPlan(PIPELINE, Spot("cuda:0", dtype, offload))
    assert (row.held, row.lent) == (held, lent)
    assert row.weights == 8 + (400 if dtype == "float32" else 200)
    assert row.activations == (40 if dtype == "float32" else 20)


def plan(limit: int | None, *spots: Spot) -> MemoryPlan:
    needs = [Need("llm", floats=50, largest=50, work=5), Need("generators.image", floats=100, largest=50, work=20)]
    rows = tuple(PartPlan(need, spot) for need, spot in zip(needs, spots, strict=True))
    return MemoryPlan(rows, {} if limit is None else {"cuda:0": limit})


HALF = Spot("cuda:0", "float16")


@pytest.mark.parametrize(
    ("limit", "peak", "turns"), [(None, 340, False), (340, 340, False), (339, 339, True), (200, 240, True)]
)
def test_peak_of_a_device(limit: int | None, peak: int, turns: bool) -> None:
    made = plan(limit, HALF, HALF)
    assert (made.whole("cuda:0"), made.peak("cuda:0"), made.takes_turns("cuda:0")) == (340, peak, turns)


def test_an_offloaded_part_is_there_only_while_it_runs() -> None:
    made = plan(None, HALF, Spot("cuda:0", "float16", "model"))
    assert made.whole("cuda:0") == 100 + 100 + 40


def test_where_nodes_run_and_in_what() -> None:
    made = plan(None, Spot("cuda:1", "bfloat16"), HALF)
    assert made.spot(["llm"]).device == "cuda:1"
    assert made.dtype(["llm", "generators.image"]) == "torch.bfloat16 torch.float16"
    assert made.dtype(["llm"]) == "torch.bfloat16"  # the device is not in it
    assert (made.spot([]), made.dtype([])) == (Spot(), "")
    assert made.devices == ("cuda:1", "cuda:0")


@pytest.mark.parametrize(
    ("spot", "way"),
    [
        (HALF, "--place llm=offload"),
        (Spot("cuda:0", "float16", "model"), "--place llm=sequential"),
        (Spot("cuda:0", "float16", "sequential"), "--place llm=cpu"),
        (Spot("cpu", "float32"), "--place llm=bfloat16"),
    ],
)
def test_advice(spot: Spot, way: str) -> None:
    row = PartPlan(Need("llm"), spot)
    assert advice([row]) == f"Set {way}, or a higher --memory"
    assert advice([row], {"film.width": "width"}) == (
        f"Set {way}, or a smaller width (--set film.width=...), or a higher --memory"
    )
