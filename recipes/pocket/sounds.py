"""The sounds: notes and effects of General MIDI soundfonts, rendered once by fluidsynth and kept as one .npz a font.

    python -m recipes.pocket.sounds --cache .pocket

Needs `fluidsynth`, `npm` and the soundfonts (Debian: fluid-soundfont-gm, musescore-general-soundfont-small,
csound-soundfont and, for the published test only, timgm6mb-soundfont). Licences: see NOTICE. Waveforms are 16 kHz,
mono, 2.048 s.
"""

from __future__ import annotations

import argparse
import itertools
import random
import struct
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache as once
from pathlib import Path

import numpy as np

from recipes.pocket import recordings
from recipes.pocket.sources import fetch
from recipes.pocket.world import LOUDNESSES, PITCHES, SOUNDS, TONELESS, Sound

RATE, SAMPLES = 16_000, 32_768
FRAME_RATE = RATE / 256  # of the generator's spectrograms
FONTS = {
    "fluid": "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "musescore": "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
    "csound": "/usr/share/sounds/sf2/sf_GMbank.sf2",
    "sonivox": "@coderline/alphatab:dist/soundfont/sonivox.sf2",  # a file of an npm package
    "timgm": "/usr/share/sounds/sf2/TimGM6mb.sf2",
}
RECORDED = "recorded"  # real instruments (`recordings`), used like a font
TRAIN_FONTS, TEST_FONT = (
    ("fluid", "musescore", "csound", "sonivox", RECORDED),
    "timgm",
)  # no recipe may train on the test font
OWN_FONT = "fluid"  # the generator's style
# the programs of a font that may be used: the others of csound's are, note by note, those of the test font
CLEAN = {
    "csound": frozenset({52, 56, 60, 65, 73, 14, 116, 117, 118, 122, 123, 124, 125, 126, 127}),
    RECORDED: frozenset(recordings.PROGRAMS),
}
OFFSETS, TEST_OFFSETS = (-4, -2, 0, 2, 4), (-3, -1, 1, 3)  # semitones from a pitch: the test's are not trained on
VELOCITIES = dict(zip(LOUDNESSES, (85, 50, 120), strict=True))
RENDER_RATE, TICKS = 48_000, 960  # a second; rendered finer than it is kept, so that nothing aliases
HELD, SLOT = 2.4, 3.2  # seconds: of a note, and until the next
RHYTHM = {"one": (1, 2.0), "two": (2, 0.98), "three": (3, 0.65), "fast": (7, 0.28)}  # notes, and the seconds of each
REST = 0.2  # the part of a repeated note's time that is silent


def _events(program: int, notes: Sequence[tuple[int, int]]) -> Iterator[tuple[float, bytes]]:
    """Seconds and MIDI messages on channel 0: each (note, velocity) in a slot of its own, silenced at its end."""
    yield 0.0, bytes((0xC0, program))
    for i, (note, velocity) in enumerate(notes):
        yield i * SLOT, bytes((0x90, note, velocity))
        yield i * SLOT + HELD, bytes((0x80, note, 0))
        yield (i + 1) * SLOT - 0.05, bytes((0xB0, 120, 0))


