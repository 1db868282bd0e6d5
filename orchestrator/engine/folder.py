"""The folder of a run: outputs as files, `run.json`, the event log and the flow, readable at any moment."""

from __future__ import annotations

import json
import os
import secrets
import time
from pathlib import Path
from typing import Any

from orchestrator.engine.events import Event, NodeProgress
from orchestrator.errors import OutputError
from orchestrator.nodes.media import Media
from orchestrator.nodes.modality import MODALITIES


def new_id() -> str:
    """A run's id: the time, and eight random hex digits, since many runs may begin in the same second."""
    return time.strftime("%Y%m%d-%H%M%S-") + secrets.token_hex(4)


class RunFolder:
    """`<out>/<id>/`. Raises OutputError if it cannot be made."""

    def __init__(self, out: Path, run: str) -> None:
        self.path = out / run
        self.paths: dict[str, Path] = {}
        try:
            self.path.mkdir(parents=True)
            self._log = (self.path / "events.jsonl").open("a", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"cannot write to the output folder {out}: {error.strerror}; choose another --out"
            ) from None

    def log(self, event: Event) -> None:
        """Append an event. Progress is left out: thousands of lines that tell nothing afterwards."""
        if not isinstance(event, NodeProgress):
            self._log.write(json.dumps(event.as_dict(), ensure_ascii=False) + "\n")
            self._log.flush()

    def save(self, name: str, media: Media) -> Path:
        """Write an output: `video.mp4`."""
        self.paths[name] = media.save(self.path / f"{name}{MODALITIES[media.modality].saved_as}")
        return self.paths[name]

    def write(self, name: str, content: str | dict[str, Any]) -> None:
        """Write a text or JSON file, whole or not at all."""
        text = content if isinstance(content, str) else json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        draft = self.path / f".{name}.tmp"
        draft.write_text(text, encoding="utf-8")
        os.replace(draft, self.path / name)

    def close(self) -> None:
        """Close the log."""
        self._log.close()
