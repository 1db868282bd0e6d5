"""Log-mel spectrograms against a Fourier transform by hand, and transformers' own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers.audio_utils import mel_filter_bank, spectrogram, window_function

from orchestrator.models.generators.mel import level, log_mel

RATE, BINS, HOP = 16000, 64, 160  # AudioLDM's


def tone(pitch: float, seconds: float = 0.5) -> np.ndarray:
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def test_by_hand() -> None:
    """What AudioLDM was trained on: HiFi-GAN's padding, magnitudes, Slaney's filters, natural logarithm, floor 1e-5."""
    wave = np.random.default_rng(0).normal(size=3200).astype(np.float32) * 0.1
    made = log_mel(torch.from_numpy(wave)[None], RATE, BINS, HOP)[0]
    assert made.shape == (20, BINS), "one frame in 160 samples"

    padded = np.pad(wave.astype(float), 432, mode="reflect")  # (1024 - 160) / 2
    n = np.arange(1024)
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / 1024)
    basis = np.exp(-2j * np.pi * np.outer(np.arange(513), n) / 1024)
    filters = mel_filter_bank(513, BINS, 0.0, 8000.0, RATE, norm="slaney", mel_scale="slaney")
    for frame in (0, 7, 19):
        magnitudes = np.abs(basis @ (padded[frame * HOP : frame * HOP + 1024] * hann))
        wanted = np.log(np.maximum(magnitudes @ filters, 1e-5))
        np.testing.assert_allclose(made[frame].numpy(), wanted, atol=1e-4)


def test_as_transformers_makes_it() -> None:
    wave = tone(440.0)
    filters = mel_filter_bank(513, BINS, 0.0, 8000.0, RATE, norm="slaney", mel_scale="slaney")
    wanted = spectrogram(
        np.pad(wave, 432, mode="reflect"), window_function(1024, "hann"), 1024, HOP, center=False,
        mel_filters=filters, mel_floor=1e-5, log_mel="log",
    ).T  # fmt: skip
    made = log_mel(torch.from_numpy(wave)[None], RATE, BINS, HOP)[0]
    np.testing.assert_allclose(made.numpy(), wanted, atol=5e-3)  # float32 near the floor


@pytest.mark.parametrize("pitch", [500.0, 1000.0, 4000.0])
def test_a_tone_is_at_its_bin(pitch: float) -> None:
    """Slaney's scale is linear up to 1000 Hz (66.7 Hz a mel), logarithmic above."""

    def mels(hertz: float) -> float:
        return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * np.log(hertz / 1000) / np.log(6.4)

    made = log_mel(torch.from_numpy(tone(pitch))[None], RATE, BINS, HOP)[0]
    loudest = made[25].argmax().item()
    assert loudest == pytest.approx(mels(pitch) / mels(8000) * (BINS + 1) - 1, abs=0.6)


def test_silence_is_the_floor() -> None:
    assert torch.equal(log_mel(torch.zeros(1, 1600), RATE, BINS, HOP), torch.full((1, 10, BINS), 1e-5).log())


def test_a_batch_is_single_sounds() -> None:
    waves = torch.from_numpy(np.stack([tone(300), tone(2000)]))
    alone = torch.cat([log_mel(wave[None], RATE, BINS, HOP) for wave in waves])
    torch.testing.assert_close(log_mel(waves, RATE, BINS, HOP), alone)


def test_levels() -> None:
    """Without offset and with one peak; cut, or filled with silence after it was levelled."""
    sounds = [np.array([0.3, 0.1, 0.2], np.float32), np.linspace(-0.1, 0.3, 9, dtype=np.float32)]
    made = level(sounds, 5, 0.5)
    torch.testing.assert_close(made[0], torch.tensor([0.5, -0.5, 0, 0, 0]))
    torch.testing.assert_close(made[1], torch.tensor([-0.5, -0.25, 0, 0.25, 0.5]))
    assert level(sounds, 5, 0.0)[0].tolist() == pytest.approx([0.3, 0.1, 0.2, 0, 0])
    assert level([np.zeros(3, np.float32)], 3, 0.5).tolist() == [[0, 0, 0]]
