"""Sounds, by soundfile (libsndfile); what it does not know (m4a, the sound of a film) by PyAV."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from orchestrator.errors import InputError
from orchestrator.nodes.media import Audio
from orchestrator.nodes.media_io import CONTAINERS, Codec

MAX_SAMPLES = 2**28  # of all channels: 93 minutes of one channel at 48 kHz, 1 GiB
SUBTYPES = {".wav": "FLOAT", ".flac": "PCM_24"}  # WAV keeps the samples exactly


class AudioCodec(Codec):
    """Samples as the file has them: its rate, its channels."""

    saves = (".wav", ".flac", ".ogg", ".mp3")

    def owns(self, value: object) -> bool:
        return isinstance(value, Audio) or (isinstance(value, tuple) and len(value) == 2)

    def accept(self, value: Any) -> Audio:
        if isinstance(value, Audio):
            return value
        if not (isinstance(value, tuple) and len(value) == 2):
            raise InputError(f"audio is a pair (samples, rate) or Audio, not {type(value).__name__}")
        return Audio(np.array(value[0]), value[1])

    def decode(self, file: BinaryIO, where: str, max_pixels: int) -> Audio:
        try:
            samples, rate = _by_soundfile(file, where)
        except soundfile.LibsndfileError as error:
            file.seek(0)
            samples, rate = _by_av(file, where, error.error_string)
        if not samples.size:
            raise InputError(f"{where}: holds no samples")
        try:
            return Audio(samples, rate)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None

    def encode(self, value: Audio, path: Path) -> None:
        soundfile.write(path, value.samples, value.rate, subtype=SUBTYPES.get(path.suffix))

    def content(self, value: Audio) -> Iterable[bytes]:
        return (f"{value.rate} {value.samples.shape}\0".encode(), value.samples.tobytes())

    def meta(self, value: Audio) -> dict[str, Any]:
        return {"rate": value.rate, "seconds": round(value.seconds, 3), "channels": value.channels}


def resample(samples: NDArray[np.float32], rate: int, to: int) -> NDArray[np.float32]:
    """Samples [n] or [n, channels] at another rate."""
    channels = 1 if samples.ndim == 1 else samples.shape[1]
    layout = av.AudioLayout("mono" if channels == 1 else f"{channels}c" if channels > 2 else "stereo")
    resampler = av.AudioResampler(format="fltp", layout=layout, rate=to)
    planes = np.ascontiguousarray(samples.reshape(-1, channels).T)  # channels n
    frame = av.AudioFrame.from_ndarray(planes, format="fltp", layout=layout)
    frame.sample_rate = rate
    parts = [part.to_ndarray() for part in (*resampler.resample(frame), *resampler.resample(None))]
    made = np.concatenate(parts, axis=1, dtype=np.float32).T  # n channels
    return made[:, 0] if samples.ndim == 1 else made


def _by_soundfile(file: BinaryIO, where: str) -> tuple[NDArray[np.float32], int]:
    with soundfile.SoundFile(file) as sound:
        _check_length(sound.frames * sound.channels, where)
        return sound.read(dtype="float32"), sound.samplerate


def _by_av(file: BinaryIO, where: str, reason: str) -> tuple[NDArray[np.float32], int]:
    parts: list[NDArray[np.float32]] = []
    total = 0
    try:
        with av.open(file, "r", options=dict(CONTAINERS)) as container:
            if not container.streams.audio:
                raise InputError(f"{where}: has no sound")
            stream = container.streams.audio[0]
            to_float = av.AudioResampler(format="fltp", layout=stream.layout, rate=stream.rate)
            for frame in container.decode(stream):
                for part in to_float.resample(frame):
                    parts.append(part.to_ndarray().T.astype(np.float32, copy=False))  # n channels
                    total += parts[-1].size
                    _check_length(total, where)
            rate = stream.rate
    except av.FFmpegError as error:
        formats = "WAV, FLAC, OGG, MP3 or M4A"
        raise InputError(f"{where}: is no sound that can be read ({reason}); give {formats}") from error
    samples = np.concatenate(parts) if parts else np.zeros((0, 1), np.float32)
    return samples[:, 0] if samples.shape[1] == 1 else samples, rate


def _check_length(samples: int, where: str) -> None:
    if samples > MAX_SAMPLES:
        raise InputError(f"{where}: has {samples} samples; at most {MAX_SAMPLES}: cut it, or use a lower rate")
