"""Sounds -> the log-mel spectrograms that AudioLDM's autoencoder and vocoder work on (arXiv 2301.12503).

As its training code makes them: magnitudes (not powers) of a Hann window of 1024 samples, mel filters on Slaney's scale
and with his norm from 0 Hz to half the rate, the natural logarithm of at least 1e-5, not normalised further; HiFi-GAN's
padding, so that n samples are n / hop frames. SpeechT5's own vocoder is another case: log10, and statistics of its own.

Shapes: B sounds, n samples, T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F
from transformers.audio_utils import mel_filter_bank

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

WINDOW = 1024  # samples of a window, and bins of its Fourier transform
FLOOR = 1e-5


def level(sounds: Sequence[NDArray[np.float32]], length: int, peak: float) -> Tensor:
    """Sounds [n] each -> [B, length], cut or filled with silence. As AudioLDM's were: without offset, and as loud as
    `peak`; with `peak` 0 they keep their loudness."""
    made = torch.zeros(len(sounds), length)
    for row, sound in zip(made, sounds, strict=True):
        samples = torch.tensor(sound[:length])
        if peak:
            samples = samples - samples.mean()
            samples = samples * (peak / samples.abs().max().clamp(min=1e-8))
        row[: len(samples)] = samples
    return made


def log_mel(waves: Tensor, rate: int, bins: int, hop: int) -> Tensor:
    """[B, n] -> [B, T, bins], T = n / hop."""
    padded = F.pad(waves.unsqueeze(1), ((WINDOW - hop) // 2,) * 2, mode="reflect").squeeze(1)
    window = torch.hann_window(WINDOW, device=waves.device)
    spectrum = torch.stft(padded, WINDOW, hop, window=window, center=False, return_complex=True).abs()
    filters = _filters(rate, bins).to(waves.device)  # [WINDOW / 2 + 1, bins]
    return (spectrum.transpose(1, 2) @ filters).clamp(min=FLOOR).log()


@cache
def _filters(rate: int, bins: int) -> Tensor:
    made = mel_filter_bank(WINDOW // 2 + 1, bins, 0.0, rate / 2, rate, norm="slaney", mel_scale="slaney")
    return torch.from_numpy(made).float()
