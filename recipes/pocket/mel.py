"""Mel spectrograms as AudioLDM has them: natural logarithm of magnitudes, 64 bands, [b, 128, 64] of 2.048 s."""

from __future__ import annotations

import math
from functools import cache as once
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

from recipes.pocket.sounds import RATE

WINDOW, HOP, BANDS, FLOOR = 1024, 256, 64, 1e-5
DECIBELS = 20 / math.log(10)  # in one natural logarithm of a magnitude
MEAN, DEVIATION = -5.5, 3.0  # about those of the sounds' spectrograms


@once
def _filters(window: int, bands: int) -> Tensor:
    """[window / 2 + 1, bands]"""
    banks = mel_filter_bank(window // 2 + 1, bands, 0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(banks).float()


def magnitudes(waves: Tensor, window: int = WINDOW, hop: int = HOP) -> Tensor:
    """Waves [b, n] -> magnitudes of the short-time Fourier transform, [b, n / hop, window / 2 + 1]."""
    edge = (window - hop) // 2
    padded = F.pad(waves[:, None], (edge, edge), "reflect")[:, 0]
    shape = torch.hann_window(window, device=waves.device)
    spectrum = torch.stft(padded, window, hop, window=shape, center=False, return_complex=True)
    return (spectrum.real.square() + spectrum.imag.square() + 1e-9).sqrt().transpose(1, 2)


def log_mel(waves: Tensor, window: int = WINDOW, hop: int = HOP, bands: int = BANDS) -> Tensor:
    """Waves [b, n] in [-1, 1] -> log-mel spectrograms [b, n / hop, bands]."""
    return (magnitudes(waves, window, hop) @ _filters(window, bands).to(waves.device)).clamp(min=FLOOR).log()


def half_mel(waves: Tensor) -> Tensor:
    """Log-mel spectrograms to keep many of."""
    return log_mel(waves).half()


def griffin_lim(mels: Tensor, rounds: int = 60, momentum: float = 0.99) -> Tensor:
    """Log-mel spectrograms [b, t, 64] -> waves [b, t * hop]: phases by iteration (doi 10.1109/WASPAA.2013.6701851).

    The yardstick of the vocoder.
    """
    wanted = (mels.exp() @ torch.linalg.pinv(_filters(WINDOW, BANDS))).clamp(min=0).transpose(1, 2)
    angle = 2 * math.pi * torch.rand(wanted.shape, generator=torch.Generator().manual_seed(0))
    phase, last = torch.polar(torch.ones_like(wanted), angle), torch.zeros_like(wanted, dtype=torch.complex64)
    how: dict[str, Any] = {"n_fft": WINDOW, "hop_length": HOP, "window": torch.hann_window(WINDOW)}
    size = (wanted.shape[2] - 1) * HOP
    for _ in range(rounds):
        again = torch.stft(torch.istft(wanted * phase, **how, length=size), **how, return_complex=True)
        phase = again - momentum / (1 + momentum) * last
        phase, last = phase / (phase.abs() + 1e-8), again
    wave = torch.istft(wanted * phase, **how, length=size)  # centred frames: half a hop early on each side
    return F.pad(wave, (HOP // 2, HOP // 2))
