"""A dialogue as training data: one line of a manifest, and its media in a folder beside it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from orchestrator.engine.chat import Exchange, Shown
from orchestrator.errors import CallError, InputError, OutputError
from orchestrator.models.llm.calls import made
from orchestrator.nodes.decode import MADE
from orchestrator.nodes.modality import MODALITIES
from orchestrator.train.data import manifest
from orchestrator.train.data.sample import MediaRef, Piece, Sample, Turn

SUFFIX = ".jsonl"


def save(exchanges: Sequence[Exchange], file: Path) -> Path:
    """Write `talk.jsonl` and the media to `talk/`; turns without a reply are left out. Raises InputError if there is
    nothing to save, OutputError if something is there already, or nothing can be written."""
    file = file if file.suffix else file.with_suffix(SUFFIX)
    said = [exchange for exchange in exchanges if exchange.reply.strip() or exchange.made]
    if not said:
        raise InputError("nothing to save: nobody has replied yet")
    folder = file.with_suffix("")
    for place in (file, folder):
        if place.exists():
            raise OutputError(f"{place} is there already: choose another name")
    try:
        folder.mkdir()
        turns = [turn for i, exchange in enumerate(said, start=1) for turn in _turns(exchange, folder, i)]
        if not any(folder.iterdir()):
            folder.rmdir()
    except OSError as error:
        raise OutputError(f"cannot write to {folder}: {error.strerror or error}") from None
    return manifest.write(file, [manifest.checked(Sample(tuple(turns), where=str(file)))])


def _turns(exchange: Exchange, folder: Path, number: int) -> Iterator[Turn]:
    """What the user showed and said, then the reply with its media where they were called for."""
    seen = [MediaRef(s.media.modality, _file(s, folder / f"{number}-shown-{i}")) for i, s in enumerate(exchange.shown)]
    yield Turn("user", (*seen, *([exchange.text] if exchange.text else [])))
    left = list(exchange.made)
    pieces: list[Piece] = []
    begin = 0
    for call in exchange.calls:
        try:
            modality, caption = made(call, MADE)
        except CallError:  # a tool of another kind
            continue
        found = next((shown for shown in left if shown.media.modality == modality), None)
        if found is not None:
            left.remove(found)
        pieces += [exchange.reply[begin : call.place]] if call.place > begin else []
        pieces.append(_made(modality, found, caption or _caption(exchange), folder / f"{number}-made-{len(pieces)}"))
        begin = max(begin, call.place)
    pieces += [exchange.reply[begin:]] if exchange.reply[begin:] else []
    for i, shown in enumerate(left):  # made in a later turn of the flow's own
        pieces.append(_made(shown.media.modality, shown, _caption(exchange), folder / f"{number}-more-{i}"))
    yield Turn("assistant", tuple(pieces))


def _made(modality: str, shown: Shown | None, caption: str, place: Path) -> MediaRef:
    return MediaRef(modality, _file(shown, place) if shown else None, caption)


def _caption(exchange: Exchange) -> str:
    """What a medium shows that came without a caption of its own."""
    return exchange.reply.strip() or exchange.text.strip() or "(no words)"


def _file(shown: Shown, place: Path) -> Path:
    """A medium as a file of the folder: a copy of its own, if it has one."""
    if shown.path is not None and shown.path.is_file():
        return Path(shutil.copyfile(shown.path, place.with_suffix(shown.path.suffix.lower())))
    return shown.media.save(place.with_suffix(MODALITIES[shown.media.modality].saved_as))
