from __future__ import annotations

import pytest
import torch

from orchestrator.errors import UserError
from orchestrator.models.placement.devices import dtype_for, resolve_device


@pytest.mark.parametrize(
    ("gpus", "asked", "found"),
    [(0, "auto", "cpu"), (0, "cpu", "cpu"), (2, "auto", "cuda:0"), (2, "cuda", "cuda:0"), (2, "cuda:1", "cuda:1")],
)
def test_devices(gpus: int, asked: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert resolve_device(asked) == found


@pytest.mark.parametrize(("gpus", "asked"), [(0, "cuda"), (1, "cuda:1"), (1, "gpu")])
def test_devices_that_are_not_there(gpus: int, asked: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    with pytest.raises(UserError, match=rf"no device '{asked}' on this machine; there are: cpu"):
        resolve_device(asked)


def test_precision() -> None:
    assert (dtype_for("cpu"), dtype_for("cuda:0")) == (torch.float32, torch.float16)
