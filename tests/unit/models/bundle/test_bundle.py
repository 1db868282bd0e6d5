"""Opening a bundle: what is refused, and what its parts are called."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from orchestrator.errors import BundleError
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle import bundle as bundles

SPEC: dict[str, Any] = {
    "name": "some",
    "llm": {"path": "llm"},
    "encoders": {"image": {"path": "enc", "id": "hub/enc"}, "video": {"path": "enc", "id": "hub/enc"}},
    "signals": {"video": {"count": 2, "token": "[V{}]"}},
}


def write(folder: Path, spec: Any = SPEC) -> Path:
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "bundle.yaml").write_text(spec if isinstance(spec, str) else yaml.safe_dump(spec))
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A bundle whose parts have a config and one tensor."""
    for part in ("llm", "enc"):
        (tmp_path / part).mkdir()
        (tmp_path / part / "config.json").write_text('{"hidden_size": 4}')
        save_file({"w": torch.ones(3)}, tmp_path / part / "model.safetensors")
    return write(tmp_path)


def test_by_path_and_by_name(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert Bundle.open(root).name == Bundle.open(str(root)).name == "some"
    monkeypatch.setattr(bundles, "_shipped", lambda: root.parent)
    monkeypatch.chdir("/")
    assert Bundle.open(root.name).root == root
    assert root.name in Bundle.known()


def test_unknown_name_tells_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "pocket")
    monkeypatch.setattr(bundles, "_shipped", lambda: tmp_path)
    monkeypatch.chdir("/")
    with pytest.raises(BundleError, match=r"unknown bundle 'pockte': neither a folder.*Did you mean 'pocket'\?"):
        Bundle.open("pockte")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("name: [", "not valid YAML"),
        ("name: a\n\tb: c", "not valid YAML"),
        ("", "Input should be a valid dictionary"),
        ("- a", "Input should be a valid dictionary"),
        ("!!python/object/apply:os.system [ls]", "not valid YAML"),
        ("name: x", r"llm: Field required"),
        (
            SPEC | {"signals": {"video": {"count": 0, "token": "[V{}]"}}},
            r"signals\.video\.count: .*greater than or equal",
        ),
        (SPEC | {"signals": {"video": {"count": 2, "token": "[V]"}}}, r"signals\.video\.token: .*pattern"),
        (SPEC | {"encoders": {"image": {"path": "e", "select": "some"}}}, r"encoders\.image\.select: .*'pooled'"),
    ],
)
def test_bad_files(tmp_path: Path, content: Any, message: str) -> None:
    with pytest.raises(BundleError, match=message) as caught:
        Bundle.open(write(tmp_path, content))
    assert str(tmp_path / "bundle.yaml") in str(caught.value)


def test_not_a_text(tmp_path: Path) -> None:
    (tmp_path / "bundle.yaml").write_bytes(b"name: \xff")
    with pytest.raises(BundleError, match=r"bundle\.yaml: not valid YAML: .*0xff"):
        Bundle.open(tmp_path)


def test_unknown_fields_are_told_all_at_once(tmp_path: Path) -> None:
    wrong = {"name": "x", "llm": {"path": "llm", "chatt": "a"}, "encodres": {}, "generators": {"video": {}}}
    with pytest.raises(BundleError) as caught:
        Bundle.open(write(tmp_path, wrong))
    told = str(caught.value).splitlines()
    assert [line.split(": ")[1] for line in told] == ["llm.chatt", "generators.video", "encodres"]


def test_a_folder_without_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"is no bundle: it has no bundle\.yaml"):
        Bundle.open(tmp_path)


@pytest.mark.parametrize("place", ["../outside", "/", "link"])
def test_a_part_outside_the_folder_is_refused(tmp_path: Path, place: str) -> None:
    (tmp_path / "outside").mkdir()
    root = write(tmp_path / "b", SPEC | {"llm": {"path": place}})
    (root / "link").symlink_to(tmp_path / "outside")
    with pytest.raises(BundleError, match=f"bundle 'some': llm points outside the bundle: {place}"):
        Bundle.open(root).path("llm")


def test_a_missing_part(root: Path) -> None:
    made = Bundle.open(root)
    with pytest.raises(BundleError, match=r"bundle 'some' has no encoders\.audio; its encoders are: image, video"):
        made.path("encoders.audio")
    (root / "llm").rename(root / "gone")
    with pytest.raises(BundleError, match=r"bundle 'some': llm is missing: there is no folder .*llm"):
        made.path("llm")


def test_parts_and_ids(root: Path) -> None:
    made = Bundle.open(root)
    assert made.names() == ["llm", "encoders.image", "encoders.video"]
    assert (made.id("llm"), made.id("encoders.image")) == ("some/llm", "hub/enc")
    assert made.size("llm") == (root / "llm" / "model.safetensors").stat().st_size


def fingerprints(root: Path) -> dict[str, str]:
    made = Bundle.open(root)
    return {part: made.fingerprint(part) for part in made.names()}


def test_fingerprint_is_that_of_weights_and_settings(root: Path) -> None:
    first = fingerprints(root)
    assert first == fingerprints(root)
    assert first["encoders.image"] == first["encoders.video"], "one folder, the same settings: loaded once"
    assert first["llm"] != first["encoders.image"]


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        (lambda root: (root / "llm/config.json").write_text("{}"), {"llm"}),
        (lambda root: (root / "llm/chat_template.jinja").write_text("x"), {"llm"}),
        (lambda root: (root / "enc/merges.txt").write_text("x"), {"encoders.image", "encoders.video"}),
        (lambda root: save_file({"v": torch.ones(3)}, root / "llm/model.safetensors"), {"llm"}),
        (lambda root: os.utime(root / "llm/model.safetensors", (1, 1)), {"llm"}),
        (lambda root: write(root, SPEC | {"llm": {"path": "llm", "chat": "pocket"}}), {"llm"}),
        (lambda root: write(root, SPEC | {"signals": {"video": {"count": 3, "token": "[V{}]"}}}), {"llm"}),
        (lambda root: write(root, SPEC | {"name": "other"}), set()),
    ],
    ids=["config", "chat template", "merges", "tensors", "time", "settings", "signals", "name"],
)
def test_a_change_shows_in_the_fingerprint(root: Path, change: Any, parts: set[str]) -> None:
    before = fingerprints(root)
    change(root)
    after = fingerprints(root)
    assert {part for part in before if before[part] != after[part]} == parts
