"""Scenes in batches, composed and augmented as tensors: what the judge and the image encoder are trained on.

The geometry is that of `scenes.picture`, with wider margins; random numbers come from torch's global generator.
Shapes: b batch, s = 64 the side of a stored drawing and of a scene. Colours are in [0, 1].
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from recipes.pocket.scenes import SIZE
from recipes.pocket.world import GROUNDS, PLACES

COLOURS = torch.tensor(list(GROUNDS.values())) / 255
CENTRES = torch.tensor(list(PLACES.values()))
LUMA = torch.tensor([0.299, 0.587, 0.114])
IGNORE = -100  # the label of an attribute that a scene does not have
UP, DOWN = 1.0, -1.0


@dataclass(frozen=True)
class Strength:
    """How far the augmentation of a part goes; probabilities unless said otherwise."""

    turn: float = 12.0
    """Standard deviation of the angle, in degrees."""
    any_turn: float = 0.0
    """Any angle at all."""
    stretch: float = 0.12
    """Standard deviation of log aspect and of shear."""
    colour: float = 0.25
    """Scale of the random change of the drawing's colours (hue, saturation, contrast)."""
    grey: float = 0.1
    edges: float = 0.0
    """Keep the outlines only."""
    flat: float = 0.0
    """Few levels of colour, as flat drawings have."""
    warp: float = 0.0
    """Standard deviation of a smooth displacement, in half sides: other proportions, as other artists have."""
    cut: float = 0.2
    soft: float = 0.3
    noise: float = 0.04
    """Largest standard deviation of pixel noise."""
    off_ground: float = 0.1
    """A ground of any colour or gradient; its label is `IGNORE`."""


@dataclass(frozen=True)
class Batch:
    """`pixels` [b, 3, s, s] in [0, 1] and integer labels [b] into the tables of `world` (`label` is the bank's).

    `pose` [b, 5] is how the drawing lies: its centre (x, y in [-1, 1]), the logarithm of its scale, and the cosine and
    sine of its angle.
    """

    pixels: Tensor
    label: Tensor
    ground: Tensor
    place: Tensor
    size: Tensor
    pose: Tensor


class Bank:
    """Labelled drawings, [n, 4, s, s], sampled by weight."""

    def __init__(self, drawings: Iterable[tuple[np.ndarray, int, float]]):
        images, labels, weights = zip(*drawings, strict=True)
        small = [np.asarray(Image.fromarray(i).resize((SIZE, SIZE), Image.Resampling.LANCZOS)) for i in images]
        self.pixels = torch.from_numpy(np.stack(small)).permute(0, 3, 1, 2).contiguous()
        self.labels, self.weights = torch.tensor(labels), torch.tensor(weights)

    def batch(self, size: int, strength: Strength) -> Batch:
        """Draw `size` drawings and put each into a random scene."""
        index = torch.multinomial(self.weights, size, replacement=True)
        ground = torch.where(torch.rand(size) < 0.5, 0, torch.randint(len(GROUNDS), (size,)))
        place = torch.where(torch.rand(size) < 0.5, 0, torch.randint(len(PLACES), (size,)))
        small = (place > 0) | (torch.rand(size) < 0.25)
        drawing = _recolour(self.pixels[index].float() / 255, strength)
        scale = torch.where(small, _uniform(size, 0.41, 0.54), _uniform(size, 0.68, 1.0))
        centre = CENTRES[place] + _uniform((size, 2), -0.045, 0.045)
        back, ground = _grounds(ground, strength)
        warp = F.interpolate(strength.warp * torch.randn(size, 2, 4, 4), size=(SIZE, SIZE), mode="bicubic")
        turned, angle = _poses(size, strength)
        grid = _grid(turned, centre, scale) + warp.permute(0, 2, 3, 1)
        pixels = _paste(_cut(drawing, strength), back, grid, scale)
        pose = torch.stack((*(2 * centre - 1).T, scale.log(), angle.cos(), angle.sin()), 1)
        return Batch(_spoil(pixels, strength), self.labels[index], ground, place, small.long(), pose)


def restyled(frames: np.ndarray, strength: Strength) -> np.ndarray:
    """The frames of one drawing, uint8 [f, S, S, 4], all changed in colour in the same way."""
    rows = torch.from_numpy(frames).flatten(0, 1).permute(2, 0, 1)[None].float() / 255  # 1 4 f*S S
    made = _recolour(rows, strength)
    made[:, :3] /= made[:, 3:].clamp(min=1e-3)  # no longer premultiplied
    pixels = (made.clamp(0, 1) * 255).round().to(torch.uint8)[0].permute(1, 2, 0)
    return pixels.unflatten(0, frames.shape[:2]).numpy()


def _uniform(shape: int | tuple[int, ...], low: float, high: float) -> Tensor:
    return torch.rand(shape) * (high - low) + low


def _chance(size: int, p: float) -> Tensor:
    return (torch.rand(size) < p)[:, None, None, None]


