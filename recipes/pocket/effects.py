"""Effects made by rule, as no soundfont has them: every maker's helicopter is another, and there are few makers.

Each is a random member of a family that has what people know it by: the beat of a rotor, the trill of a telephone, the
swell of the sea. Waves are 16 kHz, float64 [SAMPLES], at the scale of 16 bits, as the notes of fonts are.
"""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np

from recipes.pocket.sounds import RATE, SAMPLES

TIME = np.arange(SAMPLES) / RATE
HERTZ = np.fft.rfftfreq(SAMPLES, 1 / RATE)


def noise(rng: random.Random, low: float, high: float, steep: float = 2) -> np.ndarray:
    """Noise of a band in Hz, of deviation 1."""
    wave = np.random.default_rng(rng.randrange(2**31)).normal(size=SAMPLES)
    gain = 1 / np.sqrt((1 + (HERTZ / high) ** (2 * steep)) * (1 + (low / (HERTZ + 1)) ** (2 * steep)))
    found = np.fft.irfft(np.fft.rfft(wave) * gain, SAMPLES)
    return found / found.std()


def tone(hertz: float | np.ndarray, harmonics: int = 1, fall: float = 2) -> np.ndarray:
    """A tone of a frequency, or of one that changes [SAMPLES], with so many harmonics, each `fall` times softer."""
    phase = 2 * np.pi * np.cumsum(np.broadcast_to(hertz, TIME.shape)) / RATE
    highest = np.max(hertz)
    parts = [np.sin(k * phase) / fall ** (k - 1) for k in range(1, harmonics + 1) if k * highest < RATE / 2]
    return np.sum(parts or [np.zeros(SAMPLES)], axis=0)


def beats(rng: random.Random, rate: float, decay: float, uneven: float = 0.0) -> np.ndarray:
    """Strokes, `rate` a second, that fall by e in `decay` seconds; `uneven` in time and force, 0 to 1."""
    struck = np.zeros(SAMPLES)
    at = rng.uniform(0, 0.5) / rate
    while at < TIME[-1]:
        struck[int(at * RATE)] += 1 + uneven * rng.uniform(-0.8, 0.8)
        at += (1 + uneven * rng.uniform(-0.9, 0.9)) / rate
    length = min(SAMPLES, int(8 * decay * RATE) + 2)
    tail = np.exp(-TIME[:length] / decay)
    return np.fft.irfft(np.fft.rfft(struck, 2 * SAMPLES) * np.fft.rfft(tail, 2 * SAMPLES))[:SAMPLES]


def helicopter(rng: random.Random) -> np.ndarray:
    """Noise that beats with the blades, over the hum of an engine."""
    rate = rng.uniform(6, 20)
    blades = beats(rng, rate, rng.uniform(0.1, 0.6) / rate, 0.05)
    low = rng.uniform(20, 150)
    wave = noise(rng, low, low * rng.uniform(4, 30)) * (rng.uniform(0.02, 0.4) + blades / blades.max())
    return wave + rng.uniform(0, 0.4) * tone(rng.uniform(50, 200), 6, rng.uniform(1.1, 2))


def wave(rng: random.Random) -> np.ndarray:
    """Noise that swells and ebbs slowly, brighter where it is loud."""
    swell = np.sin(np.pi * (TIME / rng.uniform(1.2, 5) + rng.uniform(0, 1))) ** 2
    deep = noise(rng, 30, rng.uniform(300, 2000), 1)
    return deep * (rng.uniform(0.1, 0.5) + swell) + rng.uniform(0.1, 1) * noise(rng, 800, 6000, 1) * swell**2


def clapping(rng: random.Random) -> np.ndarray:
    """Many short strokes of bright noise, by few hands or by a hall."""
    low = rng.uniform(400, 1200)
    hands = beats(rng, 2 ** rng.uniform(3.5, 7.5), rng.uniform(0.003, 0.02), 0.95)
    hall = rng.uniform(0, 0.5) * hands.max() * noise(rng, 500, 4000) * rng.uniform(0, 0.3)
    return noise(rng, low, low * rng.uniform(2, 6)) * hands + hall


