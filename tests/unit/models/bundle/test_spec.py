"""What a part may say of where it is; what counts in its fingerprint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import ValidationError

from orchestrator.errors import BundleError
from orchestrator.models.bundle import Bundle, places
from orchestrator.models.bundle.spec import EncoderSpec, GeneratorSpec, LlmSpec

COMMIT = "3" * 40
URL = {"url": "http://h:8000/v1", "model": "m"}


@pytest.mark.parametrize(
    ("fields", "place", "name", "pinned"),
    [
        ({"path": "llm"}, "path", "llm", True),
        ({"checkpoint": "~/models/qwen/"}, "checkpoint", "qwen", True),
        ({"hub": "org/qwen", "revision": COMMIT}, "hub", "org/qwen", True),
        ({"hub": "org/qwen", "revision": "main"}, "hub", "org/qwen", False),
        ({"hub": "org/qwen"}, "hub", "org/qwen", False),
        ({"hub": "org/qwen", "subfolder": "a/b"}, "hub", "org/qwen/a/b", False),
        (URL, "url", "http://h:8000/v1", True),
    ],
)
def test_one_place(fields: dict[str, str], place: str, name: str, pinned: bool) -> None:
    spec = LlmSpec(**fields)
    assert (spec.place, spec.name, spec.pinned) == (place, name, pinned)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "does not say where it is; give one of path, checkpoint, hub, url"),
        ({"path": "a", "hub": "o/b"}, "gives path and hub; give one of"),
        ({"path": "a", "revision": COMMIT}, "revision goes with hub, which is not given"),
        ({"path": "a", "subfolder": "b"}, "subfolder goes with hub"),
        ({"path": "a", "key": "A_KEY", "retries": 2}, "key goes with url, .*; retries goes with url"),
        ({"hub": "qwen"}, "hub\n.*should match pattern"),
        ({"hub": "../../etc/passwd"}, "hub\n.*should match pattern"),
        ({"url": "http://h/v1"}, "url needs a model: its name at the endpoint"),
        ({**URL, "chat": "pocket", "adapter": "lora"}, "chat, adapter: of an LLM that runs here, not of one at a url"),
        ({**URL, "url": "h:8000"}, r"no http\(s\) address without user and password; write e\.g\."),
        ({**URL, "url": "http://me:secret@h/v1"}, r"no http\(s\) address without user and password"),
        (
            {**URL, "key": "sk-123"},
            "the name of an environment variable, never the key itself; write e.g. OPENAI_API_KEY",
        ),
        ({**URL, "timeout": 0}, "timeout\n.*greater than 0"),
    ],
)
def test_places_that_are_none(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=f"(?s){message}"):
        LlmSpec(**fields)


def test_a_key_in_the_file_is_not_repeated(tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump({"name": "b", "llm": {**URL, "key": "sk-very-secret"}}))
    with pytest.raises(BundleError, match=r"llm\.key: the name of an environment variable") as caught:
        Bundle.open(tmp_path)
    assert "sk-very-secret" not in str(caught.value)


def test_only_an_llm_is_remote() -> None:
    for kind in (EncoderSpec, GeneratorSpec):
        with pytest.raises(ValidationError, match=r"Extra inputs are not permitted"):
            kind(**URL)


def test_later_fields_leave_old_fingerprints_alone() -> None:
    """Their keys name results that are kept on disk."""
    spec = LlmSpec(path="llm", chat="pocket")
    assert repr(spec) == "LlmSpec(path='llm', id='', chat='pocket', media={}, adapter='')"
    assert spec.later() == {}
    assert LlmSpec(hub="o/m", trust=("pickle",)).later() == {"hub": "o/m", "trust": ("pickle",)}
    assert LlmSpec(**URL, key="K", timeout=3, retries=0).later() == URL


def test_what_is_not_pinned_is_warned_of(tmp_path: Path) -> None:
    parts = {"image": {"hub": "o/clip"}, "audio": {"hub": "o/whisper", "revision": COMMIT}}
    spec = {"name": "b", "llm": {"path": "llm"}, "encoders": parts}
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(spec))
    (told,) = places.warnings(Bundle.open(tmp_path))
    assert told == (
        "bundle 'b': encoders.image: o/clip is not pinned, so it may change; "
        "`orch bundle fetch` tells the commit to write as `revision:`"
    )


def test_a_derived_bundle_takes_another_llm(tmp_path: Path) -> None:
    base, new = tmp_path / "old", tmp_path / "new"
    for folder, spec in (
        (base, {"name": "old", "llm": {"path": "llm", "chat": "pocket"}, "encoders": {"image": {"path": "clip"}}}),
        (new, {"name": "new", "base": "../old", "llm": URL}),
    ):
        folder.mkdir()
        (folder / "bundle.yaml").write_text(yaml.safe_dump(spec))
    (base / "clip").mkdir()
    made = Bundle.open(new)
    assert (made.remote, made.spec.llm.chat, made.kind("llm")) == (True, "", "remote m")
    assert made.path("encoders.image") == (base / "clip").resolve()
