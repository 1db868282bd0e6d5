from __future__ import annotations

import numpy as np
import pytest

from orchestrator.cli import sound

RATE = 16000


def tone(pitch: float, seconds: float = 1.0, loud: float = 0.5, rate: int = RATE) -> np.ndarray:
    samples: np.ndarray = (loud * np.sin(2 * np.pi * pitch * np.arange(int(rate * seconds)) / rate)).astype(np.float32)
    return samples


def rows(samples: np.ndarray, rate: int = RATE, width: int = 20) -> tuple[np.ndarray, np.ndarray]:
    """The pixels of the wave form and of the spectrogram, in grey: [rows, width]."""
    shown = np.asarray(sound.picture(samples, rate, width)).mean(-1)
    assert shown.shape == (sound.WAVE + sound.SPECTRUM, width)
    return shown[: sound.WAVE], shown[sound.WAVE :]


def test_a_wave_form_follows_the_peaks_and_is_symmetric() -> None:
    wave, _ = rows(np.repeat(np.array([0.0, 0.25, -1.0], np.float32), 100), width=3)
    assert np.array_equal(wave, wave[::-1])
    ground, ink = np.mean(sound.GROUND), np.mean(sound.INK)
    assert [(column > (ground + ink) / 2).sum() for column in wave.T] == [0, 4, 8]
    assert (wave[:, 0] > ground).sum() == 2, "silence is a line"


def test_higher_is_higher() -> None:
    loudest = [int(rows(tone(pitch))[1].mean(1).argmax()) for pitch in (100, 400, 1600, 6400)]
    assert loudest == sorted(loudest, reverse=True)
    assert len(set(loudest)) == 4


def test_what_comes_later_is_farther_right() -> None:
    _, spectrum = rows(np.concatenate([np.zeros(RATE, np.float32), tone(500)]))
    ground = np.mean(sound.GROUND)
    assert np.allclose(spectrum[:, :8], ground)
    assert (spectrum[:, 12:].max(0) > 2 * ground).all()


@pytest.mark.parametrize("samples", [np.zeros(0), np.zeros(1), np.ones(3), np.zeros(RATE), np.full(99, np.float32(9))])
def test_any_sound_has_a_picture(samples: np.ndarray) -> None:
    for rate in (100, 8000, 48000):
        rows(samples.astype(np.float32), rate)


def test_the_rate_is_minded() -> None:
    at = [rows(tone(700, rate=rate), rate)[1].mean(1).argmax() for rate in (16000, 44100)]
    assert at[0] == at[1]
