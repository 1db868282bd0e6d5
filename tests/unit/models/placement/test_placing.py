"""Where parts go, on machines that are made up: sizes in millions of numbers, free memory in MB."""

from __future__ import annotations

from typing import Any

import pytest

from orchestrator.errors import OutOfMemory, PlacementError
from orchestrator.models.placement.memory import MemoryPlan
from orchestrator.models.placement.needs import Need
from orchestrator.models.placement.placing import Device, choose
from orchestrator.models.placement.spec import asked

M = 10**6
CPU = Device("cpu", 64_000 * M)


def gpu(free: int, index: int = 0, bfloat16: bool = True) -> Device:
    """`free` is what is left of it for parts, in MB."""
    return Device(f"cuda:{index}", int(free * M / 0.9) + 2, bfloat16)


def part(name: str, floats: int, work: int = 0, **fields: Any) -> Need:
    """A part of so many million numbers; of a pipeline the largest model has half of them."""
    half = floats // 2 if name.startswith("generators") else floats
    counts = {"floats": floats * M, "largest": half * M, "streamed": floats * M // 10, "floor": floats * M // 20}
    return Need(name, work=work * M, **counts | fields)


NEEDS = [
    part("encoders.image", 300, 10),
    part("llm", 7000, 100, native="bfloat16"),
    part("generators.image", 1000, 200, native="float16"),
    part("generators.video", 2000, 600),
]


def spots(plan: MemoryPlan) -> list[str]:
    return [f"{r.spot.device} {r.spot.dtype} {r.spot.offload}" for r in plan.rows]


FULL = ["cuda:0 float16 none", "cuda:0 bfloat16 none", "cuda:0 float16 none", "cuda:0 float16 none"]


@pytest.mark.parametrize(
    ("devices", "memory", "wanted", "turns"),
    [
        pytest.param([CPU], None, ["cpu float32 none"] * 4, False, id="no GPU"),
        pytest.param([gpu(21_800), CPU], None, FULL, False, id="all fit"),
        pytest.param([gpu(21_799), CPU], None, FULL, True, id="not all at once"),
        pytest.param([gpu(40_000), CPU], "15GB", FULL, True, id="a limit of the user's"),
        pytest.param([gpu(14_200), CPU], None, FULL, True, id="the largest just fits"),
        pytest.param(
            [gpu(14_199), CPU], None, [FULL[0], "cuda:0 bfloat16 sequential", *FULL[2:]], False, id="LLM by layers"
        ),
        pytest.param(
            [gpu(3_200), CPU],
            None,
            [FULL[0], "cuda:0 bfloat16 sequential", FULL[2], "cuda:0 float16 model"],
            True,
            id="LLM by layers, films a model at a time",
        ),
        pytest.param(
            [gpu(1_000), CPU],
            None,
            [FULL[0], "cpu float32 none", "cuda:0 float16 sequential", "cpu float32 none"],
            True,
            id="small",
        ),
        pytest.param(
            [gpu(9_000), gpu(20_000, 1), CPU],
            None,
            ["cuda:0 float16 none", "cuda:1 bfloat16 none", "cuda:1 float16 none", "cuda:0 float16 none"],
            False,
            id="two GPUs share",
        ),
        pytest.param(
            [gpu(30_000, 0, bfloat16=False), CPU], None, ["cuda:0 float16 none"] * 4, False, id="no bfloat16 there"
        ),
    ],
)
def test_auto(devices: list[Device], memory: str | None, wanted: list[str], turns: bool) -> None:
    plan = choose(NEEDS, devices, memory=15_000 * M if memory else None)
    assert spots(plan) == wanted
    assert any(plan.takes_turns(device) for device in plan.devices) is turns
    assert plan.decided is (len(devices) > 1)
    for device in plan.devices:
        assert plan.peak(device) <= plan.limits[device]


TWO = [gpu(40_000), gpu(40_000, 1), CPU]


@pytest.mark.parametrize(
    ("placement", "wanted"),
    [
        ({"llm": {"device": "cpu"}}, "cpu float32 none"),
        ({"llm": {"device": "cpu", "dtype": "bfloat16"}}, "cpu bfloat16 none"),
        ({"*": {"device": "cuda:1"}}, "cuda:1 bfloat16 none"),
        ({"*": {"device": "cuda:1"}, "llm": {"dtype": "float32"}}, "cuda:1 float32 none"),
        ({"llm": {"device": "cuda", "offload": "model"}}, "cuda:0 bfloat16 model"),
        ({"llm": {"offload": "sequential"}}, "cuda:0 bfloat16 sequential"),
    ],
)
def test_asked(placement: dict[str, Any], wanted: str) -> None:
    assert spots(choose(NEEDS, TWO, [asked(placement)]))[1] == wanted


@pytest.mark.parametrize(
    ("devices", "placement", "message"),
    [
        ([CPU], {"lm": {}}, r"placement: unknown part 'lm'\. Did you mean 'llm'\?"),
        ([CPU], {"llm": {"device": "cuda"}}, r"of llm: no device 'cuda' on this machine; there are: auto, cpu$"),
        (TWO, {"llm": {"device": "cuda:2"}}, r"no device 'cuda:2' .*; there are: auto, cuda:0, cuda:1, cpu, cuda"),
        ([CPU], {"llm": {"dtype": "float16"}}, r"float16 is not for cpu; take one of: auto, float32, bfloat16"),
        ([gpu(9, 0, False)], {"llm": {"dtype": "bfloat16"}}, r"bfloat16 is not for cuda:0; .* auto, float32, float16$"),
        (TWO, {"llm": {"device": "cpu", "offload": "model"}}, r"offload model needs a GPU to copy to"),
        (TWO, {"quantized": {"offload": "model"}}, r"of quantized: it is quantized, so it stays on the GPU"),
    ],
)
def test_what_cannot_be_asked(devices: list[Device], placement: dict[str, Any], message: str) -> None:
    needs = [*NEEDS, part("quantized", 10, movable=False)]
    with pytest.raises(PlacementError, match=message):
        choose(needs, devices, [asked(placement)])


def test_a_bundle_that_asks_for_offload_runs_without_a_gpu() -> None:
    assert spots(choose(NEEDS, [CPU], [asked({"*": {"offload": "model"}})])) == ["cpu float32 none"] * 4


def test_parts_with_one_problem_are_told_together() -> None:
    with pytest.raises(
        PlacementError, match=r"of encoders\.image, llm, generators\.image, generators\.video: no device"
    ):
        choose(NEEDS, [CPU], [asked({"*": {"device": "cuda:0"}})])


@pytest.mark.parametrize(
    ("devices", "memory", "placement", "message"),
    [
        ([CPU], 27_999 * M, {}, r"fit on cpu: llm 28\.0 GB \(float32\); there are 28\.0 GB to use\..*llm=bfloat16"),
        ([gpu(9_000), CPU], None, {"*": {"device": "cuda:0", "offload": "none"}}, r"on cuda:0: llm 14.0 GB.*=offload"),
        ([gpu(500), CPU], None, {"llm": {"device": "cuda:0"}}, r"on cuda:0: llm 1.4 GB .*Set --place llm=cpu, or"),
    ],
)
def test_what_can_never_fit(devices: list[Device], memory: int | None, placement: Any, message: str) -> None:
    plan = choose(NEEDS, devices, [asked(placement)], memory)
    with pytest.raises(OutOfMemory, match=message):
        plan.refuse(["llm"])


def test_free_memory_of_the_host_refuses_nothing() -> None:
    choose(NEEDS, [Device("cpu", 1)]).refuse(["llm", "generators.video"])


def test_quantized_weights_stay_whole_and_what_is_elsewhere_needs_nothing() -> None:
    quantized, remote = part("llm", 10, fixed=4000 * M, movable=False), Need("remote", "remote gpt")
    assert spots(choose([quantized, remote], [gpu(100), CPU])) == ["cuda:0 float16 none", "cpu float32 none"]
    assert spots(choose([quantized], [CPU])) == ["cpu float32 none"]