def midi(program: int, notes: Sequence[tuple[int, int]]) -> bytes:
    """A Standard MIDI File of one track; 480 ticks a beat at 120 beats a minute are `TICKS` a second."""
    track, now = bytearray(), 0
    for seconds, message in _events(program, notes):
        tick = round(seconds * TICKS)
        track += _varying(tick - now) + message
        now = tick
    track += b"\x00\xff\x2f\x00"
    return b"MThd" + struct.pack(">IHHH", 6, 0, 1, TICKS // 2) + b"MTrk" + struct.pack(">I", len(track)) + track


def _varying(value: int) -> bytes:
    """MIDI's variable-length quantity: seven bits a byte, the highest first."""
    digits = [value & 127]
    while value := value >> 7:
        digits.insert(0, value & 127 | 128)
    return bytes(digits)


def file_of(font: str, cache: Path) -> Path:
    """The soundfont's file; that of a package is fetched."""
    package, colon, file = FONTS[font].partition(":")
    return fetch(package, cache) / file if colon else Path(package)


def render(font: Path, program: int, notes: Sequence[tuple[int, int]]) -> np.ndarray:
    """Notes (MIDI note, velocity) of a program -> int16 [n, SAMPLES], from where each is first heard, at full scale."""
    with tempfile.TemporaryDirectory() as folder:
        song, raw = Path(folder, "song.mid"), Path(folder, "song.raw")
        song.write_bytes(midi(program, notes))
        options = ["-n", "-i", "-q", "-R", "0", "-C", "0", "-g", "0.5", "-r", str(RENDER_RATE)]
        formats = ["-T", "raw", "-O", "s16", "-E", "little", "-F", str(raw)]
        subprocess.run(["fluidsynth", *options, *formats, str(font), str(song)], check=True, capture_output=True)
        wave = np.fromfile(raw, "<i2").reshape(-1, 2).mean(1)
    slot, keep = round(SLOT * RENDER_RATE), round(SLOT * RATE)
    wave = np.pad(wave, (0, max(0, slot * len(notes) - len(wave))))[: slot * len(notes)].reshape(-1, slot)
    wave = np.fft.irfft(np.fft.rfft(wave)[:, : keep // 2 + 1], keep)  # an ideal low-pass, then every third sample
    return np.stack([_trim(row) for row in wave])


def recording(program: int, notes: Sequence[tuple[int, int]], cache: Path) -> np.ndarray:
    """As `render`, of a recorded instrument, which was played at one loudness."""
    waves = recordings.played(program, [note for note, _ in notes], RATE, round(SLOT * RATE), cache)
    return np.stack([_trim(32_000 * row) for row in waves])


def _trim(wave: np.ndarray) -> np.ndarray:
    """[n] -> int16 [SAMPLES] from 10 ms before a tenth of the peak, scaled to the peak."""
    peak = np.abs(wave).max() + 1e-6
    start = max(0, int(np.argmax(np.abs(wave) > 0.1 * peak)) - RATE // 100)
    found = wave[start : start + SAMPLES]
    return np.pad(found * (32_000 / peak), (0, SAMPLES - len(found))).round().astype(np.int16)


def pitches(concept: str, offsets: Sequence[int]) -> dict[str, list[int]]:
    """Pitch -> the MIDI notes of a concept; what has no pitch is played around the middle only."""
    names = ["middle"] if concept in TONELESS else list(PITCHES)
    return {name: [PITCHES[name] + offset for offset in offsets] for name in names}


def programs(font: str, concept: str) -> list[int]:
    """The programs of a concept that a font has for us; none, if it may not be used for it."""
    return [program for program in SOUNDS[concept] if program in CLEAN.get(font, SOUNDS[concept])]


def train_font(concept: str, rng: random.Random) -> str:
    """A random training font that has a concept."""
    return rng.choice([font for font in TRAIN_FONTS if programs(font, concept)])


@dataclass(frozen=True)
class Notes:
    """Single notes of a font: by concept, program, MIDI note and loudness, int16 [SAMPLES]. Notes that a program does
    not have, silent ones, are left out."""

    font: str
    found: dict[tuple[str, int, int, str], np.ndarray]

    def draw(
        self, sound: Sound, rng: random.Random, offsets: Sequence[int], own: bool, tuned: bool = False
    ) -> np.ndarray:
        """A random note that fits the sound, of another offset if there is none; `own`: of the generator's program."""
        known = programs(self.font, sound.concept)[: 1 if own else None]
        for tried in (offsets, OFFSETS):
            fitting = itertools.product(known, pitches(sound.concept, tried)[sound.pitch])
            keys = [(sound.concept, program, note, sound.loudness) for program, note in fitting]
            if there := [key for key in keys if key in self.found]:
                break
        key = rng.choice(there)
        return tune(self.found[key], key[2]) if tuned and sound.concept not in TONELESS else self.found[key]


def tune(note: np.ndarray, midi_note: int) -> np.ndarray:
    """A note moved to the nearest multiple of the frame rate of its spectrogram.

    A vocoder makes the same of each frame of a steady note, so that what it makes repeats with every frame: of other
    pitches it can only make a buzz. The instruments of the generator are tuned to what it can say.
    """
    pitch = 440 * 2 ** ((midi_note - 69) / 12)
    speed = max(1, round(pitch / FRAME_RATE)) * FRAME_RATE / pitch
    time = np.arange(SAMPLES)
    return np.interp(time * speed, time, note, right=0)


@once
def notes(font: str, cache: Path) -> Notes:
    """All notes of a font: rendered on the first call, then read from the cache."""
    path = cache / f"sounds-{font}.npz"
    offsets = TEST_OFFSETS if font == TEST_FONT else tuple(sorted({*OFFSETS, *TEST_OFFSETS}))
    keys = [
        (concept, program, note, loudness)
        for concept in SOUNDS
        for program in programs(font, concept)
        for group in pitches(concept, offsets).values()
        for note in group
        for loudness in LOUDNESSES
    ]
    if not path.exists():
        parts = []
        for program in dict.fromkeys(key[1] for key in keys):
            wanted = [(note, VELOCITIES[loudness]) for _, own, note, loudness in keys if own == program]
            parts.append(
                recording(program, wanted, cache) if font == RECORDED else render(file_of(font, cache), program, wanted)
            )
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, waves=np.concatenate(parts))
    with np.load(path) as kept:
        return Notes(font, {key: wave for key, wave in zip(keys, kept["waves"], strict=True) if wave.any()})


def compose(note: np.ndarray, sound: Sound, rng: random.Random) -> np.ndarray:
    """A note [SAMPLES] played in the sound's rhythm at its loudness -> float32 [SAMPLES] in [-1, 1]."""
    count, seconds = RHYTHM[sound.rhythm]
    seconds *= rng.uniform(0.94, 1.0)
    every, start = round(seconds * RATE), rng.randrange(RATE // 30)
    length = round(every * (1 - REST)) if count > 1 else every
    fade = np.minimum(1, np.arange(length)[::-1] / (0.03 * RATE))
    wave = np.zeros(SAMPLES, np.float32)
    for i in range(count):
        part = wave[start + i * every : start + i * every + length]
        part += (note[:length] * fade)[: len(part)]
    energy, window = np.cumsum(wave.astype(np.float64) ** 2), RATE // 10
    loudest = np.sqrt((energy[window:] - energy[:-window]).max() / window)
    level = LOUDNESSES[sound.loudness] * 10 ** (rng.uniform(-1.5, 1.5) / 20)
    return np.clip(wave * np.float32(level / (loudest + 1e-6)), -1, 1)


def vary(note: np.ndarray, toneless: bool, rng: random.Random) -> np.ndarray:
    """A note as another maker has it: out of tune, harsher, dying away sooner, ending early, or in a room."""
    time = np.arange(SAMPLES)
    speed = 2 ** (rng.uniform(-1, 1) * (5 if toneless else 0.8) / 12)
    found = np.interp(time * speed, time, note, right=0).astype(np.float32) / 32_767
    seconds = time / RATE
    if rng.random() < 0.25:
        found = np.tanh(found * rng.uniform(1, 6))
    if rng.random() < 0.5:
        found = _duller(found, rng)
    if rng.random() < 0.4:
        found = found * np.exp(-seconds * rng.uniform(0.5, 6)).astype(np.float32)
    if rng.random() < 0.2:
        end = rng.uniform(0.15, 1.5)
        found = found * np.clip((end - seconds) * 30, 0, 1).astype(np.float32)
    if rng.random() < 0.4:
        tail = np.random.default_rng(rng.randrange(2**31)).normal(size=SAMPLES) * np.exp(-seconds * rng.uniform(4, 25))
        room = np.fft.irfft(np.fft.rfft(found, 2 * SAMPLES) * np.fft.rfft(tail, 2 * SAMPLES))[:SAMPLES]
        found = found + rng.uniform(0.05, 0.5) * room.astype(np.float32) * (np.abs(found).max() / np.abs(room).max())
    return found


def _duller(wave: np.ndarray, rng: random.Random) -> np.ndarray:
    """Without its highs, as small soundfonts have it, or at times without its lows."""
    hertz = np.fft.rfftfreq(SAMPLES, 1 / RATE)
    gain = (1 + (hertz / 2 ** rng.uniform(9.5, 12.8)) ** 2) ** -rng.uniform(0.3, 2)
    if rng.random() < 0.25:
        gain *= (hertz / (hertz + rng.uniform(100, 600))) ** rng.uniform(0.5, 2)
    made = np.fft.irfft(np.fft.rfft(wave) * gain, SAMPLES)
    return (made * (np.abs(wave).max() / (np.abs(made).max() + 1e-9))).astype(np.float32)


def play(
    sound: Sound, font: str, cache: Path, rng: random.Random, offsets: Sequence[int], tuned: bool = False
) -> np.ndarray:
    """A sound of a font by its first program, float32 [SAMPLES]; `tuned`: as the generator has it."""
    return compose(notes(font, cache).draw(sound, rng, offsets, own=True, tuned=tuned), sound, rng)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".pocket"))
    cache = parser.parse_args().cache
    for font in (*TRAIN_FONTS, TEST_FONT):
        print(f"{font:12s} {len(notes(font, cache).found):5d} notes of {len(SOUNDS)} concepts", flush=True)


if __name__ == "__main__":
    main()
