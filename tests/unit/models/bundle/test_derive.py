"""Derived bundles: what is inherited, where it lies, what it is called; and the adapters of an LLM."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file

from orchestrator.errors import BundleError
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle import bundle as bundles
from orchestrator.models.bundle.derive import derive
from orchestrator.models.bundle.verify import verify
from orchestrator.models.weights import write_sums

BASE: dict[str, Any] = {
    "name": "old",
    "doc": "The old one.",
    "licence": "MIT",
    "llm": {"path": "llm", "chat": "pocket", "media": {"image": "<{}>"}},
    "encoders": {"image": {"path": "enc", "layer": -2, "select": "patches"}, "video": {"path": "enc", "id": "hub/enc"}},
    "signals": {"video": {"count": 2, "token": "[V{}]"}},
}
Q = "model.layers.0.self_attn.q_proj"


def part(folder: Path, **tensors: tuple[int, ...]) -> Path:
    """A part with a config and tensors of these shapes."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text('{"hidden_size": 4, "model_type": "vit"}')
    shapes = tensors or {f"{Q}.weight": (6, 4), "model.embed_tokens.weight": (9, 4)}
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, folder / "model.safetensors")
    return folder


def adapter(folder: Path, of: str = "old/llm", kind: str = "LORA", shapes: Any = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps({"peft_type": kind, "base_model_name_or_path": of}))
    found = shapes or {f"{Q}.lora_A.weight": (2, 4), f"{Q}.lora_B.weight": (6, 2)}
    tensors = {f"base_model.model.{name}": torch.ones(shape) for name, shape in found.items()}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def write(folder: Path, **content: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "bundle.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    return folder


@pytest.fixture
def old(tmp_path: Path) -> Path:
    root = write(tmp_path / "old", **BASE)
    part(root / "llm")
    part(root / "enc")
    return root


def test_every_part_that_is_not_named_is_inherited(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "runs/new", name="new", base="../../old", encoders={"image": {"path": "enc"}})
    part(new / "enc")
    made, before = Bundle.open(new), Bundle.open(old)
    assert made.names() == ["llm", "encoders.image", "encoders.video"]
    assert (made.name, made.spec.doc, made.spec.licence) == ("new", "", "MIT")
    assert made.path("llm") == (old / "llm").resolve()
    assert made.path("encoders.image") == (new / "enc").resolve()
    assert made.path("encoders.video") == (old / "enc").resolve()
    assert [made.id(p) for p in made.names()] == ["old/llm", "new/enc", "hub/enc"]
    assert made.spec.encoders["image"].layer == -1, "a part is inherited whole or not at all"
    assert (made.spec.signals, made.spec.llm) == (before.spec.signals, before.spec.llm)
    assert made.fingerprint("llm") == before.fingerprint("llm"), "loaded once for both"
    assert made.fingerprint("encoders.image") != before.fingerprint("encoders.image")


def test_null_takes_out_what_the_base_has(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new", name="new", base="../old", encoders={"video": None}, signals={"video": None})
    made = Bundle.open(new)
    assert made.names() == ["llm", "encoders.image"]
    assert made.spec.signals == {}
    assert made.own == frozenset()


def test_an_adapter_counts(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new", name="new", base="../old", llm={"adapter": "lora"})
    file = adapter(new / "lora") / "adapter_model.safetensors"
    made, before = Bundle.open(new), Bundle.open(old)
    assert (made.spec.llm.chat, made.spec.llm.media, made.id("llm")) == ("pocket", {"image": "<{}>"}, "old/llm")
    assert made.adapters == [(new / "lora").resolve()]
    assert before.adapters == []
    assert made.size("llm") == before.size("llm") + file.stat().st_size
    first = made.fingerprint("llm")
    assert first != before.fingerprint("llm")
    adapter(new / "lora", shapes={f"{Q}.lora_A.weight": (3, 4)})
    assert Bundle.open(new).fingerprint("llm") != first
    assert verify(made) == []


def test_adapters_of_a_chain_come_in_the_order_of_their_training(old: Path, tmp_path: Path) -> None:
    for name, base in (("sft", "../old"), ("dpo", "../sft"), ("last", "../dpo")):
        write(tmp_path / name, name=name, base=base, **({} if name == "last" else {"llm": {"adapter": "lora"}}))
    for name in ("sft", "dpo"):
        adapter(tmp_path / name / "lora")
    assert Bundle.open(tmp_path / "last").adapters == [tmp_path / "sft/lora", tmp_path / "dpo/lora"]
    other = write(tmp_path / "other", name="other", base="../dpo", llm={"path": "llm", "adapter": "lora"})
    part(other / "llm")
    adapter(other / "lora", of="other/llm")
    made = Bundle.open(other)
    assert made.adapters == [other / "lora"], "those of another LLM are not its own"
    assert (made.spec.llm.chat, made.id("llm")) == ("", "other/llm")


def test_a_bundle_without_a_base_may_have_an_adapter(old: Path) -> None:
    write(old, **(BASE | {"llm": {"path": "llm", "adapter": "lora"}}))
    adapter(old / "lora")
    assert Bundle.open(old).adapters == [old / "lora"]


def test_both_may_move(old: Path, tmp_path: Path) -> None:
    new = derive(Bundle.open(old), tmp_path / "runs/new", "new", {"llm": {"adapter": "lora"}})
    assert new.spec.base == "../../old"
    adapter(new.root / "lora")
    shutil.copytree(tmp_path, tmp_path.parent / f"{tmp_path.name}-moved")
    shutil.rmtree(old)
    moved = Bundle.open(tmp_path.parent / f"{tmp_path.name}-moved/runs/new")
    assert verify(moved) == []


def test_one_that_ships_is_named(old: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "_shipped", lambda: tmp_path)
    new = derive(Bundle.open("old"), tmp_path / "a/b/new", "new", {"encoders.image": {"path": "enc"}}, doc="Mine.")
    assert yaml.safe_load((new.root / "bundle.yaml").read_text()) == {
        "name": "new",
        "doc": "Mine.",
        "base": "old",
        "encoders": {"image": {"path": "enc"}},
    }
    assert new.path("llm") == (old / "llm").resolve()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            {"base": "nowhere"},
            r"bundle\.yaml: base: unknown bundle 'nowhere': neither a folder nor a bundle that ships",
        ),
        ({"base": 3}, r"bundle\.yaml: base: a bundle's name or path, not 3"),
        ({"base": "../empty"}, r"empty is no bundle: it has no bundle\.yaml"),
        ({"base": "."}, r"bundle\.yaml: base: a bundle can't be its own base: .*new -> .*new"),
        ({"base": "../loop"}, r"loop/bundle\.yaml: base: .* its own base: .*new -> .*loop -> .*new"),
        ({"base": "../old", "llm": {"adaptor": "x"}}, r"new/bundle\.yaml: llm\.adaptor: Extra inputs"),
        ({"base": "../old", "encodres": {}}, r"new/bundle\.yaml: encodres: Extra inputs"),
        ({"base": "../old", "encoders": [1]}, r"new/bundle\.yaml: encoders: Input should be a valid dict"),
        ({"base": "../old", "encoders": {"image": {"layer": 1}}}, r"encoders\.image: does not say where it is"),
        ({"base": "../broken"}, r"broken/bundle\.yaml: llm: Field required"),
        ({"llm": {"adapter": "lora"}}, r"new/bundle\.yaml: llm: does not say where it is"),
    ],
)
def test_bad_derivations(old: Path, tmp_path: Path, content: dict[str, Any], message: str) -> None:
    (tmp_path / "empty").mkdir()
    write(tmp_path / "loop", name="loop", base="../new")
    write(tmp_path / "broken", name="broken")
    with pytest.raises(BundleError, match=message):
        Bundle.open(write(tmp_path / "new", name="new", **content))


