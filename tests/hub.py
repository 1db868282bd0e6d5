"""A hub on this machine: repositories of folders, served as far as huggingface_hub asks for them."""

from __future__ import annotations

import hashlib
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

FIRST = "1" * 40  # the commit of every repository
TREE = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/tree/(?P<revision>[^/]+)(?P<folder>/.*)?")
INFO = re.compile(r"/api/models/(?P<repo>[^/]+/[^/]+)/revision/(?P<revision>.+)")
FILE = re.compile(r"/(?P<repo>[^/]+/[^/]+)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")


class Hub:
    """Serves `repositories` (name -> folder) at `url`. `asked` are (method, path, range) of all requests.

    `sizes` are lies about files, `breaks` the names of files whose next download breaks off in the middle.
    """

    def __init__(self, **repositories: Path) -> None:
        self.repositories = {name.replace("__", "/"): folder for name, folder in repositories.items()}
        self.gated: set[str] = set()
        self.sizes: dict[str, int] = {}
        self.breaks: set[str] = set()
        self.asked: list[tuple[str, str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def downloads(self) -> list[str]:
        """The names of the files that were asked for, in order."""
        return [match["name"] for method, path, _ in self.asked if method == "GET" and (match := FILE.fullmatch(path))]

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_HEAD(self) -> None:
        self._route()

    def do_GET(self) -> None:
        self._route()

    def _route(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked.append((self.command, path, self.headers.get("range", "")))
        for pattern, answer in ((TREE, self._tree), (INFO, self._info), (FILE, self._file)):
            if match := pattern.fullmatch(path):
                folder = self.hub.repositories.get(match["repo"])
                if folder is None:
                    return self._fail(401, "RepoNotFound")
                if match["repo"] in self.hub.gated:
                    return self._fail(403, "GatedRepo")
                if match["revision"] not in (FIRST, "main"):
                    return self._fail(404, "RevisionNotFound")
                return answer(folder, match)
        return self._fail(404, "EntryNotFound")

    def _tree(self, folder: Path, match: re.Match[str]) -> None:
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        self._json([self._entry(path.relative_to(folder).as_posix(), path) for path in files])

    def _entry(self, name: str, file: Path) -> dict[str, Any]:
        size = self.hub.sizes.get(name, file.stat().st_size)
        entry = {"type": "file", "path": name, "size": size, "oid": hashlib.sha1(file.read_bytes()).hexdigest()}
        if file.suffix in (".safetensors", ".bin"):
            entry["lfs"] = {"oid": _sha256(file), "size": size, "pointerSize": 130}
        return entry

    def _info(self, folder: Path, match: re.Match[str]) -> None:
        self._json({"id": match["repo"], "sha": FIRST, "siblings": []})

    def _file(self, folder: Path, match: re.Match[str]) -> None:
        file = folder / match["name"]
        if not file.is_file():
            return self._fail(404, "EntryNotFound")
        content, begin = file.read_bytes(), int((re.findall(r"bytes=(\d+)-", self.headers.get("range", "")) or [0])[0])
        self.send_response(206 if begin else 200)
        self.send_header("X-Repo-Commit", FIRST)
        self.send_header("ETag", f'"{_sha256(file)}"')
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content) - begin))
        if begin:
            self.send_header("Content-Range", f"bytes {begin}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            broken = match["name"] in self.hub.breaks
            self.hub.breaks.discard(match["name"])
            self.wfile.write(content[begin : len(content) // 2 if broken else None])
        return None

    def _json(self, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _fail(self, status: int, code: str) -> None:
        self.send_response(status)
        self.send_header("X-Error-Code", code)
        self.send_header("X-Error-Message", code)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def checkpoint(folder: Path) -> Path:
    """A CLIP as repositories have it: with files that nobody needs."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"model_type": "clip_vision_model", "hidden_size": 4}')
    save_file({"w": torch.ones(300)}, folder / "model.safetensors")
    (folder / "pytorch_model.bin").write_bytes(b"x" * 900)
    (folder / "README.md").write_text("# CLIP")
    return folder


@contextmanager
def served_at(folder: Path, patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with the repository org/clip, asked instead of the real one; the cache is empty."""
    with Hub(org__clip=checkpoint(folder / "served")) as found:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, found.url)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "ENDPOINT", found.url)
        patch.setattr(constants, "HF_HUB_CACHE", str(folder / "cache"))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        patch.setattr(time, "sleep", lambda _: None)  # between the tries of huggingface_hub
        yield found


def _sha256(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()
