"""A scripted LLM behind an OpenAI-compatible endpoint on this machine: for tests of what talks to a remote LLM.

    with ScriptedLLM(Answer("Here it is.", calls=[("make_image", {"caption": "a dog"})])) as llm:
        ...  # a bundle with `llm: {url: <llm.url>, model: scripted}`
    llm.requests[0]["messages"]

Answers are given in order, one a request; a request more than there are answers fails (501).
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any


@dataclass(frozen=True)
class Answer:
    """What the LLM says: a text and tool calls (name, arguments as an object, or as JSON that may be wrong).

    With another `status` it is an error of that message; `headers` come with it, `raw` goes out instead of it, and it
    begins after `wait` seconds.
    """

    text: str = ""
    calls: Sequence[tuple[str, Mapping[str, Any] | str]] = ()
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: str | None = None
    wait: float = 0.0

    def deltas(self) -> Iterator[dict[str, Any]]:
        """Its pieces as chat endpoints stream them: words, then calls, the arguments in two halves."""
        for word in self.text.split(" ") if self.text else ():
            yield {"content": f"{word} "}
        for i, (tool, given) in enumerate(self.calls):
            arguments = given if isinstance(given, str) else json.dumps(given)
            half = len(arguments) // 2
            function = {"name": tool, "arguments": arguments[:half]}
            yield {"tool_calls": [{"index": i, "id": f"call_{i}", "type": "function", "function": function}]}
            yield {"tool_calls": [{"index": i, "function": {"arguments": arguments[half:]}}]}

    def message(self) -> dict[str, Any]:
        """All of it at once."""
        calls = [
            {"id": f"call_{i}", "type": "function", "function": {"name": tool, "arguments": _json(given)}}
            for i, (tool, given) in enumerate(self.calls)
        ]
        return {"role": "assistant", "content": self.text or None} | ({"tool_calls": calls} if calls else {})


class ScriptedLLM:
    """The endpoint, at `url` while it is a context. `requests` are the bodies that came, `headers` those of each.

    It knows one `model` (404 for others), and wants `key` if there is one (401).
    """

    def __init__(self, *answers: Answer, model: str = "scripted", key: str = "") -> None:
        self.answers, self.model, self.key = list(answers), model, key
        self.requests: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.stopping = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"llm": self}))
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def url(self) -> str:
        """Its address, for `llm: {url: ...}`."""
        return f"http://127.0.0.1:{self._server.server_port}/v1"

    def __enter__(self) -> ScriptedLLM:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, body: dict[str, Any], headers: dict[str, str]) -> Answer:
        """Note a request and give the next answer."""
        self.requests.append(body)
        self.headers.append(headers)
        if self.key and headers.get("authorization") != f"Bearer {self.key}":
            return Answer(f"Incorrect API key provided: {headers.get('authorization', 'none')}", status=401)
        if body.get("model") != self.model:
            return Answer(f"The model '{body.get('model')}' does not exist", status=404)
        return self.answers.pop(0) if self.answers else Answer("the script is at its end", status=501)


class _Handler(BaseHTTPRequestHandler):
    """One request."""

    llm: ScriptedLLM

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        if self.path != "/v1/chat/completions":
            answer = Answer(f"there is nothing at {self.path}", status=404)
        else:
            answer = self.llm.answer(body, {name.lower(): value for name, value in self.headers.items()})
        self.llm.stopping.wait(answer.wait)
        try:
            self._send(answer, bool(body.get("stream")))
        except BrokenPipeError:  # who asked has gone away
            return

    def _send(self, answer: Answer, stream: bool) -> None:
        self.send_response(answer.status)
        plain = answer.status != 200 or not stream
        for name, value in {
            "content-type": "application/json" if plain else "text/event-stream",
            **answer.headers,
        }.items():
            self.send_header(name, value)
        self.end_headers()
        if answer.raw is not None:
            self.wfile.write(answer.raw.encode())
        elif answer.status != 200:
            self.wfile.write(json.dumps({"error": {"message": answer.text}}).encode())
        elif plain:
            self.wfile.write(json.dumps({"choices": [{"index": 0, "message": answer.message()}]}).encode())
        else:
            for delta in answer.deltas():
                self._event(json.dumps({"choices": [{"index": 0, "delta": delta}]}))
            self._event(json.dumps({"choices": [], "usage": {"total_tokens": 9}}))
            self._event("[DONE]")

    def _event(self, data: str) -> None:
        self.wfile.write(f"data: {data}\n\n".encode())
        self.wfile.flush()

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet."""


def _json(given: Mapping[str, Any] | str) -> str:
    return given if isinstance(given, str) else json.dumps(given)