def test_a_derived_bundle_has_a_name_of_its_own(old: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=r"new/bundle\.yaml: name: Field required"):
        Bundle.open(write(tmp_path / "new", base="../old"))


@pytest.mark.parametrize("place", ["../old/enc", "/"])
@pytest.mark.parametrize("part_", ["encoders.image", "llm.adapter"])
def test_parts_stay_in_the_folder_of_the_bundle_that_names_them(
    old: Path, tmp_path: Path, place: str, part_: str
) -> None:
    group, key = part_.split(".")
    own = {group: {key: place if key == "adapter" else {"path": place}}}
    made = Bundle.open(write(tmp_path / "new", name="new", base="../old", **own))
    with pytest.raises(BundleError, match=rf"bundle 'new': {part_} points outside the bundle: {place}"):
        made.folders(part_.removesuffix(".adapter"))


def test_a_missing_folder_is_named_with_its_bundle(old: Path, tmp_path: Path) -> None:
    made = Bundle.open(write(tmp_path / "new", name="new", base="../old", llm={"adapter": "lora"}))
    with pytest.raises(BundleError, match=r"bundle 'new': llm\.adapter is missing: there is no folder .*new/lora"):
        made.size("llm")
    shutil.rmtree(old / "llm")
    with pytest.raises(BundleError, match="bundle 'old': llm is missing"):
        made.path("llm")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"of": "older/llm"}, "lora was trained for the LLM 'older/llm', the bundle has 'old/llm'"),
        ({"kind": "IA3"}, "lora is of the kind 'IA3'; known: LORA, TRAINABLE_TOKENS"),
        ({"shapes": {f"{Q}.lora_A.weight": (2, 5)}}, f"'{Q}.lora_A.weight' is for 5, the LLM's layer has 4"),
        ({"shapes": {f"{Q}.lora_B.weight": (7, 2)}}, f"'{Q}.lora_B.weight' is for 7, the LLM's layer has 6"),
        (
            {"shapes": {"model.embed_tokens.trainable_tokens_delta": (2, 5)}},
            "trainable_tokens_delta' is 5 wide, the LLM 4",
        ),
    ],
)
def test_an_adapter_that_does_not_fit_is_told_without_loading(
    old: Path, tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    new = write(tmp_path / "new", name="new", base="../old", llm={"adapter": "lora"})
    adapter(new / "lora", **options)
    (problem,) = verify(Bundle.open(new))
    assert problem.startswith("bundle 'new': llm.adapter ")
    assert problem.endswith(message)


def test_damage_is_found_in_adapters_and_bases(old: Path, tmp_path: Path) -> None:
    new = write(tmp_path / "new", name="new", base="../old", llm={"adapter": "lora"})
    file = adapter(new / "lora") / "adapter_model.safetensors"
    write_sums(old, "SHA256SUMS")
    (old / "enc/config.json").write_text('{"model_type": "vit"}')
    file.write_bytes(file.read_bytes()[:-4])
    first, second = verify(Bundle.open(new))
    assert "adapter_model.safetensors is damaged" in first
    assert "old/enc/config.json is not the file" in second
    (new / "lora/adapter_config.json").unlink()
    adapter_gone = verify(Bundle.open(new))
    assert "adapter_model.safetensors is damaged" in adapter_gone[0]
    file.unlink()
    assert f"{new / 'lora'} has no weights" in verify(Bundle.open(new))[0]
