"""How notes are played: in a rhythm, at a level, in the generator's style or as other makers have them.

Waves are 16 kHz, mono, 2.048 s.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from recipes.pocket import effects, recorded_effects
from recipes.pocket.sounds import OFFSETS, OWN_FONT, RATE, SAMPLES, notes, train_font
from recipes.pocket.world import LOUDNESSES, PITCHES, TONELESS, Sound

FRAME_RATE = RATE / 256  # of the generator's spectrograms
REACH = 4.5  # semitones from a pitch: so far its notes go
RHYTHM = {"one": (1, 2.0), "two": (2, 0.98), "three": (3, 0.65), "fast": (7, 0.28)}  # notes, and the seconds of each
REST = 0.2  # the part of a repeated note's time that is silent
EFFECTS = frozenset({*effects.MAKERS, *recorded_effects.FILES})  # what is made by rule or was recorded
FONTLESS = 0.4  # of the effects that are heard in training are of no font, as there are few makers of them
RECORDED = 0.6  # of these are recordings, the others made by rule, for a concept that has both
LOOPED = 0.3  # of the notes go on as a loop, as those of small soundfonts do
MIXED = 0.3  # of the sounds with a pitch are of two fonts at once: timbres between those that there are


def play(
    sound: Sound, font: str, cache: Path, rng: random.Random, offsets: Sequence[int], tuned: bool = False
) -> np.ndarray:
    """A sound of a font by its first program, float32 [SAMPLES]; `tuned`: to what a vocoder can say."""
    note, midi_note = notes(font, cache).draw(sound, rng, offsets, own=True)
    tonal = tuned and sound.concept not in TONELESS
    return compose(tune(note, midi_note, sound.pitch) if tonal else note, sound, rng)


def own(sound: Sound, cache: Path, rng: random.Random) -> np.ndarray:
    """A sound in the generator's style, float32 [SAMPLES]."""
    return play(sound, OWN_FONT, cache, rng, OFFSETS, tuned=True)


def varied(sound: Sound, cache: Path, rng: random.Random, fontless: float = 0.0) -> np.ndarray:
    """A sound as other makers have it, float32 [SAMPLES]: a training font's, changed, and at times mixed with the same
    note of another font. A share of `fontless` of the effects are recordings or made by rule."""
    at = (rng.choice(OFFSETS),)

    def part() -> np.ndarray:
        if sound.concept in EFFECTS and rng.random() < fontless:
            return vary(effect(sound, cache, rng), sound.concept in TONELESS, rng)
        note, midi_note = notes(train_font(sound.concept, rng), cache).draw(sound, rng, at, own=False)
        if sound.concept not in TONELESS and rng.random() < LOOPED:
            note = looped(note, hertz(midi_note), rng)
        return vary(note, sound.concept in TONELESS, rng)

    made = part()
    if sound.concept not in TONELESS and rng.random() < MIXED:
        made = made + np.float32(rng.uniform(0.2, 1)) * part()
    return compose(made, sound, rng)


def effect(sound: Sound, cache: Path, rng: random.Random) -> np.ndarray:
    """An effect of no font [SAMPLES], at the scale of 16 bits: a recording, or made by rule."""
    recorded, ruled = sound.concept in recorded_effects.FILES, sound.concept in effects.MAKERS
    if recorded and (not ruled or rng.random() < RECORDED):
        return recorded_effects.make(sound, cache, rng)
    return effects.make(sound.concept, rng)


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


def tune(note: np.ndarray, midi_note: int, pitch: str) -> np.ndarray:
    """A note moved to the nearest multiple of the frame rate of its spectrogram that is still of its pitch.

    A vocoder makes the same of each frame of a steady note, so that what it makes repeats with every frame: of other
    pitches it can only make a buzz. The instruments of the generator are tuned to what it can say.
    """
    own = hertz(midi_note)
    said = [FRAME_RATE * k for k in range(1, 16) if abs(12 * math.log2(FRAME_RATE * k / hertz(PITCHES[pitch]))) < REACH]
    time, speed = np.arange(SAMPLES), min(said, key=lambda f: abs(math.log(f / own))) / own
    return np.interp(time * speed, time, note, right=0)


def hertz(midi_note: int) -> float:
    return float(440 * 2 ** ((midi_note - 69) / 12))


def looped(note: np.ndarray, pitch: float, rng: random.Random) -> np.ndarray:
    """A note [SAMPLES] of a pitch in Hz that goes on, after its beginning, as a loop of a few of its periods."""
    length = round(rng.randint(1, 16) * RATE / pitch)
    start = max(length, round(rng.uniform(0.05, 0.5) * RATE))
    fade = np.linspace(0, 1, length // 2)
    loop = note[start : start + length].astype(np.float64)
    before = note[start - len(fade) : start]
    loop[length - len(fade) :] = loop[length - len(fade) :] * (1 - fade) + before * fade  # so that its ends meet
    found = note.astype(np.float64)
    found[start:] = np.resize(loop, len(note) - start)
    return found * np.exp(-np.maximum(0, np.arange(len(note)) - start) / RATE * rng.choice((0, rng.uniform(0, 4))))


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
