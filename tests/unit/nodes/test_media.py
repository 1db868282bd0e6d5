"""Media: loading by source and modality, properties, keys, saving."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.errors import InputError, OutputError
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.nodes.media_io import CODECS, codec
from orchestrator.nodes.modality import MODALITIES

PIXELS = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
FRAMES = np.stack([np.full((8, 16, 3), value, np.uint8) for value in (20, 90, 160, 230)])
TONE = np.sin(np.arange(1600, dtype=np.float32) / 9)
VALUES: dict[str, Any] = {
    "text": "a red ball",
    "image": Image.fromarray(PIXELS),
    "audio": Audio(TONE, 16000),
    "video": Video(FRAMES, 8),
}


@pytest.fixture(params=list(VALUES))
def media(request: pytest.FixtureRequest) -> Media:
    return Media(request.param, VALUES[request.param])


def test_every_modality_has_a_codec_that_writes_its_output_suffix() -> None:
    assert list(CODECS) == list(MODALITIES)
    for modality in MODALITIES.values():
        assert modality.saved_as in codec(modality.name).saves
        assert set(codec(modality.name).saves) <= set(modality.suffixes)


def test_importing_media_imports_no_library() -> None:
    code = (
        "import sys, orchestrator.nodes.media\n"
        "print(sorted({'torch', 'av', 'soundfile', 'numpy', 'PIL'} & set(sys.modules)))"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("source", "modality"),
    [
        (Image.fromarray(PIXELS), "image"),
        (PIXELS, "image"),
        (FRAMES, "video"),
        (Video(FRAMES), "video"),
        (Audio(TONE, 16000), "audio"),
        ((TONE, 16000), "audio"),
    ],
)
def test_the_type_of_an_object_tells_its_modality(source: Any, modality: str) -> None:
    assert Media.load(source).modality == modality
    assert Media.load(source, modality).key == Media.load(source).key


def test_text_is_the_str_itself_and_a_path_is_a_file(tmp_path: Path) -> None:
    path = tmp_path / "note.txt"
    path.write_text("hello")
    assert Media.load(str(path), "text").text == str(path)
    assert Media.load(path, "text").text == Media.load(path).text == Media.load(str(path)).text == "hello"
    assert Media.load(b"hello", "text").text == "hello"
    assert Media.load("", "text").text == ""


def test_files_and_bytes_load_the_same(media: Media, tmp_path: Path) -> None:
    path = media.save(tmp_path / f"x{MODALITIES[media.modality].saved_as}")
    loads = [Media.load(path), Media.load(str(path)), Media.load(path.read_bytes(), media.modality)]
    assert len({m.key for m in loads}) == 1
    assert all(m.describe() == loads[0].describe() for m in loads)


def test_media_is_returned_as_it_is(media: Media) -> None:
    assert Media.load(media) is media
    assert Media.load(media, media.modality) is media
    other = "text" if media.modality != "text" else "image"
    with pytest.raises(InputError, match=f"picture: takes {other}, but was given <Media {media.modality}"):
        Media.load(media, other, "picture")


def test_only_its_own_property_answers(media: Media) -> None:
    for name in MODALITIES:
        if name == media.modality:
            assert getattr(media, name) is not None
        else:
            with pytest.raises(InputError, match=f"has no .{name}: it is {media.modality}, ask for .{media.modality}"):
                getattr(media, name)


@pytest.mark.parametrize(
    ("modality", "meta"),
    [
        ("text", {"chars": 10}),
        ("image", {"size": [6, 4]}),
        ("audio", {"rate": 16000, "seconds": 0.1, "channels": 1}),
        ("video", {"size": [16, 8], "frames": 4, "fps": 8.0, "seconds": 0.5}),
    ],
)
def test_describe_is_json(modality: str, meta: dict[str, Any]) -> None:
    media = Media(modality, VALUES[modality])
    assert json.loads(json.dumps(media.describe())) == {"modality": modality, "meta": meta}
    assert repr(media).startswith(f"<Media {modality} ")


def test_audio_and_video_unpack() -> None:
    samples, rate = Media("audio", VALUES["audio"]).audio
    frames, fps = Media("video", VALUES["video"]).video
    assert (samples.shape, rate, frames.shape, fps) == ((1600,), 16000, (4, 8, 16, 3), 8)


class TestKey:
    def test_of_a_file_is_the_hash_of_modality_and_bytes(self, tmp_path: Path) -> None:
        path = Media("image", VALUES["image"]).save(tmp_path / "x.png")
        assert Media.load(path).key == hashlib.sha256(b"image\0" + path.read_bytes()).hexdigest()

    def test_of_text_does_not_ask_where_it_comes_from(self, tmp_path: Path) -> None:
        path = Media("text", "grün").save(tmp_path / "x.txt")
        keys = {Media("text", "grün").key, Media.load("grün", "text").key, Media.load(path).key}
        assert keys == {hashlib.sha256(b"text\0" + "grün".encode()).hexdigest()}

    @pytest.mark.parametrize(
        ("one", "other"),
        [
            (PIXELS, PIXELS.reshape(6, 4, 3)),
            (PIXELS, PIXELS + 1),
            ((TONE, 16000), (TONE, 8000)),
            ((TONE, 16000), (TONE.reshape(-1, 2), 16000)),
            (Video(FRAMES, 8), Video(FRAMES, 4)),
            (Video(FRAMES, 8), Video(FRAMES[::-1], 8)),
        ],
    )
    def test_of_objects_differs_as_their_content_does(self, one: Any, other: Any) -> None:
        assert Media.load(one).key == Media.load(one).key != Media.load(other).key

    def test_from_the_engine_is_kept(self) -> None:
        assert Media("text", "x", key="k1").key == "k1"

    def test_makes_equality(self) -> None:
        assert Media("text", "x") == Media("text", "x") != Media("text", "y")
        assert len({Media("text", "x"), Media("text", "x")}) == 1

    def test_does_not_follow_what_the_caller_does_later(self) -> None:
        pixels, samples, frames = PIXELS.copy(), TONE.copy(), FRAMES.copy()
        made = [Media.load(pixels), Media.load((samples, 16000)), Media.load(frames)]
        expected = [Media.load(PIXELS), Media.load((TONE, 16000)), Media.load(FRAMES)]
        pixels[:], samples[:], frames[:] = 0, 0, 0
        assert made == expected


class TestSave:
    def test_returns_the_path_and_leaves_nothing_else(self, media: Media, tmp_path: Path) -> None:
        path = tmp_path / f"made{MODALITIES[media.modality].saved_as}"
        assert media.save(str(path)) == path
        assert list(tmp_path.iterdir()) == [path]

    def test_replaces_what_is_there(self, tmp_path: Path) -> None:
        path = tmp_path / "x.txt"
        Media("text", "long ago").save(path)
        Media("text", "new").save(path)
        assert path.read_bytes() == b"new"

    @pytest.mark.parametrize("suffix", [".xyz", "", ".eps"])
    def test_refuses_suffixes_of_others(self, media: Media, suffix: str, tmp_path: Path) -> None:
        others = [m.saved_as for m in MODALITIES.values() if m.name != media.modality]
        for wrong in (suffix, *others):
            with pytest.raises(
                InputError, match=rf"x{wrong}: cannot hold {media.modality}: its suffix has to be one of"
            ):
                media.save(tmp_path / f"x{wrong}")
        assert list(tmp_path.iterdir()) == []

    def test_takes_suffixes_in_capitals(self, media: Media, tmp_path: Path) -> None:
        path = media.save(tmp_path / f"X{MODALITIES[media.modality].saved_as.upper()}")
        assert Media.load(path).modality == media.modality

    def test_into_a_missing_folder(self, media: Media, tmp_path: Path) -> None:
        with pytest.raises(OutputError, match=r"the folder '.*gone' does not exist: make it first"):
            media.save(tmp_path / "gone" / f"x{MODALITIES[media.modality].saved_as}")

    def test_over_a_folder(self, media: Media, tmp_path: Path) -> None:
        path = tmp_path / f"x{MODALITIES[media.modality].saved_as}"
        path.mkdir()
        with pytest.raises(OutputError, match=rf"{re.escape(str(path))}: cannot be written: "):
            media.save(path)
        assert list(tmp_path.iterdir()) == [path]

    def test_leaves_the_old_file_when_the_encoder_fails(self, tmp_path: Path) -> None:
        path = tmp_path / "x.webp"
        path.write_bytes(b"old")
        with pytest.raises(OutputError, match=r"x.webp: cannot be written: "):
            Media.load(np.zeros((1, 20000, 3), np.uint8)).save(path)  # WebP ends at 16383 pixels a side
        assert path.read_bytes() == b"old"
        assert list(tmp_path.iterdir()) == [path]
