"""How a reply is read: text, captions and places of its signals."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from orchestrator.errors import BundleError
from orchestrator.models.bundle import SignalSpec
from orchestrator.models.llm.signals import SignalTokens

IMAGE, VIDEO = [1100, 1101], [1200, 1201, 1202]
TOKENS = SignalTokens({"image": IMAGE, "video": VIDEO})


def ids(text: str) -> list[int]:
    """One id a character; `I` and `V` are whole signals, `i` and `v` are broken ones."""
    runs = {"I": IMAGE, "V": VIDEO, "i": IMAGE[:1], "v": VIDEO[1:]}
    return [token for letter in text for token in runs.get(letter, [ord(letter)])]


def decode(part: Sequence[int]) -> str:
    return "".join(map(chr, part))


@pytest.mark.parametrize(
    ("reply", "text", "spans"),
    [
        ("a dog", "a dog", []),
        ("", "", []),
        ("a dog V", "a dog", [("video", 5, "a dog")]),
        ("V", "", [("video", 0, "")]),
        ("V a dog", "a dog", [("video", 0, "")]),
        ("a dog V and a cat I.", "a dog  and a cat .", [("video", 6, "a dog"), ("image", 17, "and a cat")]),
        ("a dog IV", "a dog", [("image", 5, "a dog"), ("video", 5, "a dog")]),
        ("a dog VV", "a dog", [("video", 5, "a dog"), ("video", 5, "a dog")]),
        ("a dog i", "a dog", []),
        ("a dog v and", "a dog  and", []),
        ("a iI", "a", [("image", 1, "a")]),
    ],
)
def test_read(reply: str, text: str, spans: list[tuple[str, int, str]]) -> None:
    found, signals = TOKENS.read(ids(reply), decode)
    assert (found, [(s.modality, s.place, s.caption) for s in signals]) == (text, spans)
    for span in signals:
        assert ids(reply)[span.start : span.stop] == list(TOKENS.ids[span.modality])
        assert span.place <= len(found)


def test_runs_of_a_signal_that_is_cut_by_another() -> None:
    assert TOKENS.runs([1200, 1201, 1100, 1101, 1202]) == [("image", 2, 4)]
    assert TOKENS.runs([1200, 1200, 1201, 1202]) == [("video", 1, 4)]
    assert TOKENS.runs([]) == []


class Tokenizer:
    def get_vocab(self) -> dict[str, int]:
        return {"[V0]": 7, "[V1]": 9, "a": 1}


def test_looked_up_in_the_tokenizer() -> None:
    assert SignalTokens.of({"video": SignalSpec(count=2, token="[V{}]")}, Tokenizer()).ids == {"video": (7, 9)}
    specs = {"video": SignalSpec(count=4, token="[V{}]"), "image": SignalSpec(count=1, token="[I{}]")}
    with pytest.raises(BundleError, match=r"the tokenizer lacks 3 signal tokens: \[V2\], \[V3\], \[I0\]"):
        SignalTokens.of(specs, Tokenizer())
