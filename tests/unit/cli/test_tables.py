from __future__ import annotations

import pytest

from orchestrator.cli.tables import size


@pytest.mark.parametrize(
    ("count", "shown"), [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (9_150_000, "9.2 MB"), (7 * 10**9, "7.0 GB")]
)
def test_sizes(count: int, shown: str) -> None:
    assert size(count) == shown
