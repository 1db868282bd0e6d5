"""What a bundle asks to be trusted with, and what the user allows: it takes both."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.errors import BundleError, UserError
from orchestrator.models.bundle import Bundle, trust
from orchestrator.models.loading import load_part
from tests.unit.models.bundle.test_bundle import SPEC, write

ASKING = {"path": "llm", "trust": ["pickle", "remote_code"]}


@pytest.fixture
def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    monkeypatch.delenv(trust.VARIABLE, raising=False)
    return Bundle.open(write(tmp_path, SPEC | {"llm": ASKING}))


def test_a_bundle_cannot_grant_itself_trust(asking: Bundle) -> None:
    assert [told.split(" asks")[0] for told in trust.refusals(asking, "llm")] == ["bundle 'some': llm"] * 2
    assert trust.refusals(asking, "encoders.image") == []
    message = (
        r"pickles, which may run any code when they are read \(llm\); if you trust it, add `--trust pickle`, or set"
    )
    with pytest.raises(BundleError, match=message):
        load_part(asking, "llm", "cpu", None)  # type: ignore[arg-type]


def test_the_user_allows(asking: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(trust.VARIABLE, "pickle")
    assert ["remote_code" in told for told in trust.refusals(asking, "llm")] == [True]
    trust.allow(["remote_code"])
    assert trust.allowed() == {"pickle", "remote_code"}
    assert trust.refusals(asking, "llm") == []


def test_what_the_user_allows_gives_a_bundle_nothing_that_it_does_not_ask_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Bundle.open(write(tmp_path, SPEC))
    (tmp_path / "llm").mkdir()
    (tmp_path / "llm/pytorch_model.bin").touch()
    monkeypatch.setenv(trust.VARIABLE, "pickle")
    with pytest.raises(BundleError, match=r"has no weights: .* a pickle"):
        plain.weights("llm")


def test_unknown_words(asking: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"trust in 'pickel' is unknown\. Did you mean 'pickle'\?"):
        trust.allow(["pickel"])
    monkeypatch.setenv(trust.VARIABLE, "everything")
    with pytest.raises(UserError, match="trust in 'everything' is unknown"):
        trust.allowed()
    with pytest.raises(BundleError, match=r"llm\.trust\.0: Input should be 'pickle' or 'remote_code'"):
        Bundle.open(write(tmp_path / "b", SPEC | {"llm": ASKING | {"trust": ["code"]}}))
