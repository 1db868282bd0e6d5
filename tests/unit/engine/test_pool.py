"""The model pool, over a bundle whose parts are made of nothing."""

from __future__ import annotations

import gc
import threading
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest

from orchestrator.engine import pool as engine_pool
from orchestrator.engine.pool import ModelPool
from orchestrator.errors import BundleError, OutOfMemory
from orchestrator.models.placement.memory import MemoryPlan, PartPlan, Spot
from orchestrator.models.placement.needs import Need


class Model:
    """Something that was loaded."""


class Parts:
    """A bundle: two names for one part, and another."""

    marks: ClassVar = {"encoders.image": "clip", "encoders.video": "clip", "llm": "llama", "generators.image": "sd"}

    def fingerprint(self, part: str) -> str:
        return self.marks[part]


@pytest.fixture
def loads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What was loaded; loading takes a moment."""
    loaded: list[str] = []

    def load(bundle: Any, part: str, device: str, dtype: Any) -> object:
        time.sleep(0.02)
        loaded.append(part)
        return Model()

    monkeypatch.setattr(engine_pool, "load_part", load)
    return loaded


def plan(limit: int | None = None, device: str = "cpu", strict: bool = False) -> MemoryPlan:
    """Every part has 40 bytes of weights and runs in 8."""
    rows = tuple(PartPlan(Need(part, floats=10, work=2), Spot(device)) for part in Parts.marks)
    return MemoryPlan(rows, {} if limit is None else {device: limit}, frozenset({device} if strict else ()))


@contextmanager
def lend(
    pool: ModelPool, *parts: str, device: str = "cpu", told: list[str] | None = None, limit: int | None = None
) -> Iterator[Any]:
    """The model of one part, or those of several."""
    bundle: Any = Parts()
    with pool.lend(bundle, parts, plan(limit, device), [].append if told is None else told.append) as models:
        yield models[parts[0]] if len(parts) == 1 else models


def test_concurrent_users_load_once_and_take_turns(loads: list[str]) -> None:
    pool, models, inside, most = ModelPool(), [], [0], [0]

    def use() -> None:
        with lend(pool, "llm") as model:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            time.sleep(0.005)
            models.append(model)
            inside[0] -= 1

    threads = [threading.Thread(target=use) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert loads == ["llm"]
    assert (len(models), len(set(models)), most[0]) == (6, 1, 1)


def test_one_part_under_two_names_is_shared(loads: list[str]) -> None:
    pool, told = ModelPool(), []
    with lend(pool, "encoders.image", told=told) as first, lend(pool, "encoders.video", told=told) as second:
        assert first is second
    assert loads == told == ["encoders.image"]


def test_other_parts_and_devices_are_apart(loads: list[str]) -> None:
    pool = ModelPool()
    with lend(pool, "llm") as a, lend(pool, "encoders.image") as b, lend(pool, "llm", device="meta") as c:
        assert len({a, b, c}) == 3


def test_a_failed_load_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [BundleError("damaged"), "model"]

    def load(*_: Any) -> Any:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(engine_pool, "load_part", load)
    pool = ModelPool()
    with pytest.raises(BundleError, match="damaged"), lend(pool, "llm"):
        pass
    with lend(pool, "llm") as model:
        assert model == "model"


def test_an_error_of_the_user_frees_the_part(loads: list[str]) -> None:
    pool = ModelPool()
    with pytest.raises(ZeroDivisionError), lend(pool, "llm"):
        raise ZeroDivisionError
    done = threading.Event()

    def use() -> None:
        with lend(pool, "llm"):
            done.set()

    threading.Thread(target=use).start()
    assert done.wait(5)


@pytest.mark.parametrize(
    ("limit", "kept"),
    [
        (None, ["encoders.image", "llm", "generators.image"]),
        (128, ["encoders.image", "llm", "generators.image"]),  # 40 + 40, and 48 of the one that runs
        (127, ["llm", "generators.image"]),
        (88, ["llm", "generators.image"]),
        (87, ["generators.image"]),
        (48, ["generators.image"]),
        (40, ["generators.image"]),  # what running takes is an estimate: it goes ahead
    ],
)
def test_parts_make_room_for_others(loads: list[str], limit: int | None, kept: list[str]) -> None:
    pool = ModelPool()
    for part in ("encoders.image", "llm", "generators.image"):
        with lend(pool, part, limit=limit):
            pass
    del loads[:]
    assert pool.held("cpu") == 40 * len(kept)
    for part in kept:
        with lend(pool, part):
            pass
    assert loads == []


def test_the_least_recently_used_goes_first_and_is_freed(loads: list[str]) -> None:
    pool, seen = ModelPool(), {}
    for part in ("llm", "encoders.image", "llm", "generators.image"):
        with lend(pool, part, limit=100) as model:
            seen[part] = weakref.ref(model)
        del model
    gc.collect()
    assert [part for part, model in seen.items() if model()] == ["llm", "generators.image"]
    assert loads == ["llm", "encoders.image", "generators.image"]


def test_what_does_not_fit_beside_a_lent_part_waits_for_it(loads: list[str]) -> None:
    pool, order, begun = ModelPool(), list[str](), threading.Event()

    def second() -> None:
        begun.set()
        with lend(pool, "generators.image", limit=60):
            order.append("generator")

    with lend(pool, "llm", limit=60) as model:
        thread = threading.Thread(target=second)
        thread.start()
        begun.wait(5)
        time.sleep(0.05)
        order.append("llm")
        assert model is not None
    thread.join(5)
    assert order == ["llm", "generator"]
    assert pool.held("cpu") == 40


def test_parts_that_fit_together_are_used_at_once(loads: list[str]) -> None:
    pool, inside = ModelPool(), threading.Barrier(2, timeout=5)

    def use(part: str) -> None:
        with lend(pool, part, limit=96):
            inside.wait()

    threads = [threading.Thread(target=use, args=[part]) for part in ("llm", "generators.image")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not inside.broken


def test_nodes_that_need_each_others_parts_do_not_stop_each_other(loads: list[str]) -> None:
    pool, done = ModelPool(), []

    def use(*parts: str) -> None:
        for _ in range(10):
            with lend(pool, *parts, limit=100):
                done.append(parts)

    pairs = [("llm", "generators.image"), ("generators.image", "llm"), ("encoders.image", "llm")]
    threads = [threading.Thread(target=use, args=pair) for pair in pairs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(done) == 30


def test_two_names_of_one_part_in_one_node(loads: list[str]) -> None:
    pool = ModelPool()
    for _ in range(2):
        with lend(pool, "encoders.image", "encoders.video") as models:
            assert models["encoders.image"] is models["encoders.video"]
    assert loads == ["encoders.image"]
    assert pool.held("cpu") == 40


def test_what_can_never_fit_says_so(loads: list[str]) -> None:
    pool, bundle = ModelPool(), Parts()
    told = r"llm 40 B \(float32\) and generators.image 40 B \(float32\); there are 79 B to use.*--place llm=bfloat16"
    with (
        pytest.raises(OutOfMemory, match=told),
        pool.lend(bundle, ("llm", "generators.image"), plan(79, strict=True), print),  # type: ignore[arg-type]
    ):
        pass
    assert loads == []
