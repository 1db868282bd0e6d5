"""Checkpoints of one class that differ in their config: CogVideoX 5b and 1.5, Wan 2.2, Flux schnell, Stable Diffusion
1.5 with its own scheduler."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import PNDMScheduler

from orchestrator.errors import BundleError, UserError
from orchestrator.models.generators import Generator
from orchestrator.models.loading import quiet
from tests import tiny
from tests import tiny_generators as today
from tests.generating import CASES, heard, load, media, nobody, stock

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # EulerDiscreteScheduler
ROTARY = {"use_rotary_positional_embeddings": True}
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    "CogVideoX 5b": ("CogVideoXPipeline", ROTARY),
    "CogVideoX 1.5": ("CogVideoXPipeline", {**ROTARY, "patch_size_t": 2, "patch_bias": False}),
    "Wan 2.2 TI2V": ("WanPipeline", {"expand_timesteps": True}),
    "Flux schnell": ("FluxPipeline", {"distilled": False}),
}


def build(name: str, folder: Path) -> Generator:
    kind, config = VARIANTS[name]
    make: Any = today.GENERATORS[kind]
    with quiet():
        return load(make(folder / "generator", **config), **CASES[kind].size)


@pytest.mark.parametrize("name", VARIANTS)
def test_generating_and_denoising_are_the_pipelines_own(name: str, tmp_path: Path) -> None:
    case, generator = CASES[VARIANTS[name][0]], build(name, tmp_path)
    with heard(generator.denoiser) as calls:
        wanted = generator.family.output.read(stock(generator, case, "a dog", guidance_scale=1.0))[0]
        conditions = generator.encode_text(["a dog"])
        (made,) = generator.generate(conditions, {"guidance": 1.0}, [7], nobody)
        (latents,) = generator.encode_media([media(case)], {})
        loss = generator.denoise(conditions, [latents], [3], settings={"guidance": 1.0})
    assert np.abs(made.astype(int) - wanted).max() <= 1
    assert loss.isfinite()
    told = {k: v for k, v in calls[0].items() if k not in ("latents", "timestep") and not k.endswith("_kwargs")}
    assert calls[-1]["latents"].shape == calls[0]["latents"].shape
    assert calls[-1]["timestep"].shape == calls[0]["timestep"].shape
    torch.testing.assert_close({k: calls[-1][k] for k in told}, told, check_dtype=False)


def test_wan_with_two_denoisers_generates_but_does_not_train(tmp_path: Path) -> None:
    with quiet():
        folder = today.wan(tmp_path / "wan", boundary_ratio=0.5, transformer_2=True)
        generator = load(folder, **CASES["WanPipeline"].size)
    conditions = generator.encode_text(["a dog"])
    (made,) = generator.generate(conditions, {}, [0], nobody)
    assert made.shape == (9, 16, 16, 3)
    with pytest.raises(BundleError, match=r"WanPipeline with two denoisers \(boundary_ratio 0\.5\): take a checkpoint"):
        generator.denoise(conditions, [torch.zeros(4, 3, 2, 2)], [0])


def test_flux_takes_no_negative(tmp_path: Path) -> None:
    generator = build("Flux schnell", tmp_path)
    with pytest.raises(UserError, match=r"negative 'rain': FluxPipeline takes no `negative`: .*; leave it out"):
        generator.generate(generator.encode_text(["a dog"]), {"negative": "rain"}, [0], nobody)


def test_sdxl_without_zeros_for_nothing(tmp_path: Path) -> None:
    """As its refiner: nothing is then an empty caption."""
    with quiet():
        folder = today.sdxl(tmp_path / "xl")
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"force_zeros_for_empty_prompt": False}))
    generator = load(folder, **CASES["StableDiffusionXLPipeline"].size)
    conditions = generator.encode_text(["a dog"])
    plain, empty = (generator.generate(conditions, {**told, "guidance": 3.0}, [0], nobody)[0]
                    for told in ({}, {"negative": ""}))  # fmt: skip
    assert np.abs(plain.astype(int) - empty).max() <= 1


def test_steps_of_schedulers_that_go_through_more_times(tiny_image_generator: Path) -> None:
    """PNDM, which Stable Diffusion 1.5 comes with, goes through one time twice."""
    generator = Generator.load(tiny_image_generator, tiny.SETTINGS, "cpu", torch.float32)
    generator.pipe.scheduler = PNDMScheduler(skip_prk_steps=True, steps_offset=1, beta_schedule="scaled_linear")
    told: list[int] = []
    condition = generator.encode_text(["a dog"])
    (made,) = generator.generate(condition, {"steps": 4}, [0], lambda step, _: told.append(step))
    assert told == [1, 2, 3, 4, 4]
    dice, size = torch.Generator().manual_seed(0), {"width": tiny.SIDE, "height": tiny.SIDE}
    wanted = generator.pipe(
        "a dog", num_inference_steps=4, guidance_scale=2.0, generator=dice, output_type="np", **size
    )
    assert np.abs(made - wanted.images * 255).max() <= 1


def test_a_generator_is_freed_with_its_last_name(tiny_image_generator: Path) -> None:
    """Not only when cycles are looked for: eviction under a memory limit counts on it."""
    generator = Generator.load(tiny_image_generator, {**tiny.SETTINGS, "steps": 1}, "cpu", torch.float32)
    generator.generate(generator.encode_text(["a dog"]), {}, [0], lambda _, preview: preview and preview())
    models = [weakref.ref(m) for m in generator.pipe.components.values() if isinstance(m, torch.nn.Module)]
    gc.disable()
    try:
        del generator
        assert [model() for model in models] == [None] * 3
    finally:
        gc.enable()


def test_a_class_that_is_not_there(tiny_image_generator: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(tiny_image_generator, tmp_path / "sd")
    index = folder / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"unet": ["diffusers", "UNet9DModel"]}))
    with pytest.raises(BundleError, match=r"model_index\.json names diffusers\.UNet9DModel, which is not there"):
        Generator.load(folder, {}, "cpu", torch.float32)
