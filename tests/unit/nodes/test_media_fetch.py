from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from orchestrator.errors import InputError
from orchestrator.nodes import media_fetch as module
from orchestrator.nodes.media_fetch import fetch

PUBLIC = "93.184.216.34"
Answer = Callable[[httpx.Request], httpx.Response]


def get(url: str, answer: Answer, folder: Path, hosts: dict[str, list[str]] | None = None) -> Path:
    known = hosts or {"example.org": [PUBLIC]}

    def resolve(host: str, port: int) -> list[str]:
        if host not in known:
            raise OSError(-2, "Name or service not known")
        return known[host]

    return fetch(url, folder, "input 'image'", httpx.MockTransport(answer), resolve)


def test_the_request_goes_to_the_checked_address(tmp_path: Path) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(200, content=b"png")

    path = get("https://example.org:8443/a/cat.png?x=1", answer, tmp_path)
    assert (path.name, path.read_bytes()) == ("fetched.png", b"png")
    assert str(seen[0].url) == f"https://{PUBLIC}:8443/a/cat.png?x=1"
    assert seen[0].headers["host"] == "example.org:8443"
    assert seen[0].extensions["sni_hostname"] == "example.org"


@pytest.mark.parametrize(
    ("path", "kind", "suffix"), [("/cat", "image/png", ".png"), ("/cat.gif", "image/png", ".gif"), ("/cat", "", "")]
)
def test_the_suffix_is_that_of_the_path_or_the_type(path: str, kind: str, suffix: str, tmp_path: Path) -> None:
    answer = httpx.Response(200, headers={"content-type": kind}, content=b"x")
    assert get(f"http://example.org{path}", lambda _: answer, tmp_path).suffix == suffix


def test_redirects_are_followed(tmp_path: Path) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/old":
            return httpx.Response(302, headers={"location": "//example.net/new.png"})
        assert request.headers["host"] == "example.net"
        return httpx.Response(200, content=b"new")

    hosts = {"example.org": [PUBLIC], "example.net": [PUBLIC]}
    assert get("http://example.org/old", answer, tmp_path, hosts).read_bytes() == b"new"


def never(request: httpx.Request) -> httpx.Response:
    raise AssertionError(f"asked {request.url}")


def moved(to: str) -> Answer:
    return lambda _: httpx.Response(301, headers={"location": to})


def timed_out(request: httpx.Request) -> httpx.Response:
    raise httpx.ReadTimeout("too slow")


HOSTS = {
    "example.org": [PUBLIC],
    "local": ["127.0.0.1"],
    "mapped": ["::ffff:10.0.0.1"],
    "meta": ["169.254.169.254"],
    "half": [PUBLIC, "10.0.0.1"],
    "nat64": ["64:ff9b::7f00:1"],
    "compatible": ["::7f00:1"],
    "six": ["2002:a00:1::"],
    "many": ["224.0.1.1"],
    "none": [],
}
REFUSED = [
    ("http://local/a", never, "host 'local' is not public (127.0.0.1)"),
    ("http://meta/a", never, "host 'meta' is not public (169.254.169.254)"),
    ("http://mapped/a", never, "host 'mapped' is not public (::ffff:10.0.0.1)"),
    ("http://half/a", never, "host 'half' is not public (10.0.0.1)"),
    ("http://nat64/a", never, "host 'nat64' is not public (64:ff9b::7f00:1)"),
    ("http://compatible/a", never, "host 'compatible' is not public (::7f00:1)"),
    ("http://six/a", never, "host 'six' is not public (2002:a00:1::)"),
    ("http://many/a", never, "host 'many' is not public (224.0.1.1)"),
    ("http://none/a", never, "host 'none' is not public"),
    ("http://nowhere/a", never, "host 'nowhere' is unknown: Name or service not known"),
    ("http://example.org/a", moved("http://local/"), "host 'local' is not public"),
    ("http://example.org/a", moved("file:///etc/passwd"), "is no http(s) address"),
    ("http://example.org/a", moved("/a"), "redirects more than 5 times"),
    ("http:///a", never, "is no http(s) address"),
    ("http://example.org:x/a", never, "cannot be fetched: Invalid port"),
    ("http://example.org/a", lambda _: httpx.Response(404), "http://example.org/a answered 404 Not Found"),
    ("http://example.org/a", timed_out, "cannot be fetched: too slow"),
]


@pytest.mark.parametrize(("url", "answer", "message"), REFUSED, ids=[message for _, _, message in REFUSED])
def test_what_is_refused(url: str, answer: Answer, message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        get(url, answer, tmp_path, HOSTS)
    assert str(caught.value).startswith("input 'image': ")
    assert message in str(caught.value)


def test_a_file_that_is_too_large_is_cut_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_BYTES", 1 << 20)
    with pytest.raises(InputError, match="is larger than 1 MB"):
        get("http://example.org/a", lambda _: httpx.Response(200, content=b"0" * (1 << 20) + b"1"), tmp_path)


def test_who_sends_too_slowly_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_SECONDS", -1.0)
    with pytest.raises(InputError, match=r"http://example\.org/a sends too slowly: 3 bytes in -1 s"):
        get("http://example.org/a", lambda _: httpx.Response(200, content=b"png"), tmp_path)
