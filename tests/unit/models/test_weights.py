"""Weight files, looked at without loading them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from orchestrator.errors import BundleError
from orchestrator.models import weights


@pytest.fixture
def file(tmp_path: Path) -> Path:
    save_file({"a": torch.ones(2, 3), "b": torch.zeros(4)}, tmp_path / "m.safetensors", metadata={"x": "y"})
    return tmp_path / "m.safetensors"


def test_sound(file: Path) -> None:
    assert weights.damage(file) is None
    assert {name: entry["shape"] for name, entry in weights.tensors(file).items()} == {"a": [2, 3], "b": [4]}
    assert weights.files(file.parent) == [file]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda data: data[:-1], r"it has \d+ bytes, its header says \d+"),
        (lambda data: data + b"x", r"it has \d+ bytes, its header says \d+"),
        (lambda data: data[:20], r"its header is \d+ bytes long, the file 20"),
        (lambda data: b"", r"its header is 0 bytes long, the file 0"),
        (lambda data: b"abc", r"its header is \d+ bytes long, the file 3"),
        (lambda data: b"garbage " * 20, r"its header is \d+ bytes long, the file 160"),
        (lambda data: data[:8] + b"#" + data[9:], r"Expecting value"),
        (lambda data: (4).to_bytes(8, "little") + b"[1] ", r"its header is no table of tensors"),
        (lambda data: (13).to_bytes(8, "little") + b'{"a":{"b":1}}', r"does not say where its tensors stand"),
        (lambda data: (24).to_bytes(8, "little") + b'{"a":{"data_offsets":1' + b"}}", r"does not say where"),
        (lambda data: (4).to_bytes(8, "little") + b'"\xff"x', r"'utf-8' codec can't decode"),
    ],
)
def test_damage_is_named(file: Path, change: Callable[[bytes], bytes], message: str) -> None:
    file.write_bytes(change(file.read_bytes()))
    found = weights.damage(file)
    assert found
    assert re.match(rf"{file} is damaged: .*{message}", found)


def test_no_weights(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").touch()
    with pytest.raises(BundleError, match=r"has no weights: no \*\.safetensors file in it"):
        weights.files(tmp_path)


def test_sums(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    for name in ("a", "b", "deep/c"):
        (tmp_path / name).write_text(name)
    assert list(weights.sum_problems(tmp_path, "SHA256SUMS")) == []  # no file, no promise
    weights.write_sums(tmp_path, "SHA256SUMS")
    assert (tmp_path / "SHA256SUMS").read_text().splitlines()[2].endswith("  deep/c")
    assert list(weights.sum_problems(tmp_path, "SHA256SUMS")) == []
    (tmp_path / "a").unlink()
    (tmp_path / "deep/c").write_text("other")
    assert list(weights.sum_problems(tmp_path, "SHA256SUMS")) == [
        f"{tmp_path / 'a'} is missing",
        f"{tmp_path / 'deep/c'} is not the file that SHA256SUMS was written for: its SHA-256 differs",
    ]
