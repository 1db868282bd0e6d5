"""A sound as a small picture: its wave form, and below it the spectrogram (time to the right, pitch upwards)."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image

WAVE, SPECTRUM = 8, 12  # rows of pixels
LOWEST, HIGHEST = 60.0, 8000.0  # Hz, on a logarithmic scale
WINDOW = 0.064  # seconds
RANGE = 60.0  # dB below the loudest that are seen
GROUND = (24, 24, 27)
INK = (34, 211, 238)
HEAT = np.array([GROUND, (66, 16, 110), (150, 38, 103), (221, 81, 58), (252, 165, 10), (252, 255, 164)], float)


def picture(samples: NDArray[np.float32], rate: int, width: int) -> Image:
    """Samples [n] -> RGB, `width` pixels wide."""
    from PIL.Image import fromarray

    return fromarray(np.concatenate([_wave(samples, width), _spectrum(samples, rate, width)]))


def _wave(samples: NDArray[np.float32], width: int) -> NDArray[np.uint8]:
    """The peaks, mirrored; the square root lets soft sounds be seen, and still be lower than loud ones."""
    parts = np.array_split(np.abs(samples), width)
    peaks = np.sqrt([min(1.0, float(part.max(initial=0.0))) for part in parts]) * WAVE / 2
    height = np.maximum(peaks, 0.25)  # silence is a line
    rows = np.abs(np.arange(WAVE) - (WAVE - 1) / 2) - 0.5  # 3 2 1 0 0 1 2 3
    cover = np.clip(height[None] - rows[:, None], 0, 1)[..., None]  # how much of a pixel is inked
    return np.asarray(np.round(GROUND + cover * np.subtract(INK, GROUND)), np.uint8)


def _spectrum(samples: NDArray[np.float32], rate: int, width: int) -> NDArray[np.uint8]:
    """A window a column, a band of pitch a row, decibels below the loudest as heat."""
    window = max(16, int(rate * WINDOW))
    padded = np.pad(samples, window // 2)
    starts = np.linspace(0, len(samples), width).astype(int)
    frames = np.stack([padded[s : s + window] for s in starts]) * np.hanning(window)  # columns window
    power = np.abs(np.fft.rfft(frames)) ** 2
    highest = min(HIGHEST, rate / 2)
    edges = (np.geomspace(min(LOWEST, highest / 8), highest, SPECTRUM + 1) * window / rate).astype(int)
    bands = [power[:, a : max(a + 1, b)].max(1) for a, b in pairwise(edges)]
    found = np.stack(bands[::-1])  # rows columns
    decibels = 10 * np.log10(np.maximum(found, 1e-12) / max(1e-6, float(found.max(initial=0.0))))
    heat = np.clip(1 + decibels / RANGE, 0, 1) * (len(HEAT) - 1)
    channels = [np.interp(heat, np.arange(len(HEAT)), HEAT[:, c]) for c in range(3)]
    return np.asarray(np.round(np.stack(channels, -1)), np.uint8)
