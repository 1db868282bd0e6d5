"""Parts of the hub, from a hub on this machine: sizes first, then what is needed, and everything that can go wrong."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from orchestrator.errors import BundleError, RetryError
from orchestrator.models.bundle import Bundle, hub
from orchestrator.models.bundle.spec import EncoderSpec, GeneratorSpec
from orchestrator.models.bundle.verify import verify
from tests.hub import FIRST, Hub, checkpoint, served_at
from tests.unit.models.bundle.test_bundle import write

NAMES = ["config.json", "model.safetensors"]
OTHER = "2" * 40


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with served_at(tmp_path, monkeypatch) as found:
        yield found


def spec(**fields: Any) -> EncoderSpec:
    return EncoderSpec(**{"hub": "org/clip", "revision": FIRST, **fields})


def bundle(folder: Path, **fields: Any) -> Bundle:
    parts = {"image": {"hub": "org/clip", **fields}, "video": {"hub": "org/clip", **fields}}
    return Bundle.open(write(folder, {"name": "b", "llm": {"path": "llm"}, "encoders": parts}))


def test_sizes_first_then_what_is_needed(served: Hub) -> None:
    wanted = hub.want(spec())
    root = served.repositories["org/clip"]
    assert wanted.files == {name: (root / name).stat().st_size for name in NAMES}
    assert (wanted.missing, wanted.bytes) == (wanted.files, sum(wanted.files.values()))
    assert served.downloads() == []
    assert hub.folder(spec()) is None
    folder = hub.fetch(wanted)
    assert sorted(served.downloads()) == sorted(path.name for path in folder.iterdir()) == NAMES
    assert (hub.folder(spec()), wanted.bytes, folder.name) == (folder, 0, FIRST)
    hub.fetch(wanted)
    assert len(served.downloads()) == len(NAMES), "what is there is not fetched again"


def test_a_revision_that_is_no_commit_is_resolved(served: Hub) -> None:
    for revision in ("", "main"):
        assert hub.commit(spec(revision=revision)) is None
        assert hub.want(spec(revision=revision)).commit == FIRST
    hub.fetch(hub.want(spec(revision="")))
    assert hub.commit(spec(revision="")) == FIRST
    assert hub.folder(spec(revision="")) == hub.folder(spec())


def test_a_revision_that_moves_meanwhile(served: Hub) -> None:
    wanted = replace(hub.want(spec(revision="")), commit=OTHER)
    with pytest.raises(RetryError, match=f"org/clip has just changed, from {OTHER} to {FIRST}; try again"):
        hub.fetch(wanted)


def test_a_pipeline_in_a_subfolder(served: Hub) -> None:
    root = served.repositories["org/clip"] / "deep"
    (checkpoint(root / "unet") / "config.json").write_text("{}")
    checkpoint(root / "safety_checker")
    index = {"_class_name": "X", "unet": ["diffusers", "U"], "safety_checker": ["diffusers", "C"]}
    (root / "model_index.json").write_text(json.dumps(index))
    wanted = hub.want(GeneratorSpec(hub="org/clip", revision=FIRST, subfolder="deep"))
    assert list(wanted.files) == ["deep/model_index.json", "deep/unet/config.json", "deep/unet/model.safetensors"]
    assert served.downloads() == ["deep/model_index.json"]
    assert hub.fetch(wanted).name == "deep"
    assert not (hub.fetch(wanted) / "safety_checker").exists()


def test_a_download_that_broke_goes_on(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 100)
    served.breaks.add("model.safetensors")
    folder = hub.fetch(hub.want(spec()))
    ranges = [r for method, path, r in served.asked if method == "GET" and path.endswith(".safetensors")]
    size = (served.repositories["org/clip"] / "model.safetensors").stat().st_size
    assert ranges == ["", f"bytes={size // 2 // 100 * 100}-"]
    assert (folder / "model.safetensors").stat().st_size == size


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"hub": "org/clop"}, r"the hub has no org/clop, or it is private; check the name, or `hf auth login`"),
        ({"revision": OTHER}, rf"org/clip has no revision '{OTHER}'; write one of its commits"),
        ({"revision": "v2"}, r"org/clip has no revision 'v2'"),
        ({"subfolder": "none"}, rf"org/clip/none at {FIRST[:12]} has no weights: no \*\.safetensors file in it"),
    ],
)
def test_what_the_hub_has_not(served: Hub, fields: dict[str, str], message: str) -> None:
    with pytest.raises(BundleError, match=message):
        hub.want(spec(**fields))


def test_a_gated_repository(served: Hub) -> None:
    served.gated.add("org/clip")
    with pytest.raises(
        BundleError, match=r"org/clip at 1+ is gated: accept its terms on its page, then `hf auth login`"
    ):
        hub.want(spec())


def test_offline(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(BundleError, match=r"can't be fetched: HF_HUB_OFFLINE is set; unset it to fetch"):
        hub.want(spec())
    assert served.asked == []


def test_no_hub(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = hub.want(spec())
    served.__exit__(None, None, None)
    for call in (lambda: hub.want(spec()), lambda: hub.fetch(wanted)):
        with pytest.raises(RetryError, match=r"org/clip at 1+ could not be fetched: .*; what is there is kept"):
            call()
    monkeypatch.setattr(served, "_server", type("Closed", (), {"shutdown": int, "server_close": int}))


def test_a_file_of_another_size(served: Hub) -> None:
    served.sizes["config.json"] = 7
    has = (served.repositories["org/clip"] / "config.json").stat().st_size
    with pytest.raises(
        BundleError, match=rf"org/clip: config\.json came with {has} bytes, the hub says 7; fetch it ag"
    ):
        hub.fetch(hub.want(spec()))
    assert hub.want(spec()).missing == {"config.json": 7}, "it is not taken for whole the next time"


def test_no_room(served: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = hub.want(spec())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(9, 9, 5))  # type: ignore[attr-defined]
    with pytest.raises(
        BundleError, match=rf"needs {wanted.bytes} bytes more, and .*cache has 5 free; make room, or set"
    ):
        hub.fetch(wanted)


def test_a_bundle_before_and_after(served: Hub, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", revision=FIRST)
    assert made.absent() == ["encoders.image", "encoders.video"]
    missing = (
        rf"encoders\.image is not on this machine: org/clip at {FIRST[:12]} of the hub; .*: orch bundle fetch .*/b$"
    )
    with pytest.raises(BundleError, match=missing):
        made.path("encoders.image")
    ((parts, found),) = hub.shared(made)
    assert parts == ["encoders.image", "encoders.video"]
    hub.fetch(hub.want(found))
    assert made.absent() == []
    assert (made.id("encoders.image"), made.kind("encoders.image")) == ("org/clip", "")
    assert made.size("encoders.image") == (served.repositories["org/clip"] / "model.safetensors").stat().st_size
    assert made.fingerprint("encoders.image") == made.fingerprint("encoders.video")


def test_damage_in_the_cache_is_found(served: Hub, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", revision=FIRST)
    file = hub.fetch(hub.want(spec())) / "model.safetensors"
    assert not [told for told in verify(made) if "encoders" in told and "damaged" in told]
    blob = file.resolve()
    blob.write_bytes(blob.read_bytes()[:-4] + b"\0\0\0\1")
    assert [told for told in verify(made) if "model.safetensors is damaged: its SHA-256 is not" in told]


def test_part_of_a_checkpoint_is_not_a_checkpoint(served: Hub, tmp_path: Path) -> None:
    made = bundle(tmp_path / "b", revision=FIRST)
    (hub.fetch(hub.want(spec())) / "model.safetensors").unlink()
    assert made.absent() == ["encoders.image", "encoders.video"]
    with pytest.raises(BundleError, match="has no weights"):
        made.size("encoders.image")
