"""The generators against the stock pipelines of diffusers, and equation 5 by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestrator.errors import Cancelled
from orchestrator.models.generators import Generator
from orchestrator.testing import StageContext
from tests import tiny

KINDS = ["image", "video"]
CAPTIONS = ["a dog", "a red cat on grass"]


@pytest.fixture(params=KINDS)
def generator(request: pytest.FixtureRequest, tiny_context: StageContext) -> Generator:
    made: Generator = tiny_context.load(f"generators.{request.param}")
    return made


def quiet(step: int, preview: Callable[[], np.ndarray]) -> None:
    """Nobody watches."""


def close(a: np.ndarray, b: np.ndarray) -> bool:
    return a.shape == b.shape and bool(np.abs(a.astype(int) - b.astype(int)).max() <= 1)


def test_encode_text_is_the_pipelines_own(generator: Generator) -> None:
    made = generator.encode_text(CAPTIONS)
    for caption, condition in zip(CAPTIONS, made, strict=True):
        embeds, _ = generator.pipe.encode_prompt(caption, "cpu", 1, False)
        assert condition.keys() == {"prompt_embeds"}
        assert condition["prompt_embeds"].shape == (1, tiny.LENGTH, tiny.WIDTH)
        torch.testing.assert_close(condition["prompt_embeds"], embeds)


def test_same_as_the_stock_pipeline(generator: Generator) -> None:
    frames = {"num_frames": 3} if generator.family.frames else {}
    stock = generator.pipe(
        CAPTIONS[1], negative_prompt="a cat", num_inference_steps=3, guidance_scale=3.0, width=tiny.SIDE,
        height=tiny.SIDE, generator=torch.Generator().manual_seed(7), output_type="np", **frames,
    )  # fmt: skip
    wanted = stock.frames[0] if generator.family.frames else stock.images
    settings = {"steps": 3, "guidance": 3.0, "negative": "a cat", "frames": 3}
    (made,) = generator.generate(generator.encode_text(CAPTIONS[1:]), settings, [7], quiet)
    assert made.dtype == np.uint8
    assert np.array_equal(made, (wanted * 255).round().astype(np.uint8))


def test_a_batch_is_single_calls(generator: Generator) -> None:
    conditions = generator.encode_text(CAPTIONS)
    together = generator.generate(conditions, {}, [3, 4], quiet)
    alone = [generator.generate([c], {}, [s], quiet)[0] for c, s in zip(conditions, (3, 4), strict=True)]
    assert all(map(close, together, alone))
    assert not np.array_equal(*together)


def test_seeds_and_settings(generator: Generator) -> None:
    condition = generator.encode_text(CAPTIONS[:1])

    def make(seed: int = 1, **settings: Any) -> np.ndarray:
        return generator.generate(condition, settings, [seed], quiet)[0]

    frames = generator.settings.get("frames", 1)
    assert make().shape == (frames, tiny.SIDE, tiny.SIDE, 3)
    assert np.array_equal(make(), make(width=None))
    assert not np.array_equal(make(), make(seed=2))
    assert make(width=16, height=24).shape == (frames, 24, 16, 3)


def test_steps_are_told_with_a_preview_on_demand(generator: Generator) -> None:
    told: list[tuple[int, tuple[int, ...]]] = []
    condition = generator.encode_text(CAPTIONS[:1])
    generator.generate(condition, {"steps": 4}, [0], lambda step, preview: told.append((step, preview().shape)))
    assert told == [(step, (tiny.SIDE, tiny.SIDE, 3)) for step in (1, 2, 3, 4)]


def test_raising_stops_between_steps(generator: Generator) -> None:
    seen: list[int] = []

    def stop(step: int, preview: Callable[[], np.ndarray]) -> None:
        seen.append(step)
        if step == 2:
            raise Cancelled("enough")

    condition = generator.encode_text(CAPTIONS[:1])
    before = generator.generate(condition, {}, [1], quiet)[0]
    with pytest.raises(Cancelled, match="enough"):
        generator.generate(condition, {"steps": 5}, [0], stop)
    assert seen == [1, 2]
    assert np.array_equal(generator.generate(condition, {}, [1], quiet)[0], before), "it works as before"


def media(generator: Generator, size: int = 3) -> Tensor:
    frames = 2 if generator.family.frames else 1
    dice = torch.Generator().manual_seed(0)
    return torch.rand(size, frames, 3, tiny.SIDE, tiny.SIDE, generator=dice) * 2 - 1


def test_latents_are_decoded_to_what_was_encoded(generator: Generator) -> None:
    """In shape and order of the frames: each frame's latents are those of the frame alone."""
    pictures = media(generator)
    latents = generator.encode_media(pictures)
    frames = latents.transpose(1, 2) if generator.family.frames else latents.unsqueeze(1)  # b f c h w
    vae = generator.pipe.vae
    alone = vae.encode(pictures[1, -1:]).latent_dist.mode() * vae.config.scaling_factor
    torch.testing.assert_close(frames[1, -1:], alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction", "sample"])
def test_loss_by_hand(generator: Generator, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scheduler = type(generator.pipe.scheduler).from_config(generator.pipe.scheduler.config, prediction_type=kind)
    monkeypatch.setattr(generator.pipe, "scheduler", scheduler)
    conditions = generator.encode_text([*CAPTIONS, "a"])
    torch.manual_seed(11)
    made = generator.loss(conditions, media(generator), snr_gamma=5.0)

    torch.manual_seed(11)
    z = generator.encode_media(media(generator))
    noise = torch.randn_like(z)
    steps = torch.randint(0, 1000, (3,))
    a = scheduler.alphas_cumprod[steps].view(-1, *[1] * (z.ndim - 1))
    noisy = a.sqrt() * z + (1 - a).sqrt() * noise
    states = torch.cat([c["prompt_embeds"] for c in conditions])
    out = generator.pipe.unet(noisy, steps, encoder_hidden_states=states).sample
    target = {"epsilon": noise, "v_prediction": a.sqrt() * noise - (1 - a).sqrt() * z, "sample": z}[kind]
    snr = (a / (1 - a)).flatten()
    weight = {"epsilon": 1 / snr, "v_prediction": 1 / (snr + 1), "sample": torch.ones(3)}[kind] * snr.clamp(max=5)
    wanted = (weight * (out - target).square().flatten(1).mean(1)).mean()
    torch.testing.assert_close(made, wanted, rtol=1e-4, atol=1e-6)


def test_the_gradient_of_the_loss_reaches_the_condition_only(generator: Generator) -> None:
    conditions = [{"prompt_embeds": torch.randn(1, tiny.LENGTH, tiny.WIDTH, requires_grad=True)} for _ in range(2)]
    torch.manual_seed(0)
    generator.loss(conditions, media(generator, 2)).backward()
    for condition in conditions:
        assert condition["prompt_embeds"].grad is not None
        assert condition["prompt_embeds"].grad.abs().sum() > 0
    modules = [m for m in generator.pipe.components.values() if isinstance(m, torch.nn.Module)]
    assert len(modules) == 3
    assert all(p.grad is None and not p.requires_grad for m in modules for p in m.parameters())
    assert not any(m.training for m in modules)