def telephone(rng: random.Random) -> np.ndarray:
    """A bell struck fast, or two tones that alternate; at times with the pause between rings."""
    rate, first = rng.uniform(10, 32), 2 ** rng.uniform(8.8, 11.3)
    second = first * rng.choice((1.0, rng.uniform(1.1, 1.6)))
    if rng.random() < 0.5:
        bells = (tone(first * r) + tone(second * r * 1.01) for r in (1, rng.uniform(1.5, 2.9), rng.uniform(3, 5)))
        wave = np.sum([bell / (i + 1) for i, bell in enumerate(bells)], axis=0)
        wave = wave * (rng.uniform(0.05, 0.4) + beats(rng, rate, rng.uniform(0.01, 0.08), 0.05))
    else:
        wave = tone(np.where(TIME * rate % 1 < 0.5, first, second), rng.randint(1, 6), rng.uniform(1.2, 3))
    rings = rng.uniform(0.4, 2.2)
    return wave * (TIME % (rings + rng.uniform(0.2, 1)) < rings)


def bird(rng: random.Random) -> np.ndarray:
    """Short whistles that glide, high up."""
    rate, middle = rng.uniform(2.5, 12), 2 ** rng.uniform(10.6, 12.4)
    phase = TIME * rate % 1
    glide = rng.choice((-1, 1)) * rng.uniform(0.05, 0.5) * (phase - 0.5)
    trill = rng.uniform(0, 0.12) * np.sin(2 * np.pi * rng.uniform(15, 70) * TIME)
    sung = np.clip(np.sin(np.pi * np.clip(phase / rng.uniform(0.25, 0.9), 0, 1)), 0, 1) ** rng.uniform(0.5, 2)
    return tone(middle * 2 ** (glide + trill), rng.randint(1, 3), rng.uniform(2, 8)) * sung


def fireworks(rng: random.Random) -> np.ndarray:
    """One bang: noise that falls and grows dull, over a thump; at times with an echo."""
    long = rng.uniform(0.04, 0.6)
    bright = noise(rng, 200, 7000, 1) * np.exp(-TIME / (0.3 * long))
    wave = bright + noise(rng, 30, rng.uniform(400, 2500), 1) * np.exp(-TIME / long)
    wave = wave + rng.uniform(0, 1.5) * tone(rng.uniform(40, 120)) * np.exp(-TIME / rng.uniform(0.05, 0.3))
    late = int(rng.uniform(0.05, 0.4) * RATE)
    return wave + rng.choice((0, rng.uniform(0.1, 0.5))) * np.pad(wave, (late, 0))[:SAMPLES]


def drum(rng: random.Random) -> np.ndarray:
    """A skin whose tone falls a little, and the click of the stick."""
    decay, low = rng.uniform(0.05, 0.5), 2 ** rng.uniform(5.6, 7.6)
    skin = tone(low * (1 + rng.uniform(0, 1.5) * np.exp(-TIME / rng.uniform(0.02, 0.1))), 3, rng.uniform(2, 6))
    click = noise(rng, 200, rng.uniform(800, 5000)) * np.exp(-TIME / rng.uniform(0.003, 0.05))
    return skin * np.exp(-TIME / decay) + rng.uniform(0.05, 0.6) * click


MAKERS: dict[str, Callable[[random.Random], np.ndarray]] = {
    "helicopter": helicopter, "wave": wave, "clapping hands": clapping, "telephone": telephone, "bird": bird,
    "fireworks": fireworks, "drum": drum,
}  # fmt: skip


def make(concept: str, rng: random.Random) -> np.ndarray:
    """A random effect of a concept that has a rule, at full scale."""
    found = MAKERS[concept](rng) * np.minimum(1, TIME / rng.uniform(0.001, 0.02))
    return 32_000 * found / (np.abs(found).max() + 1e-9)
