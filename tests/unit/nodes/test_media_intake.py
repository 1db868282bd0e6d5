"""What callers give, within what is allowed."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from orchestrator.errors import InputError
from orchestrator.nodes.media import Media
from orchestrator.nodes.media_intake import Intake


@pytest.fixture
def png(tmp_path: Path) -> Path:
    (tmp_path / "open").mkdir()
    Image.new("RGB", (3, 2), "red").save(tmp_path / "open" / "red dot.png")
    return tmp_path / "open" / "red dot.png"


@pytest.fixture
def intake(png: Path) -> Intake:
    return Intake((png.parent,))


def encoded(data: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def test_every_form_is_the_same_picture(intake: Intake, png: Path) -> None:
    data = png.read_bytes()
    forms = [str(png), png.as_uri(), data, encoded(data), encoded(data, ""), Media.load(png)]
    assert {intake.read("picture", "image", form).key for form in forms} == {Media.load(png).key}


def test_texts_are_as_they_are(intake: Intake) -> None:
    for text in ("hello", "/etc/passwd", "http://example.org", "data:,x", ""):
        assert intake.read("text", "text", text).text == text


def test_links_are_followed_before_their_place_is_judged(intake: Intake, png: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png.read_bytes())
    (png.parent / "link.png").symlink_to(secret)
    with pytest.raises(InputError, match=r"picture: .*link\.png is outside the folders that may be read \(.*open\)"):
        intake.read("picture", "image", str(png.parent / "link.png"))
    assert Intake().read("picture", "image", str(png.parent / "link.png")).modality == "image"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("{open}/../secret.png", r"is outside the folders that may be read"),
        ("/etc/passwd", r"x: /etc/passwd is outside the folders"),
        ("file:///etc/passwd", r"x: file:///etc/passwd is outside the folders"),
        ("~nobody-of-that-name/a.png", r"x: '~nobody-of-that-name/a\.png' cannot be read"),
        ("a\0b.png", r"x: 'a\\x00b\.png' cannot be read"),
        ("{open}/none.png", r"none\.png: no such file"),
        ("HTTP://example.org/a.png", r"is an address, and none are fetched here: give a file's path or a data URI"),
        ("data:image/png;base64", r"x: 'data:image/png;base64' is no data URI: write data:TYPE;base64,DATA"),
        ("data:image/png;base64,%%%%", r"x: the data URI is no base64"),
        ("data:image/png,hello", r"x: 5 bytes"),
        ("data:video/mp4;base64,AAAA", r"x: takes image, but the data URI holds video/mp4"),
        (encoded(b"0" * 2000), r"x: 2000 bytes are more than the 1000 that are taken"),
        (b"0" * 2000, r"x: 2000 bytes are more than the 1000 that are taken"),
        ("{open}/big.png", r"x: 3000 bytes are more than the 1000 that are taken"),
    ],
)
def test_refused(value: Any, said: str, png: Path) -> None:
    (png.parent / "big.png").write_bytes(b"0" * 3000)
    given = value.replace("{open}", str(png.parent)) if isinstance(value, str) else value
    with pytest.raises(InputError, match=said):
        Intake((png.parent,), max_bytes=1000).read("x", "image", given)


def test_addresses_are_fetched_where_they_are_allowed(png: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(url: str, folder: Path, name: str) -> Path:
        assert (url, name) == ("https://example.org/a.png", "picture")
        return png

    monkeypatch.setattr("orchestrator.nodes.media_fetch.fetch", fetch)
    intake = Intake((), urls=True)
    assert intake.read("picture", "image", "https://example.org/a.png").key == Media.load(png).key
    assert intake.forms() == "a file's path, an http(s) address or a data URI"


def test_private_addresses_are_not_fetched() -> None:
    with pytest.raises(InputError, match=r"host '127\.0\.0\.1' is not public"):
        Intake(urls=True).read("picture", "image", "http://127.0.0.1:9/a.png")
