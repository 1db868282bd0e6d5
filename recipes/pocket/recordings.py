"""Recorded notes of real instruments: npm packages with an MP3 a note, as a soundfont of their own.

The packages are `tonejs-instrument-*-mp3`; the recordings are from the public domain and under CC BY 3.0 (NOTICE).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache as once
from pathlib import Path

import numpy as np
import soundfile

from recipes.pocket.sources import fetch

PACKAGE = "tonejs-instrument-{}-mp3"
PROGRAMS = {  # General MIDI program -> the instrument that was recorded
    0: "piano", 19: "organ", 21: "harmonium", 24: "guitar-nylon", 25: "guitar-acoustic", 40: "violin", 56: "trumpet",
    60: "french-horn", 65: "saxophone", 73: "flute",
}  # fmt: skip
FARTHEST = 12  # semitones that a recording may be moved by
NAME = re.compile(r"([A-G])(s?)(\d)\.mp3")
STEPS = {"C": 0, "D": 2, "E": 4, "F": 5, "G": 7, "A": 9, "B": 11}


def midi_note(name: str) -> int | None:
    """`As3.mp3` -> 58; None for what is no note."""
    found = NAME.fullmatch(name)
    return None if found is None else 12 * (int(found[3]) + 1) + STEPS[found[1]] + len(found[2])


@once
def recorded(program: int, cache: Path) -> dict[int, Path]:
    """MIDI note -> the file of its recording."""
    folder = fetch(PACKAGE.format(PROGRAMS[program]), cache)
    files = {midi_note(file.name): file for file in sorted(folder.rglob("*.mp3"))}
    return {note: file for note, file in files.items() if note is not None}


def played(program: int, notes: Sequence[int], rate: int, samples: int, cache: Path) -> np.ndarray:
    """MIDI notes -> float [n, samples] at `rate`: the nearest recording, played faster or slower.

    A note that is too far from all recordings is silent.
    """
    out = np.zeros((len(notes), samples))
    files = recorded(program, cache)
    for row, note in zip(out, notes, strict=True):
        near = min(files, key=lambda known: abs(known - note))
        if abs(near - note) <= FARTHEST:
            wave, own = soundfile.read(files[near], always_2d=True)
            found = paced(wave.mean(1), 2 ** ((note - near) / 12) * own / rate)[:samples]
            row[: len(found)] = found
    return out


def paced(wave: np.ndarray, speed: float) -> np.ndarray:
    """A wave [n] played `speed` times as fast -> [n / speed], without what would alias."""
    length = round(len(wave) / speed)
    return np.fft.irfft(np.fft.rfft(wave)[: length // 2 + 1], length) * (length / len(wave))
