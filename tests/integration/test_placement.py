"""Whole flows with parts in places that are asked for, over the tiny bundle. The CPU stands for the GPU that there is
not: what is offloaded is copied to it as it would be to one."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from orchestrator.cli.main import main
from orchestrator.engine import flow as engine_flow
from orchestrator.engine.events import Event
from orchestrator.engine.flow import Flow
from orchestrator.engine.pool import ModelPool
from orchestrator.engine.store import Store
from orchestrator.errors import OutOfMemory, PlacementError
from orchestrator.models.bundle import BUNDLE_FILE, Bundle
from orchestrator.models.loading import load_part
from orchestrator.models.placement import offload
from orchestrator.models.placement.memory import Offload, Spot
from orchestrator.models.placement.placing import Device
from orchestrator.nodes.generate import Generate

PICTURE = np.random.default_rng(0).integers(0, 256, (40, 48, 3), np.uint8)


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine_flow, "STORE", Store())
    monkeypatch.setattr(engine_flow, "POOL", ModelPool())


@pytest.fixture
def film(tiny_bundle: Path) -> Flow:
    return Flow.arrow("image -> text -> video", tiny_bundle).with_fields({"reason.max_new_tokens": 6})


def loaded(flow: Flow, **options: Any) -> tuple[list[str], bytes]:
    """The parts that a run loads, in order, and its film."""
    events: list[Event] = []
    result = flow.run(image=PICTURE, seed=7, cache=False, on_event=events.append, **options)
    parts = [event.as_dict()["part"] for event in events if event.kind == "load_started"]
    return parts, result["video"].video.frames.tobytes()


def test_a_limit_makes_parts_take_turns_and_changes_nothing(film: Flow) -> None:
    every, wanted = loaded(film)
    largest = max(row.lent for row in film.memory_plan().rows)
    engine_flow.POOL = ModelPool()
    some, made = loaded(film, memory=largest)
    assert made == wanted
    assert sorted(set(some)) == sorted(every)
    assert engine_flow.POOL.held("cpu") <= largest
    assert loaded(film, memory=largest)[0]  # what made room is loaded again
    with pytest.raises(OutOfMemory, match=r"do not fit on cpu: generators\.video .* to use\..*or a higher --memory"):
        loaded(film, memory=largest - 1)


def test_another_precision_is_another_result(film: Flow) -> None:
    first = film.run(image=PICTURE)
    again = film.run(image=PICTURE, placement={"encoders.image": {"dtype": "bfloat16"}})
    status = {node.name: node.status for node in again.nodes}
    assert (status["encode"], status["generate_2"]) == ("ran", "ran")
    assert all(node.device == "cpu" for node in first.nodes)
    everything = film.run(image=PICTURE, placement={"*": {"dtype": "bfloat16"}})
    assert everything["video"].video.frames.shape == first["video"].video.frames.shape


def test_a_bundle_says_where(film: Flow, tiny_bundle: Path, tmp_path: Path) -> None:
    root = shutil.copytree(tiny_bundle, tmp_path / "bundle")
    spec = yaml.safe_load((root / BUNDLE_FILE).read_text())
    spec["placement"] = {"llm": {"dtype": "bfloat16"}, "*": {"offload": "model"}}
    (root / BUNDLE_FILE).write_text(yaml.safe_dump(spec))
    plan = Flow(film.spec, root).memory_plan()
    assert {row.part: row.spot for row in plan.rows} == {
        row.part: Spot("cpu", "bfloat16" if row.part == "llm" else "float32") for row in film.memory_plan().rows
    }
    spec["placement"] = {"lm": {"dtype": "bfloat16"}}
    (root / BUNDLE_FILE).write_text(yaml.safe_dump(spec))
    with pytest.raises(PlacementError, match=r"unknown part 'lm'\. Did you mean 'llm'"):
        Flow(film.spec, root).run(image=PICTURE)


def at_work(part: str, model: Any) -> Any:
    """What a part of the tiny bundle makes of something."""
    if part == "llm":
        return model.generate([model.prompt(["a dog"])], max_new_tokens=5)[0]
    if part.startswith("encoders"):
        return model([PICTURE])[0]
    if part.startswith("output_projectors"):
        return model(torch.ones(1, 24, 32))
    condition = model.encode_text(["a dog"])
    return torch.from_numpy(np.stack(model.generate(condition, {}, [7], lambda step, preview: None)))


@pytest.mark.parametrize("kind", ["model", "sequential"])
@pytest.mark.parametrize("part", ["llm", "encoders.image", "output_projectors.video", "generators.video"])
def test_offloaded_parts_give_the_same(tiny_bundle: Path, part: str, kind: Offload) -> None:
    bundle, spot = Bundle.open(tiny_bundle), Spot("cpu", "float32", kind)
    whole, model = (load_part(bundle, part, "cpu", torch.float32) for _ in range(2))
    offload.attach(model, spot)
    with torch.no_grad():
        for _ in range(2):
            with offload.present(model, spot):
                assert torch.equal(at_work(part, model), at_work(part, whole))


@pytest.mark.parametrize("part", ["llm", "encoders.image", "generators.video"])
def test_layers_of_a_streamed_part_are_not_kept(tiny_bundle: Path, part: str) -> None:
    model = load_part(Bundle.open(tiny_bundle), part, "cpu", torch.float32)
    offload.attach(model, Spot("cpu", "float32", "sequential"))
    tensors = [p for module in offload.modules(model) for p in module.parameters()]
    away = sum(p.numel() for p in tensors if p.device.type == "meta")
    assert away > 0.3 * sum(p.numel() for p in tensors)


def test_a_model_is_on_its_device_only_while_it_is_lent(tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spot = Spot("cpu", "float32", "model")
    monkeypatch.setattr(offload, "_to", lambda tensor, device: tensor.clone())
    model = load_part(Bundle.open(tiny_bundle), "encoders.image", "cpu", torch.float32)
    offload.attach(model, spot)
    before = [p.data_ptr() for p in model.model.parameters()]
    with offload.present(model, spot):
        assert not {p.data_ptr() for p in model.model.parameters()} & set(before)
    assert [p.data_ptr() for p in model.model.parameters()] == before  # frozen: nothing was copied back


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] err == 0. DefaultCPUAllocator: can't allocate memory"),
        MemoryError(),
    ],
    ids=["cuda", "cpu", "python"],
)
def test_out_of_memory_names_all_that_helps(film: Flow, error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Generate, "run", run)
    with pytest.raises(OutOfMemory) as caught:
        film.run(image=PICTURE)
    told = str(caught.value)
    assert told.startswith("node 'generate_2' (generate) ran out of memory on cpu: generators.video has ")
    for word in ("(float32)", "to run;", "is free now", "--place generators.video=bfloat16", "--memory"):
        assert word in told
    for field in ("width", "height", "frames", "seconds"):
        assert f"a smaller {field} (--set generate_2.{field}=...)" in told


def test_the_command_tells_the_plan_first(
    tiny_bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["run", "text -> image", "-i", "text=a dog", "--bundle", str(tiny_bundle), "--out", str(tmp_path)]
    assert main([*words, "--place", "generators.image=bfloat16", "--memory", "1GB"]) == 0
    err = capsys.readouterr().err
    assert err.index("of 1.0 GB to use") < err.index(" ran ")
    assert "bfloat16" in err
    assert main([*words, "--place", "generators.image=cuda:0"]) == 2
    assert "placement of generators.image: no device 'cuda:0' on this machine" in capsys.readouterr().err


def test_two_gpus_share_a_flow(film: Flow, monkeypatch: pytest.MonkeyPatch) -> None:
    gpus = [Device("cuda:0", 8 * 10**9), Device("cuda:1", 8 * 10**9), Device("cpu", 8 * 10**9)]
    monkeypatch.setattr(engine_flow, "machine", lambda: gpus)
    plan = film.memory_plan()
    assert plan.decided
    assert {row.spot.device for row in plan.rows} == {"cuda:0", "cuda:1"}
    assert {row.spot for row in film.memory_plan("cuda:1").rows} == {Spot("cuda:1", "float16")}
    assert {row.spot for row in film.memory_plan("cpu").rows} == {Spot()}
    assert film.memory_plan(placement={"llm": {"offload": "model"}})["llm"].held == 0
