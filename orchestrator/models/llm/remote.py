"""A remote LLM: an OpenAI-compatible chat endpoint. Text goes in; text and tool calls come out, as a stream.

Requests that fail for reasons that pass (429, 5xx, no connection) are sent again, later each time. The key is read from
the environment when a request is sent, and is in no message. No torch here.
"""

from __future__ import annotations

import json
import os
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from orchestrator.errors import BundleError, ModelError, RetryError
from orchestrator.models.bundle.spec import LlmSpec
from orchestrator.models.llm.calls import MAKE, Call, maker

OnText = Callable[[str, int], None]  # the text so far and the pieces that it came in; may raise to stop
FIRST_WAIT, LONGEST_WAIT = 0.5, 60.0  # seconds before the next try
CONNECT = 10.0  # seconds
AGAIN = frozenset({408, 409, 425, 429})  # and all from 500


@dataclass
class Said:
    """What the LLM answered."""

    text: str = ""
    pieces: int = 0
    calls: dict[int, dict[str, Any]] = field(default_factory=dict)

    def add(self, delta: Mapping[str, Any]) -> None:
        """Take in a piece of the answer, in the form of chat endpoints."""
        self.text += delta.get("content") or ""
        self.pieces += 1
        for i, piece in enumerate(delta.get("tool_calls") or ()):
            new = {"name": "", "arguments": "", "place": len(self.text.strip()), "id": ""}
            call, function = self.calls.setdefault(piece.get("index", i), new), piece.get("function") or {}
            call["id"] = piece.get("id") or call["id"]
            call["name"] += function.get("name") or ""
            call["arguments"] += function.get("arguments") or ""

    def tool_calls(self) -> tuple[Call, ...]:
        """The calls, in order."""
        return tuple(Call(**call) for _, call in sorted(self.calls.items()))


def _unheard(text: str, pieces: int) -> None:
    """Nobody listens."""


class _Again(Exception):
    """A failure that may pass; `wait` is what the endpoint asks for, in seconds."""

    def __init__(self, reason: str, wait: float | None = None) -> None:
        self.wait = wait
        super().__init__(reason)


