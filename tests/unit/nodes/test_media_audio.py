"""Sounds: exact in WAV, close in the others; channels and rates."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from orchestrator.nodes.media import Audio, Media


def tone(rate: int = 16000, seconds: float = 0.5, hertz: float = 440) -> NDArray[np.float32]:
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)).astype(np.float32)


STEREO = np.stack([tone(), tone(hertz=660)], axis=1)


@pytest.mark.parametrize("samples", [tone(), STEREO, tone()[:1]])
@pytest.mark.parametrize(("suffix", "most"), [(".wav", 0), (".flac", 2e-7)])
def test_lossless_formats(samples: Any, suffix: str, most: float, tmp_path: Path) -> None:
    loaded = Media.load(Media.load((samples, 16000)).save(tmp_path / f"x{suffix}")).audio
    assert (loaded.samples.shape, loaded.rate, loaded.samples.dtype) == (samples.shape, 16000, np.float32)
    assert np.abs(loaded.samples - samples).max() <= most


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_formats(suffix: str, tmp_path: Path) -> None:
    loaded = Media.load(Media.load((STEREO, 16000)).save(tmp_path / f"x{suffix}")).audio
    assert (loaded.rate, loaded.channels) == (16000, 2)
    assert loaded.seconds == pytest.approx(0.5, abs=0.1)
    assert loaded.samples.std() == pytest.approx(STEREO.std(), rel=0.1)


@pytest.mark.parametrize(("channels", "shape"), [("mono", ()), ("stereo", (2,))])
def test_m4a_is_read_by_pyav(channels: str, shape: tuple[int, ...], tmp_path: Path) -> None:
    path = tmp_path / "x.m4a"
    planes = np.ascontiguousarray(STEREO.T[: 1 if channels == "mono" else 2])
    with av.open(str(path), "w", format="ipod") as container:
        stream = container.add_stream("aac", rate=16000, layout=channels)
        frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=channels)
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    loaded = Media.load(path).audio
    assert (loaded.rate, loaded.samples.shape[1:]) == (16000, shape)
    assert loaded.seconds == pytest.approx(0.5, abs=0.15)
    assert loaded.samples.std() == pytest.approx(planes.std(), rel=0.15)


@pytest.mark.parametrize(("dtype", "top"), [(np.int16, 2**15), (np.int32, 2**31)])
def test_integers_are_scaled(dtype: Any, top: int) -> None:
    samples = np.array([-top, 0, top // 2], dtype)
    assert Audio(samples, 8000).samples.tolist() == [-1.0, 0.0, 0.5]


def test_pcm_wav_is_read_as_floats() -> None:
    data = io.BytesIO()
    soundfile.write(data, tone(), 16000, format="WAV", subtype="PCM_16")
    assert np.abs(Media.load(data.getvalue(), "audio").audio.samples - tone()).max() < 1e-4


def test_mono_is_the_mean_of_the_channels() -> None:
    stereo = Audio(STEREO, 16000)
    np.testing.assert_allclose(stereo.mono().samples, STEREO.mean(axis=1))
    assert stereo.mono().mono().samples.shape == (len(STEREO),)


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_resampled_is_the_same_sound(rate: int) -> None:
    made = Audio(tone(), 16000).resample(rate)
    expected = tone(rate)
    assert (made.rate, len(made.samples)) == (rate, len(expected))
    inside = slice(rate // 50, -rate // 50)  # the filter rings at both ends
    assert np.abs(made.samples - expected)[inside].max() < 0.01


@pytest.mark.parametrize("channels", [1, 2, 3, 6])
def test_resampling_keeps_channels_apart(channels: int) -> None:
    samples = np.stack([tone() * (c + 1) / channels for c in range(channels)], axis=1)
    made = Audio(samples, 16000).resample(8000).samples
    assert made.shape == (4000, channels)
    np.testing.assert_allclose(made.std(axis=0), samples.std(axis=0), rtol=0.02)


def test_resampling_to_its_own_rate_is_nothing() -> None:
    audio = Audio(tone(), 16000)
    assert audio.resample(16000) is audio
