"""What trains of a bundle: groups, rates, counts, and what is written of it. Projectors of the pocket bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from orchestrator.errors import BundleError
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.manifest import load_projector
from orchestrator.train.graph.parts import Parts
from orchestrator.train.recipe import Recipe
from tests.training import written

SEEN = "input_projectors.image"
MLP = {"kind": "mlp", "config": {"num_tokens": 2, "hidden_dim": 8}}


def parts(folder: Path, bundle: str | Path = "pocket", **how: Any) -> Parts:
    recipe = Recipe.load(written(folder, flow="image -> text", train={SEEN: how}, lr=3e-3))
    return Parts(Bundle.open(bundle), recipe, "cpu", torch.float32)


def test_a_new_projector_has_the_ends_of_the_bundle(tmp_path: Path) -> None:
    made = parts(tmp_path, **MLP)
    [group] = made.groups()
    assert (group.name, group.lr) == (SEEN, 3e-3)
    projector = made.load(SEEN)
    assert [id(p) for p in group.parameters] == [id(p) for p in projector.parameters()]
    assert all(p.requires_grad and p.dtype == torch.float32 for p in group.parameters)
    assert (projector.manifest.recipe, projector.manifest.kind) == ("tiny", "mlp")
    assert projector.manifest.encoder.id == "pocket/encoders/image"
    assert list(made.modules()) == [SEEN]
    assert not made.llm_trains


def test_a_part_may_have_a_rate_of_its_own(tmp_path: Path) -> None:
    [group] = parts(tmp_path, **MLP, lr=1e-5).groups()
    assert group.lr == 1e-5


def test_without_a_kind_the_bundles_projector_goes_on(tmp_path: Path) -> None:
    made, before = parts(tmp_path).load(SEEN), load_projector(Bundle.open("pocket"), SEEN)
    assert made.state_dict().keys() == before.state_dict().keys()
    assert all(torch.equal(a, b) for a, b in zip(made.parameters(), before.parameters(), strict=True))
    assert all(p.requires_grad for p in made.parameters())


def test_what_is_frozen_is_counted_without_loading_it(tmp_path: Path) -> None:
    made = parts(tmp_path, **MLP)
    counts = made.frozen(["encoders.image", SEEN, "llm"])
    assert list(counts) == ["encoders.image", "llm"]
    assert all(n > 100_000 for n in counts.values())
    assert set(made.loaded) == {SEEN}


def test_only_what_trains_is_written(tmp_path: Path) -> None:
    made = parts(tmp_path, **MLP)
    made.save(tmp_path / "saved", 7)
    files = sorted(str(f.relative_to(tmp_path / "saved")) for f in (tmp_path / "saved").rglob("*") if f.is_file())
    assert files == [f"{SEEN}/model.safetensors", f"{SEEN}/projector.json"]
    assert json.loads((tmp_path / "saved" / SEEN / "projector.json").read_text())["step"] == 7
    other = parts(tmp_path, **MLP)
    [group] = other.groups()
    before = [p.detach().clone() for p in group.parameters]
    other.restore(tmp_path / "saved")
    assert [id(p) for p in other.groups()[0].parameters] == [id(p) for p in group.parameters]
    assert not all(torch.equal(p, q) for p, q in zip(before, group.parameters, strict=True))
    assert all(torch.equal(p, q) for p, q in zip(made.groups()[0].parameters, group.parameters, strict=True))


def test_a_derived_bundle_names_what_was_trained_and_its_base(tmp_path: Path) -> None:
    first = parts(tmp_path, **MLP).write_bundle(tmp_path / "first", "mine", 3)
    assert first.own == {SEEN}
    assert yaml.safe_load((tmp_path / "first/bundle.yaml").read_text())["base"] == "pocket"
    assert load_projector(first, SEEN).config["hidden_dim"] == 8  # type: ignore[union-attr,index]
    second = parts(tmp_path, tmp_path / "first").write_bundle(tmp_path / "second", "more", 4)
    assert yaml.safe_load((tmp_path / "second/bundle.yaml").read_text())["base"] == "../first"
    assert second.id("llm") == "pocket/llm"


def test_a_projector_of_another_encoder_is_refused(tmp_path: Path) -> None:
    made = parts(tmp_path, **MLP).write_bundle(tmp_path / "first", "mine", 3)
    file = made.path(SEEN) / "projector.json"
    manifest = json.loads(file.read_text())
    manifest["encoder"] = {"id": "clip", "dim": 1024}
    file.write_text(json.dumps(manifest))
    with pytest.raises(
        BundleError, match=r"was trained against encoder 'clip' \(1024 wide\), the bundle has 'pocket/enc"
    ):
        parts(tmp_path, tmp_path / "first")
