"""The one table of modalities. A new modality is a new row: nothing else in the project asks for names."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Modality:
    """What the project needs to know of a modality: its words in prompts, and the files that hold it."""

    name: str
    noun: str  # "Describe the picture."
    verb: str  # "Film this: ..."
    suffixes: tuple[str, ...]
    saved_as: str  # suffix of an output file


MODALITIES: dict[str, Modality] = {
    m.name: m
    for m in (
        Modality("text", "the text", "write", (".txt", ".md"), ".txt"),
        Modality(
            "image", "the picture", "draw", (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"), ".png"
        ),
        Modality("audio", "the sound", "play", (".wav", ".flac", ".ogg", ".mp3", ".m4a"), ".wav"),
        Modality("video", "the video", "film", (".mp4", ".webm", ".mov", ".mkv", ".avi"), ".mp4"),
    )
}
