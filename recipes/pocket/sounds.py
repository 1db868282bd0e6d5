"""The sounds: notes and effects of General MIDI soundfonts, rendered once and kept as one .npz a font.

    python -m recipes.pocket.sounds --cache .pocket

Needs `fluidsynth`, `wildmidi`, `npm` and the soundfonts (Debian: fluid-soundfont-gm, fluid-soundfont-gs,
musescore-general-soundfont-small, csound-soundfont, opl3-soundfont, freepats and, for the published test only,
timgm6mb-soundfont). Licences: see NOTICE. Waveforms are 16 kHz, mono, 2.048 s.
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
import soundfile

from recipes.pocket import recordings
from recipes.pocket.sources import fetch
from recipes.pocket.world import LOUDNESSES, PITCHES, SOUNDS, TONELESS, Sound

RATE, SAMPLES = 16_000, 32_768
FONTS = {
    "fluid": "/usr/share/sounds/sf2/FluidR3_GM.sf2",
    "musescore": "/usr/share/sounds/sf3/MuseScore_General_Lite.sf3",
    "csound": "/usr/share/sounds/sf2/sf_GMbank.sf2",
    "sonivox": "@coderline/alphatab:dist/soundfont/sonivox.sf2",  # a file of an npm package
    "opl3": "/usr/share/sounds/sf2/OPL-3_FM_128M.sf2",
    "freepats": "/etc/timidity/freepats.cfg",
    "gs": "/usr/share/sounds/sf2/FluidR3_GS.sf2",
    "timgm": "/usr/share/sounds/sf2/TimGM6mb.sf2",
}
RECORDED = "recorded"  # real instruments (`recordings`), used like a font
TRAIN_FONTS = ("fluid", "musescore", "csound", "sonivox", "opl3", "freepats", "gs", RECORDED)
TEST_FONT = "timgm"  # no recipe may train on it
OWN_FONT = "fluid"  # the generator's style
BANKS = {"gs": {112: (5, 124), 123: (3, 123), 124: (1, 124), 127: (3, 127)}}  # font -> program -> its bank and program
# the programs of a font that may be used: notes of the others are, or may be, those of the test font, or missing
CLEAN = {
    "csound": frozenset({52, 56, 60, 65, 73, 14, 116, 117, 118, 122, 123, 124, 125, 126, 127}),
    "opl3": frozenset(range(128)) - {116},
    "freepats": frozenset({24, 25, 40, 56, 59, 65, 64, 66, 23, 73, 14, 125, 122, 19, 60, 53, 80}),
    "gs": frozenset(BANKS["gs"]),
    RECORDED: frozenset(recordings.PROGRAMS),
}
OFFSETS, TEST_OFFSETS = (-4, -2, 0, 2, 4), (-3, -1, 1, 3)  # semitones from a pitch: the test's are not trained on
VELOCITIES = dict(zip(LOUDNESSES, (85, 50, 120), strict=True))
RENDER_RATE, TICKS = 48_000, 960  # a second; rendered finer than it is kept, so that nothing aliases
HELD, SLOT = 2.4, 3.2  # seconds: of a note, and until the next


def _events(bank: int, program: int, notes: Sequence[tuple[int, int]]) -> Iterator[tuple[float, bytes]]:
    """Seconds and MIDI messages on channel 0: each (note, velocity) in a slot of its own, silenced at its end."""
    yield 0.0, bytes((0xB0, 0, bank))
    yield 0.0, bytes((0xC0, program))
    for i, (note, velocity) in enumerate(notes):
        yield i * SLOT, bytes((0x90, note, velocity))
        yield i * SLOT + HELD, bytes((0x80, note, 0))
        yield (i + 1) * SLOT - 0.05, bytes((0xB0, 120, 0))


def midi(program: int, notes: Sequence[tuple[int, int]], bank: int = 0) -> bytes:
    """A Standard MIDI File of one track; 480 ticks a beat at 120 beats a minute are `TICKS` a second."""
    track, now = bytearray(), 0
    for seconds, message in _events(bank, program, notes):
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


def render(font: Path, program: int, notes: Sequence[tuple[int, int]], bank: int = 0) -> np.ndarray:
    """Notes (MIDI note, velocity) of a program -> int16 [n, SAMPLES], from where each is first heard, at full scale."""
    with tempfile.TemporaryDirectory() as folder:
        song, out = Path(folder, "song.mid"), Path(folder, "song.wav")
        song.write_bytes(midi(program, notes, bank))
        rate = ["-r", str(RENDER_RATE)]
        if font.suffix == ".cfg":  # patches of a Gravis Ultrasound
            command = ["wildmidi", "-c", str(font), *rate, "-o", str(out), str(song)]
        else:
            dry = ["-n", "-i", "-q", "-R", "0", "-C", "0", "-g", "0.5"]
            command = ["fluidsynth", *dry, *rate, "-T", "wav", "-O", "s16", "-F", str(out), str(font), str(song)]
        subprocess.run(command, check=True, capture_output=True)
        wave = soundfile.read(out, always_2d=True)[0].mean(1)
    slot, keep = round(SLOT * RENDER_RATE), round(SLOT * RATE)
    wave = np.pad(wave, (0, max(0, slot * len(notes) - len(wave))))[: slot * len(notes)].reshape(-1, slot)
    wave = np.fft.irfft(np.fft.rfft(wave)[:, : keep // 2 + 1], keep)  # an ideal low-pass, then every third sample
    return np.stack([trim(32_000 * row) for row in wave])


def recording(program: int, notes: Sequence[tuple[int, int]], cache: Path) -> np.ndarray:
    """As `render`, of a recorded instrument, which was played at one loudness."""
    waves = recordings.played(program, [note for note, _ in notes], RATE, round(SLOT * RATE), cache)
    return np.stack([trim(32_000 * row) for row in waves])


def trim(wave: np.ndarray) -> np.ndarray:
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

    def draw(self, sound: Sound, rng: random.Random, offsets: Sequence[int], own: bool) -> tuple[np.ndarray, int]:
        """A random note that fits the sound, of another offset if there is none, and its MIDI note; `own`: of the
        generator's program."""
        known = programs(self.font, sound.concept)[: 1 if own else None]
        for tried in (offsets, OFFSETS):
            fitting = itertools.product(known, pitches(sound.concept, tried)[sound.pitch])
            keys = [(sound.concept, program, note, sound.loudness) for program, note in fitting]
            if there := [key for key in keys if key in self.found]:
                break
        key = rng.choice(there)
        return self.found[key], key[2]


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
            if font == RECORDED:
                parts.append(recording(program, wanted, cache))
            else:
                bank, number = BANKS.get(font, {}).get(program, (0, program))
                parts.append(render(file_of(font, cache), number, wanted, bank))
        cache.mkdir(parents=True, exist_ok=True)
        np.savez(path, waves=np.concatenate(parts))
    with np.load(path) as kept:
        return Notes(font, {key: wave for key, wave in zip(keys, kept["waves"], strict=True) if wave.any()})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".pocket"))
    cache = parser.parse_args().cache
    for font in (*TRAIN_FONTS, TEST_FONT):
        print(f"{font:12s} {len(notes(font, cache).found):5d} notes of {len(SOUNDS)} concepts", flush=True)


if __name__ == "__main__":
    main()
