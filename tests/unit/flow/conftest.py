from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def film_this() -> str:
    """The flow of the docs, which tests break in one place each."""
    comment, _, text = (
        (Path(__file__).parents[3] / "flows" / "film_this.yaml").read_text(encoding="utf-8").partition("\n")
    )
    assert comment.startswith("# ")
    return text
