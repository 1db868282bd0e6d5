from __future__ import annotations

import pytest

from orchestrator.errors import UserError
from orchestrator.models.placement.sizes import read_size, size


@pytest.mark.parametrize(
    ("text", "count"),
    [("8GB", 8 * 10**9), ("512 mb", 512 * 10**6), ("2.5GiB", 2684354560), ("7", 7), (9, 9), ("10 kB", 10_000)],
)
def test_read(text: str | int, count: int) -> None:
    assert read_size(text) == count


@pytest.mark.parametrize("text", ["", "GB", "-1GB", "8 gigs", "0", 0, "1e9", -5])
def test_no_amount(text: str | int) -> None:
    with pytest.raises(UserError, match=rf"memory: '{text}' is no amount of memory; write for example 8GB"):
        read_size(text)


@pytest.mark.parametrize(("count", "text"), [(0, "0 B"), (999, "999 B"), (1500, "1.5 kB"), (3.2e9, "3.2 GB")])
def test_write(count: float, text: str) -> None:
    assert size(count) == text
