"""Bad sources: each an InputError that names the input and the file and tells what is allowed."""

from __future__ import annotations

import io
import os
import socket
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.errors import InputError
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.nodes.modality import MODALITIES

BINARY = ["image", "audio", "video"]
SUFFIX = {name: m.saved_as for name, m in MODALITIES.items()}


def png(width: int, height: int, mode_byte: int = 2) -> bytes:
    """A PNG whose header claims a size; its pixels are one empty chunk."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, mode_byte, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize("modality", MODALITIES)
def test_missing_file(modality: str, tmp_path: Path) -> None:
    path = tmp_path / f"gone{SUFFIX[modality]}"
    with pytest.raises(InputError, match=rf"picture: {path}: no such file; give .* as a file: .*\{SUFFIX[modality]}"):
        Media.load(path, modality, "picture")


@pytest.mark.parametrize("modality", MODALITIES)
def test_folder(modality: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"input: {tmp_path}: is a folder; give"):
        Media.load(tmp_path, modality)


def test_fifo_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.png")
    with pytest.raises(InputError, match=r"x.png: is no regular file"):
        Media.load(tmp_path / "x.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
@pytest.mark.parametrize("modality", MODALITIES)
def test_unreadable_file(modality: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{SUFFIX[modality]}"
    path.write_bytes(b"x")
    path.chmod(0)
    with pytest.raises(InputError, match=f"input: {path}: cannot be read: Permission denied"):
        Media.load(path)


def test_error_of_the_file_system(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"input: .*…: cannot be read: File name too long"):
        Media.load(tmp_path / ("x" * 300 + ".png"))


@pytest.mark.parametrize("modality", BINARY)
def test_zero_bytes(modality: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{SUFFIX[modality]}"
    path.touch()
    with pytest.raises(InputError, match=rf"{path}: is empty \(0 bytes\)"):
        Media.load(path)


@pytest.mark.parametrize("modality", BINARY)
def test_text_under_the_name_of_another_modality(modality: str, tmp_path: Path) -> None:
    path = tmp_path / f"x{SUFFIX[modality]}"
    path.write_text("I am no such thing, only some lines of text.\n" * 40)
    with pytest.raises(InputError, match=rf"{path}: is no \w+ that can be read.*; give "):
        Media.load(path)


@pytest.mark.parametrize("modality", BINARY)
def test_bytes_are_named_by_their_number(modality: str) -> None:
    with pytest.raises(InputError, match="sent: 5 bytes: is no"):
        Media.load(b"12345", modality, "sent")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a red ball", "a red ball: its suffix tells no modality; for a text pass modality='text'"),
        (Path("x.xyz"), "x.xyz: its suffix tells no modality"),
        (b"abc", "<bytes>: bytes tells no modality; pass modality=, one of text, image, audio, video"),
        (None, "<NoneType>: NoneType tells no modality"),
    ],
)
def test_a_source_that_tells_no_modality(source: Any, words: str) -> None:
    with pytest.raises(InputError, match=f"input: {words}.*image: .png .jpg"):
        Media.load(source)


def test_unknown_modality() -> None:
    with pytest.raises(InputError, match=r"frame: unknown modality 'vidoe'\. Did you mean 'video'\?"):
        Media.load(b"x", "vidoe", "frame")
    with pytest.raises(InputError, match=r"unknown modality 'smell'\. Known: audio, image, text, video"):
        Media("smell", b"x")


class TestText:
    def test_not_utf8(self, tmp_path: Path) -> None:
        path = tmp_path / "x.txt"
        path.write_bytes("grün".encode("latin-1"))
        with pytest.raises(InputError, match=rf"{path}: is not UTF-8 text \(0xfc at byte 2\): save it as UTF-8"):
            Media.load(path)

    def test_lone_surrogates_of_a_shell_argument(self) -> None:
        with pytest.raises(InputError, match=r"prompt: '\\udcfc' at character 2 is no text: give UTF-8"):
            Media.load("gr\udcfcn", "text", "prompt")

    def test_too_long(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("orchestrator.nodes.media_text.MAX_BYTES", 2**20)
        (tmp_path / "x.txt").write_bytes(b"x" * (2**20 + 1))
        with pytest.raises(InputError, match="more than 1 MiB of text"):
            Media.load(tmp_path / "x.txt")

    @pytest.mark.parametrize("data", [b"", b"\xef\xbb\xbf"])
    def test_empty_is_allowed(self, data: bytes, tmp_path: Path) -> None:
        (tmp_path / "x.txt").write_bytes(data)
        assert Media.load(tmp_path / "x.txt").text == ""


class TestImage:
    @pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".gif", ".tif", ".bmp"])
    @pytest.mark.parametrize("share", [0.05, 0.5, 0.9])
    def test_truncated(self, suffix: str, share: float, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (40, 50, 3), np.uint8)
        path = Media.load(noise).save(tmp_path / f"x{suffix}")
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(
            InputError, match=rf"{path}: is (damaged|no picture that can be read).*give one of PNG, JPEG"
        ):
            Media.load(path)

    def test_decompression_bomb_is_refused_by_its_header(self, tmp_path: Path) -> None:
        path = tmp_path / "bomb.png"
        path.write_bytes(png(9000, 8000))
        with pytest.raises(InputError, match=rf"{path}: 9000x8000 = 72.0 megapixels; at most 64: scale it down"):
            Media.load(path)

    @pytest.mark.parametrize("size", [(10_000, 10_000), (60_000, 60_000)])
    def test_pillows_own_bomb_check_is_an_input_error(self, size: tuple[int, int]) -> None:
        with pytest.raises(InputError, match=r"(100.0 megapixels; at most 64|more than 64 megapixels)"):
            Media.load(png(*size), "image")

    def test_the_limit_can_be_set(self) -> None:
        with pytest.raises(InputError, match=r"1000x1 = 0.0 megapixels; at most 0.0009"):
            Media.load(png(1000, 1), "image", max_pixels=900)
        large = io.BytesIO()
        Image.new("1", (9000, 8000)).save(large, "PNG")
        with pytest.raises(InputError, match="at most 64"):
            Media.load(large.getvalue(), "image")

    @pytest.mark.parametrize("size", [(0, 0), (0, 5), (5, 0)])
    def test_no_pixels(self, size: tuple[int, int]) -> None:
        with pytest.raises(InputError, match=r"it has no pixels|is no picture that can be read|is damaged"):
            Media.load(png(*size), "image")
        with pytest.raises(InputError, match=f"at least one pixel, not {size[0]}x{size[1]}"):
            Media.load(Image.new("RGB", size))

    def test_formats_that_start_other_programs_are_not_read(self) -> None:
        data = io.BytesIO()
        Image.new("RGB", (4, 4)).save(data, "EPS")
        with pytest.raises(InputError, match="is no picture that can be read; give one of PNG"):
            Media.load(data.getvalue(), "image")

    def test_no_warning_filter_is_left_behind(self) -> None:
        before = list(warnings.filters)
        with pytest.raises(InputError):
            Media.load(png(10_000, 10_000), "image")
        assert warnings.filters == before

    @pytest.mark.parametrize(
        "array",
        [np.zeros((4, 4, 3), np.float32), np.zeros((4, 4, 4), np.uint8), np.zeros((0, 4, 3), np.uint8)],
    )
    def test_arrays(self, array: Any) -> None:
        with pytest.raises(InputError, match=r"face: an image array is uint8 \[height, width, 3\], not "):
            Media.load(array, name="face")

    def test_other_objects(self) -> None:
        with pytest.raises(InputError, match=r"input: an image is a PIL image or uint8 array .*, not int"):
            Media.load(3, "image")


class TestAudio:
    @pytest.mark.parametrize(
        ("samples", "rate", "words"),
        [
            (np.zeros(0, np.float32), 16000, r"\[n\] or \[n, channels\] with n >= 1, not \[0\]"),
            (np.zeros((2, 3, 4), np.float32), 16000, r"not \[2, 3, 4\]"),
            (np.zeros((2, 16000), np.float32), 16000, r"not \[2, 16000\]: transpose them"),
            (np.array([0.0, np.nan]), 16000, "NaN or infinity"),
            (np.zeros(4, np.int64), 16000, "floats in -1..1, int16 or int32, not int64"),
            (np.zeros(4, np.float32), 0, "a whole number >= 1, not 0"),
            (np.zeros(4, np.float32), 22050.5, "a whole number >= 1, not 22050.5"),
        ],
    )
    def test_samples(self, samples: Any, rate: Any, words: str) -> None:
        with pytest.raises(InputError, match=words):
            Audio(samples, rate)
        with pytest.raises(InputError, match=f"sound: .*{words}"):
            Media.load((samples, rate), name="sound")

    def test_wav_without_samples(self, tmp_path: Path) -> None:
        import soundfile

        path = tmp_path / "x.wav"
        soundfile.write(path, np.zeros(0, np.float32), 16000)
        with pytest.raises(InputError, match=f"{path}: holds no samples"):
            Media.load(path)

    @pytest.mark.parametrize("suffix", [".wav", ".mp3"])
    def test_too_long(self, suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = Media.load((np.zeros(9000, np.float32), 16000)).save(tmp_path / f"x{suffix}")
        monkeypatch.setattr("orchestrator.nodes.media_audio.MAX_SAMPLES", 1000)
        with pytest.raises(InputError, match=r"has \d+ samples; at most 1000: cut it"):
            Media.load(path)

    def test_a_film_without_sound(self, tmp_path: Path) -> None:
        path = Media.load(np.zeros((2, 16, 16, 3), np.uint8)).save(tmp_path / "x.mp4")
        with pytest.raises(InputError, match=f"{path}: has no sound"):
            Media.load(path, "audio")

    def test_other_objects(self) -> None:
        with pytest.raises(InputError, match=r"input: audio is a pair \(samples, rate\) or Audio, not list"):
            Media.load([1, 2, 3], "audio")


class TestVideo:
    @pytest.mark.parametrize(
        ("frames", "fps", "words"),
        [
            (np.zeros((0, 4, 4, 3), np.uint8), 8, r"none of them 0, not uint8 \[0, 4, 4, 3\]"),
            (np.zeros((2, 4, 4, 4), np.uint8), 8, r"not uint8 \[2, 4, 4, 4\]"),
            (np.zeros((2, 4, 4, 3)), 8, "not float64"),
            (np.zeros((2, 4, 4, 3), np.uint8), 0, "fps is a number > 0, not 0"),
            (np.zeros((2, 4, 4, 3), np.uint8), float("inf"), "fps is a number > 0, not inf"),
        ],
    )
    def test_frames(self, frames: Any, fps: Any, words: str) -> None:
        with pytest.raises(InputError, match=words):
            Video(frames, fps)

    def test_a_sound_file(self, tmp_path: Path) -> None:
        path = Media.load((np.zeros(900, np.float32), 8000)).save(tmp_path / "x.wav")
        with pytest.raises(InputError, match=f"{path}: has no pictures: it holds no video stream"):
            Media.load(path, "video")

    @pytest.mark.parametrize("share", [0.02, 0.5])
    def test_truncated(self, share: float, tmp_path: Path) -> None:
        noise = np.random.default_rng(0).integers(0, 255, (4, 32, 32, 3), np.uint8)
        path = Media.load(noise).save(tmp_path / "x.mp4")
        data = path.read_bytes()
        path.write_bytes(data[: int(len(data) * share)])
        with pytest.raises(InputError, match=f"{path}: is no video that can be read .*; give MP4"):
            Media.load(path)

    def test_no_frames(self, tmp_path: Path) -> None:
        import av

        path = tmp_path / "x.mkv"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=8)
            stream.width, stream.height, stream.pix_fmt = 16, 16, "yuv420p"
            container.start_encoding()
        with pytest.raises(InputError, match=f"{path}: (has no frames|is no video that can be read)"):
            Media.load(path)

    def test_too_large_frames(self, tmp_path: Path) -> None:
        path = Media.load(np.zeros((2, 32, 32, 3), np.uint8)).save(tmp_path / "x.mp4")
        with pytest.raises(InputError, match=r"32x32 = 0\.0 megapixels; at most 0\.001"):
            Media.load(path, max_pixels=1000)

    def test_too_many_frames(self, tmp_path: Path) -> None:
        path = Media.load(np.zeros((20, 32, 32, 3), np.uint8)).save(tmp_path / "x.mp4")
        with pytest.raises(
            InputError, match=r"more than 16 frames of 32x32.* at most 0.016384 megapixels in all: cut it"
        ):
            Media.load(path, max_pixels=1024)

    def test_sampling_no_frames(self) -> None:
        with pytest.raises(InputError, match="at least 1 frame can be sampled from a video, not 0"):
            Video(np.zeros((2, 4, 4, 3), np.uint8)).sample(0)

    def test_other_objects(self) -> None:
        with pytest.raises(InputError, match=r"input: a video is uint8 frames .*, not list"):
            Media.load([1], "video")


PLAYLISTS = {
    "a.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{url}/a.ts\n#EXT-X-ENDLIST\n",
    "a.ffconcat": "ffconcat version 1.0\nfile {url}/a.mp4\n",
    "a.sdp": "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 5004 RTP/AVP 96\n",
}


@pytest.mark.parametrize("name", PLAYLISTS)
@pytest.mark.parametrize("modality", ["audio", "video"])
def test_a_playlist_leads_nowhere(name: str, modality: str, tmp_path: Path) -> None:
    """FFmpeg would open the files and hosts that it names."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0)
        text = PLAYLISTS[name].format(url=f"http://127.0.0.1:{server.getsockname()[1]}")
        (tmp_path / name).write_text(text)
        with pytest.raises(InputError, match=f"is no {'sound' if modality == 'audio' else 'video'} that can be read"):
            Media.load(tmp_path / name, modality)
        with pytest.raises(BlockingIOError):
            server.accept()
