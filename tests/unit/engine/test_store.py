"""The store and its files: values come back as they went in, and the limits hold."""

from __future__ import annotations

import threading
from dataclasses import fields, is_dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.engine import codec
from orchestrator.engine.store import Store
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import Span
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.nodes.ports import Condition, Features, Prompts, Reply, Signals

RANDOM = np.random.default_rng(0)
HALF = torch.randn(3, 4).to(torch.bfloat16)
STATES = torch.randn(6, 4)
NOISE = RANDOM.integers(0, 256, (2, 5, 7, 3), np.uint8)
IDS = torch.tensor([5, 6, 7])
VALUES: dict[str, Any] = {
    "features": Features("video", torch.randn(10, 4), frames=5),
    "prompts": Prompts("image", HALF),
    "reply": Reply("a dog", IDS, (Span("video", 1, 3, 5, "a dog"),), STATES, -STATES),
    "reply without signals": Reply("hi", IDS),
    "reply of a text-only LLM": Reply("hi"),
    "signals": Signals("image", (Call("image", "a", 1, STATES[:3], STATES[3:]), Call("image", "b", 2))),
    "condition": Condition(
        "video", ({"prompt_embeds": torch.randn(1, 3, 4)},), ("a",), "caption", {"content": [1, "x"]}
    ),
    "text": Media.load("grün ☃\n\ttwo", "text"),
    "image": Media.load(NOISE[0]),
    "image of a file": Media("image", NOISE[0], key="ab" * 32),
    "mono": Media.load(Audio(RANDOM.uniform(-1, 1, 20).astype(np.float32), 16000)),
    "stereo": Media.load(Audio(RANDOM.uniform(-1, 1, (20, 2)).astype(np.float32), 44100)),
    "video": Media.load(Video(NOISE, 8)),
    "video of a camera": Media.load(Video(NOISE, Fraction(30000, 1001))),
    "several": (Media.load("a", "text"), Media.load("b", "text")),
    "turned": torch.arange(6).reshape(2, 3).T,
}


def plain(value: Any) -> Any:
    """A value in parts that can be compared; tensors and pixels by their bytes."""
    if isinstance(value, torch.Tensor):
        return str(value.dtype), tuple(value.shape), value.reshape(-1).view(torch.uint8).tolist()
    if isinstance(value, np.ndarray):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, Media):
        content = np.array(value.image) if value.modality == "image" else getattr(value, value.modality)
        return value.modality, value.key, value.meta, plain(content)
    if is_dataclass(value):
        return type(value).__name__, [plain(getattr(value, f.name)) for f in fields(value)]
    if isinstance(value, (tuple, list)):
        return type(value).__name__, [plain(item) for item in value]
    return {k: plain(v) for k, v in value.items()} if isinstance(value, dict) else (type(value).__name__, value)


@pytest.mark.parametrize("name", VALUES)
def test_files_lose_nothing(name: str, tmp_path: Path) -> None:
    codec.save({"port": VALUES[name]}, tmp_path / "x")
    assert plain(codec.load(tmp_path / "x")) == plain({"port": VALUES[name]})


def test_ports_may_share_a_tensor(tmp_path: Path) -> None:
    whole = torch.randn(4, 2)
    outputs = {"a": whole, "b": whole, "part": whole[1:3]}
    codec.save(outputs, tmp_path / "x")
    assert plain(codec.load(tmp_path / "x")) == plain(outputs)


def test_tensors_with_gradients_can_be_written(tmp_path: Path) -> None:
    codec.save({"a": torch.ones(2, requires_grad=True)}, tmp_path / "x")
    assert not codec.load(tmp_path / "x")["a"].requires_grad


@pytest.mark.parametrize(
    ("value", "size"),
    [
        (torch.zeros(10, 4), 160),
        (VALUES["features"], 160),
        (VALUES["reply"], 24 + 2 * 96),
        (VALUES["image"], 5 * 7 * 3),
        (VALUES["mono"], 80),
        (VALUES["video"], NOISE.nbytes),
        ({"a": torch.zeros(1), "b": (torch.zeros(1), torch.zeros(1))}, 12),
    ],
)
def test_size_counts_what_is_large(value: Any, size: int) -> None:
    assert size <= codec.size(value) <= size + 64


def entry(i: int) -> dict[str, Any]:
    return {"out": torch.full((250,), float(i))}  # 1000 bytes


def number(store: Store, key: str) -> float | None:
    found = store.get(key)
    return None if found is None else float(found["out"][0])


def test_least_recently_used_goes_to_disk_and_comes_back() -> None:
    store = Store(memory=2500)
    for i in range(2):
        store.put(f"k{i}", entry(i))
    assert number(store, "k0") == 0  # used: k1 is the oldest now
    store.put("k2", entry(2))
    assert (set(store._values), set(store._files)) == ({"k0", "k2"}, {"k1"})
    assert number(store, "k1") == 1
    assert (set(store._values), set(store._files)) == ({"k2", "k1"}, {"k0"})
    assert store._folder
    assert [p.name for p in store._folder.iterdir()] == ["k0.safetensors"]


def test_disk_has_a_limit_too() -> None:
    store = Store(memory=1000, disk=2000)
    for i in range(5):
        store.put(f"k{i}", entry(i))
    assert [number(store, f"k{i}") for i in (0, 1)] == [None, None]
    assert store._folder
    assert len(list(store._folder.iterdir())) == 2


def test_one_entry_may_be_larger_than_the_memory() -> None:
    store = Store(memory=10)
    store.put("k", entry(3))
    assert number(store, "k") == 3


def test_a_new_value_takes_the_place_of_one_on_disk() -> None:
    store = Store(memory=1000)
    store.put("k0", entry(0))
    store.put("k1", entry(1))  # k0 is on disk
    store.put("k0", entry(7))
    assert number(store, "k0") == 7
    assert set(store._values) & set(store._files) == set()
    assert number(store, "k1") == 1


def test_handles() -> None:
    store = Store()
    store.put("k", entry(4))
    assert store.value("k#out")[0] == 4
    with pytest.raises(KeyError, match="gone#out"):
        store.value("gone#out")


def test_files_go_with_the_store() -> None:
    store = Store(memory=1000)
    for i in range(2):
        store.put(f"k{i}", entry(i))
    folder = store._folder
    assert folder
    assert folder.exists()
    del store
    assert not folder.exists()


def test_many_threads() -> None:
    store, wrong = Store(memory=3000, disk=10**6), []

    def work(mine: int) -> None:
        for i in range(30):
            key = f"k{(i * mine) % 7}"
            store.put(key, entry(int(key[1:])))
            if number(store, key) != int(key[1:]):
                wrong.append(key)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(size for _, size in store._values.values()) == store._held <= 3000
    assert sum(size for _, size in store._files.values()) == store._filed