class RemoteLLM:
    """The LLM of a bundle that names a `url`. `transport`, `sleep` and `dice` are for tests."""

    def __init__(
        self,
        spec: LlmSpec,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        dice: Callable[[], float] = random.random,
    ) -> None:
        self.spec, self.transport, self.sleep, self.dice = spec, transport, sleep, dice
        self.url = f"{spec.url.rstrip('/')}/chat/completions"

    def ask(
        self,
        said: str | Sequence[Mapping[str, Any]],
        modalities: Sequence[str],
        require: Sequence[str],
        settings: Mapping[str, Any],
        on_text: OnText = _unheard,
        others: Sequence[Mapping[str, Any]] = (),
    ) -> Said:
        """A text of the user, or messages, with a tool for each modality, of which those of `require` must be called,
        and other tools; `settings` and `on_text` as in `chat`. Raises ModelError if one is not called."""
        messages = [{"role": "user", "content": said}] if isinstance(said, str) else said
        tools = [*(maker(modality) for modality in dict.fromkeys((*modalities, *require))), *others]
        wanted = [MAKE + modality for modality in dict.fromkeys(require)]
        one = {"type": "function", "function": {"name": wanted[0]}} if len(wanted) == 1 else "required"
        offer = ({"tools": tools} if tools else {}) | ({"tool_choice": one} if wanted else {})
        answer = self.chat(messages, {**settings, **offer}, on_text)
        called = {call["name"] for call in answer.calls.values()}
        if missing := [tool for tool in wanted if tool not in called]:
            raise ModelError(f"{self.spec.model} at {self.spec.url} did not call {', '.join(missing)}, as it must")
        return answer

    def chat(self, messages: Sequence[Mapping[str, Any]], body: Mapping[str, Any], on_text: OnText = _unheard) -> Said:
        """Send messages, and what else the `body` says (max_tokens, temperature, seed, tools, tool_choice).

        Raises BundleError for a key, model or address that the endpoint does not take, RetryError when it can't be
        reached, is too slow, or fails again and again, ModelError for an answer that is none.
        """
        whole = {"model": self.spec.model, "messages": list(messages), "stream": True, **body}
        tries = 1
        while True:
            try:
                return self._send(whole, on_text)
            except _Again as again:
                self._wait(self._pause(tries, again), on_text)
            tries += 1

    def _pause(self, tries: int, again: _Again) -> float:
        """Seconds until the next try: what the endpoint asks for, else longer each time, and not all clients at once.
        Raises RetryError if there is none."""
        if tries > self.spec.retries or (again.wait or 0) > LONGEST_WAIT:
            later = f"it asks to wait {again.wait:.0f} s" if again.wait else "try again later"
            times = f"{tries} time{'s' * (tries > 1)}"
            raise RetryError(f"{self.spec.url} failed {times}, at last with {again}; {later}") from None
        longest = min(FIRST_WAIT * 2 ** (tries - 1), LONGEST_WAIT)
        return again.wait if again.wait is not None else longest * (0.5 + self.dice() / 2)

    def _wait(self, seconds: float, on_text: OnText) -> None:
        """Wait, a second at most at a time, so that a stopped run stops here too."""
        while seconds > 0:
            on_text("", 0)
            self.sleep(min(seconds, 1.0))
            seconds -= 1.0

    def _send(self, body: Mapping[str, Any], on_text: OnText) -> Said:
        timeout = httpx.Timeout(self.spec.timeout, connect=min(CONNECT, self.spec.timeout))
        key = self._key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        said = Said()
        try:
            with (
                httpx.Client(transport=self.transport, timeout=timeout) as client,
                client.stream("POST", self.url, json=body, headers=headers) as response,
            ):
                self._check(response, key)
                for delta in self._deltas(response, key):
                    said.add(delta)
                    on_text(said.text, said.pieces)
        except (httpx.ReadTimeout, httpx.WriteTimeout):
            late = f"{self.spec.url} did not answer within {self.spec.timeout:g} s"
            raise RetryError(f"{late}; give it more time with `timeout:` of the bundle's llm, or try again") from None
        except httpx.TransportError as error:
            raise _Again(_clean(f"{type(error).__name__}: {error}", key)) from None
        said.text = said.text.strip()
        return said

    def _key(self) -> str:
        if not self.spec.key:
            return ""
        if not (key := os.environ.get(self.spec.key, "").strip()):
            raise BundleError(
                f"the key of {self.spec.url} is to be in the environment variable {self.spec.key}, which is not set; "
                f"type: export {self.spec.key}=..."
            )
        if not (key.isascii() and key.isprintable()):
            raise BundleError(f"the environment variable {self.spec.key} holds no key: it has characters that none has")
        return key

    def _check(self, response: httpx.Response, key: str) -> None:
        """Raise what an answer that is no 200 stands for."""
        status = response.status_code
        if status == httpx.codes.OK:
            return
        response.read()
        said = _clean(f"{status} {response.reason_phrase}: {_message(response)}".rstrip(": "), key)
        if status in AGAIN or status >= 500:
            raise _Again(said, _asked_wait(response.headers.get("retry-after", "")))
        if status in (401, 403):
            how = f"check the key in {self.spec.key}" if key else "name the environment variable of its key: `key:`"
            raise BundleError(f"{self.spec.url} does not let us in ({said}); {how}")
        if status == httpx.codes.NOT_FOUND:
            raise BundleError(f"{self.spec.url} has no model '{self.spec.model}', or is no chat endpoint ({said})")
        raise ModelError(f"{self.spec.url} refused the request ({said})")

    def _deltas(self, response: httpx.Response, key: str) -> Iterator[Mapping[str, Any]]:
        """The pieces of an answer: of a stream of events, or all at once from an endpoint that does not stream."""
        if "event-stream" not in response.headers.get("content-type", ""):
            yield from self._choice(response.read().decode("utf-8", "replace"), "message", key)
            return
        for line in response.iter_lines():
            data = line.removeprefix("data:").strip()
            if data == "[DONE]":
                return
            if line.startswith("data:") and data:
                yield from self._choice(data, "delta", key)

    def _choice(self, text: str, part: str, key: str) -> list[Mapping[str, Any]]:
        """What the endpoint's JSON says; nothing where it only counts tokens. Raises ModelError if it is no answer."""
        try:
            content = json.loads(text)
            if "error" in content:
                raise ModelError(f"{self.spec.url} failed: {_clean(str(content['error']), key)}")
            return [choice[part] for choice in content["choices"][:1] if choice.get(part)]
        except (ValueError, LookupError, TypeError, AttributeError):
            short = _clean(text[:200], key)
            raise ModelError(f"{self.spec.url} sent no answer of a chat endpoint, but: {short!r}") from None


def _message(response: httpx.Response) -> str:
    """What an endpoint says of its failure, cut short."""
    try:
        content = response.json()
    except ValueError:
        return response.text[:200]
    error = content.get("error", content) if isinstance(content, dict) else content
    return str(error.get("message", error) if isinstance(error, dict) else error)[:200]


def _asked_wait(after: str) -> float | None:
    """`Retry-After` in seconds: a number or a date; None if it is neither."""
    try:
        return max(float(after), 0.0)
    except ValueError:
        try:
            return max(parsedate_to_datetime(after).timestamp() - time.time(), 0.0)
        except ValueError:
            return None


def _clean(text: str, key: str) -> str:
    """A text without the key, should the endpoint repeat it."""
    return text.replace(key, "***") if key else text
