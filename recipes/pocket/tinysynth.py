"""Notes of a synthesizer: the General MIDI programs of webaudio-tinysynth, as two soundfonts of their own.

A program there is a list of oscillators, each with an envelope; the first ones are heard, the others modulate the
frequency or the level of an earlier one. The npm package (Apache-2.0, NOTICE) has two tables of programs: of one
oscillator, and of two that modulate each other. Its tables are read and played here as its code plays them, without
reverberation and compression, and held: no note is long enough to be released.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import numpy as np

from recipes.pocket.sources import fetch

PACKAGE, FILE = "webaudio-tinysynth", "webaudio-tinysynth.js"
TABLES = {"tinysynth": "program0", "tinysynth-fm": "program1"}  # font -> its table in the file
FINE = 6  # times finer than it is kept, each note is rendered
LOWEST = 20  # Hz: what modulation leaves below is taken away
NOISE = 22_050  # samples of noise, that last half a second at 440 Hz
STILL = 1e-6  # periods a sample: less is taken for as much
WAVE = re.compile(r"w(\d+)")  # a wave by the levels of its harmonics

Wave = Callable[[np.ndarray], np.ndarray]

PLAIN: dict[str, Wave] = {  # the antiderivative of each
    "sine": lambda x: -np.cos(2 * np.pi * x) / (2 * np.pi),
    "square": np.abs,
    "sawtooth": np.square,
    "triangle": lambda x: np.where(np.abs(x) < 0.25, 2 * x**2, 2 * np.abs(x) - 2 * x**2 - 0.25),
}


@dataclass(frozen=True)
class Oscillator:
    """One oscillator, by the names and defaults of the package: level `v`, frequency `t` times that of the note and
    `f` Hz more, its glide to `p` times that within `q` s; attack `a`, hold `h`, decay `d` to a share `s`; `k`: how
    the level follows the note. `g`: 0 is heard, n modulates the frequency of oscillator n, 10 + n its level."""

    w: str = "sine"
    g: int = 0
    t: float = 1.0
    f: float = 0.0
    v: float = 0.5
    a: float = 0.0
    h: float = 0.01
    d: float = 0.01
    s: float = 0.0
    p: float = 1.0
    q: float = 1.0
    k: float = 0.0

    def envelope(self, seconds: np.ndarray) -> np.ndarray:
        """Time [n] -> level [n]: from 0 or 1 up to 1, then exponentially towards `s`."""
        rise = np.minimum(1.0, seconds / self.a) if self.a else np.ones_like(seconds)
        return rise * (self.s + (1 - self.s) * _fall(seconds - self.a - self.h, self.d))

    def glide(self, seconds: np.ndarray) -> np.ndarray:
        """Time [n] -> the factor of the frequency [n]."""
        return self.p + (1 - self.p) * _fall(seconds, self.q)


def _fall(seconds: np.ndarray, constant: float) -> np.ndarray:
    """1 before 0 s, then exponentially to 0; at once, if the time constant is 0."""
    return np.exp(-np.maximum(0.0, seconds) / constant) if constant else (seconds < 0).astype(float)


def tables(text: str, name: str) -> list[list[Oscillator]]:
    """The JavaScript of the package, the name of a table -> the oscillators of its programs, in their order."""
    bare = re.sub(r"/\*.*?\*/|//[^\n]*", "", text, flags=re.DOTALL)
    found = re.search(name + r":\s*\[(.*?\])\s*,?\s*\]", bare, re.DOTALL)
    if found is None:
        raise ValueError(f"there is no table {name}")
    programs = re.findall(r"\[(.*?)\]", found[1], re.DOTALL)
    return [[_oscillator(body) for body in re.findall(r"\{(.*?)\}", program, re.DOTALL)] for program in programs]


def _oscillator(body: str) -> Oscillator:
    """`w:"sine",v:.4,g:1` -> the oscillator; keys that mean nothing here are passed over (the release `r`)."""
    given: dict[str, str] = dict(re.findall(r'(\w+):"?([\w.+-]+)', body))
    wave, goal = given.pop("w", "sine"), int(given.pop("g", "0"))
    return Oscillator(wave, goal, **{k: float(v) for k, v in given.items() if k in Oscillator.__dataclass_fields__})


@once
def programs(font: str, cache: Path) -> list[list[Oscillator]]:
    """The oscillators of each program of a font."""
    return tables((fetch(PACKAGE, cache) / FILE).read_text(), TABLES[font])


@once
def integral(name: str) -> Wave:
    """The antiderivative of one period of a wave: phase [n] from -0.5 to 0.5 -> [n]. The mean of a wave between two
    phases is exact with it, so that little of the jumps of a wave is left to alias."""
    if found := WAVE.fullmatch(name):
        levels = np.array([int(digit) for digit in found[1]])
        return _harmonics(levels)
    if name.startswith("n"):  # noise is a wave with a long period
        noise = np.random.default_rng(0).uniform(-1, 1, NOISE)
        summed = np.concatenate([[0.0], np.cumsum(noise - noise.mean())]) / NOISE
        return lambda x: np.interp(x, np.linspace(-0.5, 0.5, NOISE + 1), summed)
    return PLAIN[name]


def _harmonics(levels: np.ndarray) -> Wave:
    """The antiderivative of a sum of sines whose peak is 1."""
    turns = 2 * np.pi * np.arange(1, len(levels) + 1)
    peak = np.abs(levels @ np.sin(np.outer(turns, np.linspace(0, 1, 1024)))).max()
    return lambda x: -(levels / turns / peak) @ np.cos(np.outer(turns, x))


def sounded(name: str, hertz: np.ndarray, rate: int) -> np.ndarray:
    """Frequency [n] -> a wave [n] of this frequency at `rate`."""
    if name.startswith("n"):
        hertz = hertz / 220  # the noise is heard twice a second at 440 Hz
    step = hertz / rate
    begin = np.cumsum(step) - step
    step = np.where(np.abs(step) < STILL, STILL, step)
    area = integral(name)(_turn(begin + step)) - integral(name)(_turn(begin))
    return area / step


def _turn(phase: np.ndarray) -> np.ndarray:
    """Phase [n] -> the same within -0.5 and 0.5."""
    return (phase + 0.5) % 1 - 0.5


def note(oscillators: Sequence[Oscillator], midi_note: int, rate: int, samples: int) -> np.ndarray:
    """A note, held -> float [samples] at `rate`. The last oscillator is the first to be played: it is modulated by
    none, and modulates an earlier one."""
    fine, pitch = FINE * rate, 440 * 2 ** ((midi_note - 69) / 12)
    seconds = np.arange(FINE * samples) / fine
    hertz: list[float] = []
    for own in oscillators:
        base = hertz[(own.g - 1) % 10] if own.g else pitch
        hertz.append(base * own.t + own.f)
    vibrato, tremolo = (np.zeros((len(hertz), len(seconds))) for _ in range(2))
    heard = np.zeros(len(seconds))
    for i, own in reversed(list(enumerate(oscillators))):
        level = own.v * 2 ** ((midi_note - 60) / 12 * own.k) * own.envelope(seconds) + tremolo[i]
        wave = level * sounded(own.w, hertz[i] * own.glide(seconds) + vibrato[i], fine)
        if own.g == 0:
            heard += wave
        elif own.g > 10:
            tremolo[own.g - 11] += wave
        else:
            vibrato[own.g - 1] += hertz[own.g - 1] * wave
    spectrum = np.fft.rfft(heard)[: samples // 2 + 1] / FINE
    low = np.fft.rfftfreq(samples, 1 / rate) / LOWEST
    return np.fft.irfft(spectrum * (low**2 / (1 + low**2)), samples)


def played(
    font: str, program: int, notes: Sequence[tuple[int, int]], rate: int, samples: int, cache: Path
) -> np.ndarray:
    """(MIDI note, velocity) of a program -> float [n, samples] at `rate`; the velocity is heard in the level only."""
    oscillators = programs(font, cache)[program]
    made = {midi_note: note(oscillators, midi_note, rate, samples) for midi_note, _ in notes}
    return np.stack([made[midi_note] * (velocity / 128) ** 2 for midi_note, velocity in notes])
