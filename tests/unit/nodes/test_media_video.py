"""Films: what is written is what is read, in small and odd sizes too."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from orchestrator.nodes.media import Media, Video
from orchestrator.nodes.media_video import WRITERS

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0), (200, 120, 40)]


def ball(height: int = 64, width: int = 64, frames: int = 8) -> NDArray[np.uint8]:
    """An orange ball that crosses a green ground."""
    y, x = np.mgrid[:height, :width]
    film = np.full((frames, height, width, 3), (60, 140, 70), np.uint8)
    for i, frame in enumerate(film):
        frame[(x - width * (i + 1) / (frames + 1)) ** 2 + (y - height / 2) ** 2 < (height / 5) ** 2] = (240, 150, 30)
    return film


def saved(frames: NDArray[np.uint8], path: Path, fps: Any = 8) -> Video:
    return Media.load(Media.load(Video(frames, fps)).save(path)).video


def error(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> float:
    return float(np.abs(a.astype(int) - b).mean())


@pytest.mark.parametrize("suffix", WRITERS)
def test_small_films_look_right(suffix: str, tmp_path: Path) -> None:
    loaded = saved(ball(), tmp_path / f"x{suffix}")
    assert (loaded.frames.shape, loaded.fps) == ((8, 64, 64, 3), 8)
    assert error(loaded.frames, ball()) < 2.5


@pytest.mark.parametrize("colour", COLOURS)
def test_colours_survive(colour: tuple[int, int, int], tmp_path: Path) -> None:
    frames = np.full((2, 16, 16, 3), colour, np.uint8)
    assert error(saved(frames, tmp_path / "x.mp4").frames, frames) < 3


def test_mp4_is_h264_in_the_pixel_format_that_players_know(tmp_path: Path) -> None:
    with av.open(str(Media.load(ball()).save(tmp_path / "x.mp4"))) as container:
        context = container.streams.video[0].codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")


@pytest.mark.parametrize(("height", "width"), [(63, 64), (64, 61), (15, 17), (1, 1)])
def test_odd_sides_are_padded_with_their_edge(height: int, width: int, tmp_path: Path) -> None:
    frames = ball(height, width)
    loaded = saved(frames, tmp_path / "x.mp4").frames
    assert loaded.shape == (8, height + height % 2, width + width % 2, 3)
    assert error(loaded[:, :height, :width], frames) < 7  # colour has half the resolution


@pytest.mark.parametrize("fps", [1, 8, 12.5, Fraction(30000, 1001), 29.97, 60])
@pytest.mark.parametrize("count", [1, 2, 9])
def test_frames_and_rate(fps: Any, count: int, tmp_path: Path) -> None:
    loaded = saved(ball(16, 16, count), tmp_path / "x.mp4", fps)
    assert len(loaded.frames) == count
    assert float(loaded.fps) == pytest.approx(float(fps), rel=1e-3)


def test_frames_keep_their_order(tmp_path: Path) -> None:
    frames = np.stack([np.full((16, 16, 3), v, np.uint8) for v in range(0, 250, 10)])
    means = saved(frames, tmp_path / "x.mp4").frames.mean(axis=(1, 2, 3))
    assert np.abs(means - frames.mean(axis=(1, 2, 3))).max() < 3


@pytest.mark.parametrize(
    ("matrix", "turned"),
    [
        ((0, 1, -1, 0), lambda a: np.rot90(a, -1)),
        ((-1, 0, 0, -1), lambda a: np.rot90(a, 2)),
        ((0, -1, 1, 0), np.rot90),
    ],
)
def test_a_film_shot_on_its_side_stands_upright(matrix: tuple[int, ...], turned: Any, tmp_path: Path) -> None:
    path = Media.load(ball(32, 64, 1)).save(tmp_path / "x.mp4")
    upright = Media.load(path).video.frames[0]
    head, tail = path.read_bytes().split(b"tkhd", 1)

    def words(a: int, b: int, c: int, d: int) -> bytes:
        numbers = (a * 65536, b * 65536, 0, c * 65536, d * 65536, 0)
        return b"".join(n.to_bytes(4, "big", signed=True) for n in numbers)

    assert words(1, 0, 0, 1) in tail[:90]
    path.write_bytes(head + b"tkhd" + tail.replace(words(1, 0, 0, 1), words(*matrix), 1))
    assert (Media.load(path).video.frames[0] == turned(upright)).all()


@pytest.mark.parametrize(
    ("count", "n", "expected"),
    [(8, 5, [0, 2, 4, 5, 7]), (5, 5, [0, 1, 2, 3, 4]), (100, 5, [0, 25, 50, 74, 99]), (1, 3, [0, 0, 0]), (9, 1, [0])],
)
def test_sampling_is_uniform(count: int, n: int, expected: list[int]) -> None:
    frames = np.broadcast_to(np.arange(count, dtype=np.uint8)[:, None, None, None], (count, 2, 2, 3))
    assert Video(frames).sample(n)[:, 0, 0, 0].tolist() == expected


def test_a_gif_can_be_read_as_a_film(tmp_path: Path) -> None:
    from PIL import Image

    first, *rest = (Image.fromarray(frame) for frame in ball())
    first.save(tmp_path / "x.gif", save_all=True, append_images=rest, duration=100)
    assert Media.load(tmp_path / "x.gif", "video").meta["frames"] == 8
