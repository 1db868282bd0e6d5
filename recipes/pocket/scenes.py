"""Scenes made from drawings: uint8 pictures [64, 64, 3] and clips [8, 64, 64, 3]."""

from __future__ import annotations

import math
import random

import numpy as np
from PIL import Image

from recipes.pocket.sources import FRAMES
from recipes.pocket.world import GROUNDS, PLACES, SIZES, Scene

SIZE = 64  # px


def picture(drawing: np.ndarray, scene: Scene, rng: random.Random | None = None) -> np.ndarray:
    """One RGBA drawing [S, S, 4] on the scene's ground. With `rng`, place, size, angle and ground jitter a little."""
    return _compose(drawing, scene, _Jitter.draw(rng), 0.0, 0.0, 1.0, 0.0)


def clip(frames: np.ndarray, scene: Scene, rng: random.Random | None = None) -> np.ndarray:
    """A clip of a drawing that moves: `frames` is [1 or 8, S, S, 4]; one frame sways when the scene has no motion."""
    jitter, out = _Jitter.draw(rng), []
    for i in range(FRAMES):
        drawing = frames[i * len(frames) // FRAMES]
        motion = "sway" if scene.motion == "still" and len(frames) == 1 else scene.motion
        out.append(_compose(drawing, scene, jitter, *_pose(motion, i / FRAMES)))
    return np.stack(out)


class _Jitter:
    """Small random changes that the caption does not mention; the same for all frames of a clip."""

    def __init__(
        self, dx: float = 0, dy: float = 0, scale: float = 1, angle: float = 0, tint: tuple[int, ...] = (0, 0, 0)
    ):
        self.dx, self.dy, self.scale, self.angle, self.tint = dx, dy, scale, angle, tint

    @classmethod
    def draw(cls, rng: random.Random | None) -> _Jitter:
        if rng is None:
            return cls()
        tint = tuple(rng.randint(-12, 12) for _ in range(3))
        return cls(
            rng.uniform(-0.03, 0.03), rng.uniform(-0.03, 0.03), rng.uniform(0.92, 1.06), rng.uniform(-6, 6), tint
        )


def _pose(motion: str, t: float) -> tuple[float, float, float, float]:
    """Offset x, offset y, scale and angle (degrees) at time t in [0, 1)."""
    wave = math.sin(2 * math.pi * t)
    return {
        "still": (0.0, 0.0, 1.0, 0.0),
        "sway": (0.0, 0.0, 1.0, 9 * wave),
        "spin": (0.0, 0.0, 0.92, -360 * t),
        "jump": (0.0, -0.2 * abs(wave), 0.9, 0.0),
        "shake": (0.06 * math.sin(8 * math.pi * t + 0.6), 0.0, 0.95, 14 * math.sin(8 * math.pi * t + 0.6)),
        "grow": (0.0, 0.0, 0.5 + 0.55 * t, 0.0),
        "shrink": (0.0, 0.0, 1.0 - 0.55 * t, 0.0),
        "left": (0.24 - 0.55 * t, 0.0, 0.85, 0.0),
        "right": (-0.24 + 0.55 * t, 0.0, 0.85, 0.0),
    }[motion]


def _compose(
    drawing: np.ndarray, scene: Scene, jitter: _Jitter, dx: float, dy: float, zoom: float, angle: float
) -> np.ndarray:
    """Paste the drawing, turned and scaled, onto the ground."""
    tint = zip(GROUNDS[scene.ground], jitter.tint, strict=True)
    plain = scene.ground == "white"  # white stays white: a plain ground is what users bring
    ground = GROUNDS["white"] if plain else tuple(min(255, max(0, c + d)) for c, d in tint)
    canvas = Image.new("RGBA", (SIZE, SIZE), (*ground, 255))
    side = max(4, round(SIZE * SIZES[scene.size] * jitter.scale * zoom))
    image = Image.fromarray(drawing).resize((side, side), Image.Resampling.LANCZOS)
    image = image.rotate(angle + jitter.angle, Image.Resampling.BICUBIC, expand=True)
    x, y = PLACES[scene.place]
    left = round(SIZE * (x + dx + jitter.dx) - image.width / 2)
    top = round(SIZE * (y + dy + jitter.dy) - image.height / 2)
    layer = Image.new("RGBA", (SIZE, SIZE), (0, 0, 0, 0))
    layer.paste(image, (left, top))
    return np.asarray(Image.alpha_composite(canvas, layer).convert("RGB"))
