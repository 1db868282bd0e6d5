"""Films, by PyAV."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any, BinaryIO, cast

import av
import numpy as np
from av.video.reformatter import VideoReformatter
from numpy.typing import NDArray

from orchestrator.errors import InputError
from orchestrator.nodes.media import Video
from orchestrator.nodes.media_image import check_size
from orchestrator.nodes.media_io import CONTAINERS, Codec

MAX_FRAMES = 16  # of the largest allowed size; smaller frames may be as many more: 3 GB in all
WRITERS: dict[str, tuple[str, dict[str, str]]] = {
    ".mp4": ("libx264", {"crf": "12", "preset": "slow"}),  # small clips show every artefact
    ".mov": ("libx264", {"crf": "12", "preset": "slow"}),
    ".mkv": ("libx264", {"crf": "12", "preset": "slow"}),
    ".webm": ("libvpx-vp9", {"crf": "12", "b": "0"}),
}


class VideoCodec(Codec):
    """All frames, as RGB; the sound is left out."""

    saves = tuple(WRITERS)

    def owns(self, value: object) -> bool:
        return isinstance(value, Video) or (isinstance(value, np.ndarray) and value.ndim == 4)

    def accept(self, value: Any) -> Video:
        if isinstance(value, Video):
            return value
        if not isinstance(value, np.ndarray):
            raise InputError(f"a video is uint8 frames [f, height, width, 3] or Video, not {type(value).__name__}")
        return Video(value.copy())

    def decode(self, file: BinaryIO, where: str, max_pixels: int) -> Video:
        try:
            with av.open(file, "r", options=dict(CONTAINERS)) as container:
                if not container.streams.video:
                    raise InputError(f"{where}: has no pictures: it holds no video stream")
                stream = container.streams.video[0]
                stream.thread_type = "AUTO"
                check_size((stream.width, stream.height), where, max_pixels)
                fps = stream.average_rate or stream.guessed_rate or Fraction(25)
                frames = _read(container.decode(stream), where, MAX_FRAMES * max_pixels)
        except (av.FFmpegError, ValueError) as error:
            reason = error.strerror if isinstance(error, av.FFmpegError) else error
            hint = "give MP4, WebM, MOV, MKV or AVI"
            raise InputError(f"{where}: is no video that can be read ({reason}); {hint}") from error
        if not frames:
            raise InputError(f"{where}: has no frames")
        return Video(np.stack(frames), fps)

    def encode(self, value: Video, path: Path) -> None:
        codec, options = WRITERS[path.suffix]
        frames = _even(value.frames)
        with av.open(str(path), "w") as container:
            rate = Fraction(value.fps).limit_denominator(60_060)  # 1001 * 60: keeps 23.976, 29.97 and 59.94 exact
            stream = cast(av.VideoStream, container.add_stream(codec, rate=rate, options=options))
            stream.height, stream.width = frames.shape[1:3]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
            container.mux(stream.encode())

    def content(self, value: Video) -> Iterable[bytes]:
        yield f"{float(value.fps)} {value.frames.shape}\0".encode()
        yield from (frame.tobytes() for frame in value.frames)

    def meta(self, value: Video) -> dict[str, Any]:
        frames, height, width, _ = value.frames.shape
        return {
            "size": [width, height],
            "frames": frames,
            "fps": round(float(value.fps), 3),
            "seconds": round(value.seconds, 3),
        }


def _read(stream: Iterable[Any], where: str, max_pixels: int) -> list[NDArray[np.uint8]]:
    frames: list[NDArray[np.uint8]] = []
    to_rgb = VideoReformatter()  # one for all: setting one up takes longer than a small frame does
    for frame in stream:
        if (len(frames) + 1) * frame.width * frame.height > max_pixels:
            much = f"more than {len(frames)} frames of {frame.width}x{frame.height}"
            raise InputError(
                f"{where}: {much}; at most {max_pixels / 1e6:g} megapixels in all: cut it or scale it down"
            )
        frames.append(np.rot90(to_rgb.reformat(frame, format="rgb24").to_ndarray(), frame.rotation // 90))
    return frames


def _even(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames with even sides, as yuv420p needs: the last row or column is repeated."""
    _, height, width, _ = frames.shape
    return np.pad(frames, ((0, 0), (0, height % 2), (0, width % 2), (0, 0)), mode="edge")