def _recolour(rgba: Tensor, strength: Strength) -> Tensor:
    """Change colours but not shapes, [b, 4, s, s] -> the same, premultiplied by alpha."""
    size, (rgb, alpha) = len(rgba), rgba.split((3, 1), 1)
    grey = torch.einsum("bchw,c->bhw", rgb, LUMA)[:, None]
    mix = torch.eye(3) + strength.colour * torch.randn(size, 3, 3)
    mix = mix / mix.sum(2, keepdim=True).clamp(min=0.3)  # grey stays near grey
    rgb = torch.einsum("bdc,bchw->bdhw", mix, rgb)
    rgb = torch.where(_chance(size, strength.grey), grey, rgb)
    contrast = torch.exp(strength.colour * torch.randn(size, 1, 1, 1))
    rgb = (rgb - 0.5) * contrast + 0.5 + 0.3 * strength.colour * torch.randn(size, 1, 1, 1)
    levels = torch.randint(1, 5, (size, 1, 1, 1))
    rgb = torch.where(_chance(size, strength.flat), (rgb.clamp(0, 1) * levels).round() / levels, rgb)
    some = (torch.rand(size) < strength.edges).nonzero().flatten()
    if len(some):
        rgb[some] = _outlines(torch.cat((grey * alpha, alpha), 1)[some])
    return torch.cat((rgb.clamp(0, 1) * alpha, alpha), 1)


def _outlines(values: Tensor) -> Tensor:
    """Where values [b, c, s, s] change steeply, as dark lines on white [b, 1, s, s]."""
    steep = (F.max_pool2d(values, 3, 1, 1) + F.max_pool2d(-values, 3, 1, 1)).amax(1, keepdim=True)
    return 1 - (1.8 * steep).clamp(max=1)


def _cut(rgba: Tensor, strength: Strength) -> Tensor:
    """Erase a rectangle of some drawings."""
    size, side = len(rgba), torch.arange(SIZE)
    low, extent = _uniform((size, 2), 0, 0.8) * SIZE, _uniform((size, 2), 0.15, 0.4) * SIZE
    inside = (side >= low[..., None]) & (side < (low + extent)[..., None])  # b 2 s
    hole = (inside[:, 0, :, None] & inside[:, 1, None])[:, None]
    return rgba * ~(hole & _chance(size, strength.cut))


def _poses(size: int, strength: Strength) -> tuple[Tensor, Tensor]:
    """Random turns, flips and stretches, [b, 2, 2], and the angles of the turns [b]."""
    angle = torch.randn(size) * math.radians(strength.turn)
    angle = torch.where(torch.rand(size) < strength.any_turn, _uniform(size, -math.pi, math.pi), angle)
    cos, sin = angle.cos(), angle.sin()
    turn = torch.stack((cos, sin, -sin, cos), 1).view(-1, 2, 2)
    wide, shear = (torch.randn(2, size) * strength.stretch).clamp(-0.3, 0.3)
    flip = torch.where(torch.rand(size) < 0.5, UP, DOWN)
    stretch = torch.stack((flip * wide.exp(), shear, torch.zeros(size), (-wide).exp()), 1).view(-1, 2, 2)
    return stretch @ turn, angle


def _grounds(ground: Tensor, strength: Strength) -> tuple[Tensor, Tensor]:
    """The pixels of the grounds, [b, 3, s, s], and their labels."""
    size = len(ground)
    plain = (ground == 0)[:, None]
    tint = torch.where(plain, _uniform((size, 1), -0.03, 0), _uniform((size, 3), -0.055, 0.055))
    corners = torch.rand(size, 3, 2, 2)
    corners = torch.where(_chance(size, 0.5), corners, corners[..., :1, :1])
    other = F.interpolate(corners, size=(SIZE, SIZE), mode="bilinear", align_corners=True)
    off = _chance(size, strength.off_ground)
    back = torch.where(off, other, (COLOURS[ground] + tint).clamp(0, 1)[:, :, None, None])
    return back, torch.where(off.flatten(), IGNORE, ground)


def _grid(pose: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Where each pixel of the scene lies on the drawing, [b, s, s, 2] in [-1, 1]."""
    pose = pose / scale[:, None, None]
    shift = -pose @ (2 * centre - 1)[..., None]
    return F.affine_grid(torch.cat((pose, shift), 2), [len(pose), 4, SIZE, SIZE], align_corners=False)


def _paste(rgba: Tensor, back: Tensor, grid: Tensor, scale: Tensor) -> Tensor:
    """Put premultiplied drawings onto grounds -> [b, 3, s, s]."""
    large = F.grid_sample(rgba, grid, align_corners=False)
    small = F.grid_sample(F.avg_pool2d(rgba, 2), grid, align_corners=False)  # no aliasing when shrunk
    layer = torch.where(scale[:, None, None, None] < 0.6, small, large)
    return layer[:, :3] + back * (1 - layer[:, 3:])


def _spoil(pixels: Tensor, strength: Strength) -> Tensor:
    """Blur, coarsen and add noise, as generated frames and poor pictures have it."""
    size = len(pixels)
    blurred = F.avg_pool2d(F.pad(pixels, (2, 2, 2, 2), "replicate"), 3, 1)
    blurred = torch.where(_chance(size, 0.5), blurred[..., 1:-1, 1:-1], F.avg_pool2d(blurred, 3, 1))
    coarse = F.interpolate(F.avg_pool2d(pixels, 2), scale_factor=2, mode="bilinear")
    soft = torch.where(_chance(size, 0.7), blurred, coarse)
    pixels = torch.where(_chance(size, strength.soft), soft, pixels)
    noise = torch.randn_like(pixels) * torch.rand(size, 1, 1, 1) * strength.noise
    return (pixels + noise * _chance(size, 0.5)).clamp(0, 1)
