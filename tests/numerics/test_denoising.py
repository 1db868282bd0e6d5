"""Equation 5 by hand: for each kind of prediction, and for pictures, films and sounds alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EDMDPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from orchestrator.errors import BundleError
from orchestrator.models.generators import Generator
from orchestrator.models.generators.denoising import noised
from orchestrator.testing import StageContext
from tests import tiny, tiny_audio

CAPTIONS = ["a dog", "a red cat on grass", ""]
SEEDS = [11, 12, 2**63 + 5]
TAKES = {  # what the denoiser of each generator is called with, of a batch's condition tensors
    "image": lambda c: {"encoder_hidden_states": c["prompt_embeds"]},
    "video": lambda c: {"encoder_hidden_states": c["prompt_embeds"]},
    "audio": lambda c: {"encoder_hidden_states": None, "class_labels": c["prompt_embeds"][:, 0]},
    "audioldm2": lambda c: {
        "encoder_hidden_states": c["generated_prompt_embeds"],
        "encoder_hidden_states_1": c["prompt_embeds"],
        "encoder_attention_mask_1": c["attention_mask"],
    },
}
LATENTS = {"image": (4, 16, 16), "video": (4, 2, 16, 16), "audio": (4, 16, 8), "audioldm2": (4, 16, 8)}


@pytest.fixture(scope="module")
def audioldm2(tiny_audioldm2: Path) -> Generator:
    return Generator.load(tiny_audioldm2, tiny.HEARD, "cpu", torch.float32)


@pytest.fixture(params=TAKES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def generator(name: str, request: pytest.FixtureRequest, tiny_any_context: StageContext) -> Generator:
    if name == "audioldm2":
        made: Generator = request.getfixturevalue("audioldm2")
    else:
        made = tiny_any_context.load(f"generators.{name}")
    return made


def latents_of(name: str, count: int = 3) -> list[Tensor]:
    dice = torch.Generator().manual_seed(0)
    return list(torch.randn(count, *LATENTS[name], generator=dice))


def padded(generator: Generator, captions: Sequence[str]) -> dict[str, Tensor]:
    """The captions' conditions as a batch, filled with zeros at their ends."""
    conditions = generator.encode_text(captions)
    longest = {k: max(c[k].shape[1] for c in conditions) for k in conditions[0]}
    made = {}
    for keyword, length in longest.items():
        rows = [c[keyword] for c in conditions]
        made[keyword] = torch.zeros(len(rows), length, *rows[0].shape[2:], dtype=rows[0].dtype)
        for row, out in zip(rows, made[keyword], strict=True):
            out[: row.shape[1]] = row[0]
    return made


def dice_of(latents: Sequence[Tensor], steps: int) -> tuple[Tensor, Tensor]:
    """Each sample's step and noise, from its own seed."""
    dice = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    times = torch.stack([torch.randint(0, steps, (1,), generator=die)[0] for die in dice])
    noise = torch.stack([torch.randn(z.shape, generator=die) for z, die in zip(latents, dice, strict=True)])
    return times, noise


