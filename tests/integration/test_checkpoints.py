"""Checkpoints as repositories have them: variants, pickles, code of their own, Stable Diffusion's safety checker."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from orchestrator.errors import BundleError
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.models.loading import load_part

CODE = """
from transformers import LlamaConfig, LlamaForCausalLM


class OwnConfig(LlamaConfig):
    model_type = "own"


class OwnForCausalLM(LlamaForCausalLM):
    config_class = OwnConfig
"""


def bundle(folder: Path, part: str, place: Path, **fields: Any) -> Bundle:
    """A bundle with one part elsewhere."""
    group, _, modality = part.partition(".")
    spec: dict[str, Any] = {"name": "b", "llm": {"path": "llm"}}
    (spec.setdefault(group, {}) if modality else spec)[modality or group] = {"checkpoint": str(place), **fields}
    folder.mkdir(exist_ok=True)
    (folder / "bundle.yaml").write_text(yaml.safe_dump(spec))
    return Bundle.open(folder)


def load(made: Bundle, part: str) -> Any:
    return load_part(made, part, "cpu", torch.float32)


@pytest.fixture
def clip(tiny_image_encoder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_image_encoder, tmp_path / "clip"))


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_TRUST", "pickle,remote_code")


def test_a_folder_elsewhere(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = bundle(tmp_path / "b", "encoders.image", clip)
    assert made.path("encoders.image") == clip.resolve()
    assert load(made, "encoders.image").model.config.hidden_size == 32
    monkeypatch.setenv("HOME", str(tmp_path))
    for place in (Path("~/clip"), Path("../clip")):
        assert bundle(tmp_path / "b", "encoders.image", place).path("encoders.image") == clip.resolve()
    with pytest.raises(BundleError, match=r"encoders\.image is missing: there is no folder .*/none"):
        bundle(tmp_path / "b", "encoders.image", tmp_path / "none").path("encoders.image")


def test_one_variant_of_the_weights(clip: Path, tmp_path: Path) -> None:
    state = load_file(clip / "model.safetensors")
    save_file({k: v.half() for k, v in state.items()}, clip / "model.fp16.safetensors", metadata={"format": "pt"})
    plain, half = (bundle(tmp_path / "b", "encoders.image", clip, variant=v) for v in ("", "fp16"))
    assert [file.name for made in (plain, half) for file in made.weights("encoders.image")] == [
        "model.safetensors",
        "model.fp16.safetensors",
    ]
    assert half.size("encoders.image") < plain.size("encoders.image")
    assert half.fingerprint("encoders.image") != plain.fingerprint("encoders.image")
    (clip / "model.safetensors").unlink()
    assert load(half, "encoders.image").model.dtype == torch.float32
    with pytest.raises(BundleError, match=r"has no weights: they are there as fp16; name one: `variant: fp16`"):
        load(plain, "encoders.image")


def test_pickles_by_name_only(clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = load(bundle(tmp_path / "b", "encoders.image", clip), "encoders.image").model.state_dict()
    torch.save(load_file(clip / "model.safetensors"), clip / "pytorch_model.bin")
    (clip / "model.safetensors").unlink()
    silent, asking = (
        bundle(tmp_path / name, "encoders.image", clip, trust=trust) for name, trust in (("a", []), ("b", ["pickle"]))
    )
    monkeypatch.setenv("ORCH_TRUST", "pickle")
    with pytest.raises(BundleError, match=r"no \*\.safetensors file in it, but pytorch_model\.bin, a pickle"):
        load(silent, "encoders.image")
    found = load(asking, "encoders.image").model.state_dict()
    assert all(torch.equal(found[name], tensor) for name, tensor in wanted.items())
    assert not [told for told in verify(asking) if "encoders" in told]
    monkeypatch.delenv("ORCH_TRUST")
    with pytest.raises(BundleError, match=r"if you trust it, add `--trust pickle`"):
        load(asking, "encoders.image")


def test_pickles_of_a_pipeline(tiny_image_generator: Path, tmp_path: Path, allowed: None) -> None:
    folder = Path(shutil.copytree(tiny_image_generator, tmp_path / "sd"))
    file = folder / "unet/diffusion_pytorch_model.safetensors"
    torch.save(load_file(file), file.with_suffix(".bin"))
    file.unlink()
    with pytest.raises(BundleError, match=r"is not whole: unet has no weights"):
        load(bundle(tmp_path / "b", "generators.image", folder), "generators.image")
    assert load(bundle(tmp_path / "b", "generators.image", folder, trust=["pickle"]), "generators.image").pipe.unet


def test_a_safety_checker_is_left_out(tiny_image_generator: Path, tmp_path: Path) -> None:
    """It is not fetched, and not loaded where it is."""
    folder = Path(shutil.copytree(tiny_image_generator, tmp_path / "sd"))
    index = json.loads((folder / "model_index.json").read_text())
    checker = {
        "safety_checker": ["stable_diffusion", "StableDiffusionSafetyChecker"],
        "feature_extractor": ["transformers", "CLIPImageProcessor"],
        "requires_safety_checker": True,
    }
    (folder / "model_index.json").write_text(json.dumps(index | checker))
    made = bundle(tmp_path / "b", "generators.image", folder, settings={"steps": 1, "width": 32, "height": 32})
    generator = load(made, "generators.image")
    assert generator.pipe.safety_checker is None
    (picture,) = generator.generate(generator.encode_text(["a dog"]), {}, [1], lambda step, preview: None)
    assert picture.shape == (1, 32, 32, 3)


def test_code_of_a_checkpoint_runs_only_if_both_say_so(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "own"))
    config = json.loads((folder / "config.json").read_text())
    names = {"AutoConfig": "own.OwnConfig", "AutoModelForCausalLM": "own.OwnForCausalLM"}
    own = {"model_type": "own", "architectures": ["OwnForCausalLM"], "auto_map": names}
    (folder / "config.json").write_text(json.dumps(config | own))
    (folder / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{CODE}")
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path / "modules"))
    silent, asking = (
        bundle(tmp_path / name, "llm", folder, chat="pocket", trust=trust)
        for name, trust in (("a", []), ("b", ["remote_code"]))
    )
    monkeypatch.setenv("ORCH_TRUST", "remote_code")
    with pytest.raises(BundleError, match=r"cannot be loaded as AutoModelForCausalLM"):
        load(silent, "llm")
    monkeypatch.delenv("ORCH_TRUST")
    with pytest.raises(
        BundleError, match=r"llm asks for trust in Python code of the checkpoint's author .*--trust remo"
    ):
        load(asking, "llm")
    assert not (tmp_path / "ran").exists()
    monkeypatch.setenv("ORCH_TRUST", "remote_code")
    assert type(load(asking, "llm").model).__name__ == "OwnForCausalLM"
    assert "own.py" in [file.name for file in asking.files("llm")]