def use(generator: Generator, scheduler: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(generator.pipe, "scheduler", scheduler)


@pytest.mark.parametrize("gamma", [5.0, None])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_by_hand(
    generator: Generator, name: str, kind: str, gamma: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(generator, DDIMScheduler.from_config(generator.pipe.scheduler.config, prediction_type=kind), monkeypatch)
    latents = latents_of(name)
    made = generator.denoise(generator.encode_text(CAPTIONS), latents, SEEDS, gamma)

    z, (steps, noise) = torch.stack(latents), dice_of(latents, 1000)
    a = generator.pipe.scheduler.alphas_cumprod[steps].view(-1, *[1] * (z.ndim - 1))
    noisy = generator.pipe.scheduler.add_noise(z, noise, steps)
    out = generator.pipe.unet(noisy, steps, **TAKES[name](padded(generator, CAPTIONS))).sample
    target = {"epsilon": noise, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * z, "sample": z}[kind]
    snr = (a / (1 - a)).flatten()
    weight = {"epsilon": 1 / snr, "v_prediction": 1 / (snr + 1), "sample": torch.ones(3)}[kind] * snr.clamp(max=5)
    weight = weight if gamma else torch.ones(3)
    wanted = (weight * (out - target).square().flatten(1).mean(1)).mean()
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_a_flow_by_hand(generator: Generator, name: str, shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    use(generator, FlowMatchEulerDiscreteScheduler(shift=shift), monkeypatch)
    latents = latents_of(name)
    made = generator.denoise(generator.encode_text(CAPTIONS), latents, SEEDS)

    scheduler, (steps, noise) = generator.pipe.scheduler, dice_of(latents, 1000)
    times = scheduler.timesteps.flip(0)[steps]  # what an untouched scheduler has at these steps
    noisy = scheduler.scale_noise(torch.stack(latents), times, noise)
    out = generator.pipe.unet(noisy, times, **TAKES[name](padded(generator, CAPTIONS))).sample
    wanted = (out - (noise - torch.stack(latents))).square().flatten(1).mean(1).mean()
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-6)


def test_the_gradient_reaches_the_condition_only(generator: Generator, name: str) -> None:
    wanted = {"audioldm2": ("generated_prompt_embeds", 16), "audio": ("prompt_embeds", 24)}
    keyword, width = wanted.get(name, ("prompt_embeds", tiny.WIDTH))
    made = [{keyword: torch.randn(1, 1, width, requires_grad=True)} for _ in range(2)]
    generator.denoise(made, latents_of(name, 2), SEEDS[:2]).backward()
    for condition in made:
        gradient = condition[keyword].grad
        assert gradient is not None
        assert gradient.abs().sum() > 0
    modules = [m for m in generator.pipe.components.values() if isinstance(m, torch.nn.Module)]
    assert len(modules) >= 3
    assert all(p.grad is None and not p.requires_grad for m in modules for p in m.parameters())
    assert not any(m.training for m in modules)


def test_a_batch_is_single_samples(generator: Generator, name: str) -> None:
    conditions, latents = generator.encode_text(CAPTIONS), latents_of(name)
    together = generator.denoise(conditions, latents, SEEDS)
    rows = zip(conditions, latents, SEEDS, strict=True)
    alone = torch.stack([generator.denoise([c], [z], [s]) for c, z, s in rows])
    torch.testing.assert_close(together, alone.mean(), rtol=1e-4, atol=1e-6)
    assert alone.unique().numel() == 3


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(name: str, dtype: torch.dtype, tiny_any_bundle: Path, tiny_audioldm2: Path) -> None:
    """Conditions (without masks: nothing is padding) and latents of float32 through a generator of half precision."""
    folder = tiny_audioldm2 if name == "audioldm2" else tiny_any_bundle / "generators" / name
    generator = Generator.load(folder, {"width": tiny.SIDE, "height": tiny.SIDE, "seconds": 0.32}, "cpu", dtype)
    condition = {k: v.float().requires_grad_() for k, v in generator.encode_text(["a dog"])[0].items() if v.ndim == 3}
    sound = np.zeros(5120, np.float32) if "audio" in name else np.zeros((2, tiny.SIDE, tiny.SIDE, 3), np.uint8)
    media = sound[:1] if name == "image" else sound
    (latents,) = generator.encode_media([media], {})
    assert latents.dtype == torch.float32
    loss = generator.denoise([condition], [latents], [0])
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    gradients = [tensor.grad for tensor in condition.values()]
    assert all(g is not None and g.dtype == torch.float32 and g.abs().sum() > 0 for g in gradients)


def test_autocast(generator: Generator, name: str) -> None:
    conditions, latents = generator.encode_text(CAPTIONS), latents_of(name)
    wanted = generator.denoise(conditions, latents, SEEDS)
    with torch.autocast("cpu", torch.bfloat16):
        made = generator.denoise([{k: v.bfloat16() if v.ndim == 3 else v for k, v in c.items()} for c in conditions],
                                 latents, SEEDS)  # fmt: skip
    assert made.dtype == torch.float32
    torch.testing.assert_close(made, wanted, rtol=0.03, atol=0.03)


def test_inference_in_between_changes_nothing(generator: Generator, name: str) -> None:
    conditions, latents = generator.encode_text(CAPTIONS[:1]), latents_of(name, 1)
    before = generator.denoise(conditions, latents, [3])
    generator.generate(conditions, {}, [0], lambda step, preview: None)
    torch.testing.assert_close(generator.denoise(conditions, latents, [3]), before)


@pytest.mark.parametrize("scheduler", [EulerDiscreteScheduler, UniPCMultistepScheduler])
def test_any_scheduler_is_the_same_noise(scheduler: Any) -> None:
    """Their own add_noise differs in scale; what a denoiser saw when it was trained does not."""
    z, n, steps = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([3, 900])
    wanted = DDIMScheduler(beta_schedule="scaled_linear").add_noise(z, n, steps)
    made = noised(scheduler(beta_schedule="scaled_linear"), z, n, steps, 5.0)
    torch.testing.assert_close(made.latents, wanted, rtol=1e-4, atol=1e-5)
    assert torch.equal(made.times, steps)
    assert torch.equal(made.target, n)


def test_flows_of_other_schedulers() -> None:
    scheduler = UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0)
    z, n = torch.randn(2, 4), torch.randn(2, 4)
    made = noised(scheduler, z, n, torch.tensor([499, 999]), 5.0)
    torch.testing.assert_close(made.times, torch.tensor([750.0, 1000.0]))
    torch.testing.assert_close(made.latents, torch.stack([0.25 * z[0] + 0.75 * n[0], n[1]]))
    assert torch.equal(made.weight, torch.ones(2))


@pytest.mark.parametrize(("kind", "sign"), [("v_prediction", 1), ("epsilon", -1)])
def test_edm_is_v_at_a_noise_of_any_size(kind: str, sign: int) -> None:
    """What the scheduler makes of the target is the clean latents; StableAudio's, with sigma_data 1, is v itself."""
    scheduler = EDMDPMSolverMultistepScheduler(sigma_min=0.3, sigma_max=500.0, sigma_data=1.0, prediction_type=kind)
    z, n, steps = torch.randn(3, 4, 8), torch.randn(3, 4, 8), torch.tensor([0, 500, 900])
    made = noised(scheduler, z, n, steps, 5.0)
    low, high = math.atan(0.3), math.atan(500)
    angle = (low + (steps + 0.5) / 1000 * (high - low)).view(-1, 1, 1)
    torch.testing.assert_close(made.latents, angle.cos() * z + angle.sin() * n, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(made.target, sign * (angle.cos() * n - angle.sin() * z), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(made.times, 0.25 * angle.tan().log().flatten())
    snr = angle.tan().flatten() ** -2
    torch.testing.assert_close(made.weight, snr.clamp(max=5) / (snr + 1))
    assert noised(scheduler, z, n, steps, None).weight.tolist() == [1, 1, 1]


def test_steps_without_signal_have_a_finite_weight() -> None:
    """Zero-terminal schedules end in pure noise, where the signal-to-noise ratio is 0."""
    scheduler = DDIMScheduler(rescale_betas_zero_snr=True)
    z, n = torch.randn(1, 4), torch.randn(1, 4)
    assert noised(scheduler, z, n, torch.tensor([999]), 5.0).weight.tolist() == [1.0]
    scheduler.register_to_config(prediction_type="v_prediction")
    assert noised(scheduler, z, n, torch.tensor([999]), 5.0).weight.tolist() == [0.0]


def test_an_unknown_prediction_is_named() -> None:
    scheduler = DDIMScheduler()
    scheduler.register_to_config(prediction_type="v_predicton")
    wanted = r"DDIMScheduler with prediction_type 'v_predicton': it predicts epsilon, .* Did you mean 'v_prediction'"
    with pytest.raises(BundleError, match=wanted):
        noised(scheduler, torch.zeros(1, 2), torch.zeros(1, 2), torch.tensor([0]), 5.0)


def test_latents_are_those_of_each_frame_alone(generator: Generator, name: str) -> None:
    """In shape, order and scale; of sounds, of their spectrogram (tests/numerics/test_mel.py)."""
    dice = np.random.default_rng(0)
    if "audio" in name:
        sounds = [dice.normal(size=n).astype(np.float32) for n in (5120, 900)]
        first, _ = generator.encode_media(sounds, {})
        assert first.shape == LATENTS[name]
        return
    frames = 2 if name == "video" else 1
    pictures = [dice.integers(0, 256, (frames, tiny.SIDE, tiny.SIDE, 3), np.uint8) for _ in range(2)]
    latents = generator.encode_media(pictures, {})
    assert [tuple(z.shape) for z in latents] == [LATENTS[name]] * 2
    last = latents[1][:, -1] if name == "video" else latents[1]
    pixels = torch.from_numpy(pictures[1][-1]).permute(2, 0, 1)[None] / 127.5 - 1
    vae = generator.pipe.vae
    alone = vae.encode(pixels).latent_dist.mode()[0] * vae.config.scaling_factor
    torch.testing.assert_close(last, alone, rtol=1e-4, atol=1e-5)


def test_silence_and_seconds(audioldm2: Generator) -> None:
    form = audioldm2.form({"seconds": 0.155})
    assert (form.rate, form.samples) == (tiny_audio.RATE, 16 * 160), "rounded up to what the autoencoder can halve"
    assert audioldm2.form({}).samples == 5120
    (latents,) = audioldm2.encode_media([np.zeros(10, np.float32)], {"seconds": 0.155})
    assert latents.shape == (4, 8, 8)
    assert torch.isfinite(latents).all()
