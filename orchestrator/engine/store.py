"""The store: results by key, in memory first, then on disk, each with a size limit and LRU.

LangGraph's state holds only handles, `key#port`; the values are here. One store serves all runs of a process, so that a
node that was run before, in any run, is not run again.
"""

from __future__ import annotations

import shutil
import tempfile
import threading
import weakref
from collections import OrderedDict
from pathlib import Path
from typing import Any

from orchestrator.nodes.stage import Outputs

GIB = 2**30


class Store:
    """Outputs of nodes by key. What does not fit into memory is written to a folder that goes with the process.

    Values are immutable: nobody may write into a tensor that came out of it.
    """

    def __init__(self, memory: int = GIB, disk: int = 8 * GIB) -> None:
        self.memory, self.disk = memory, disk
        self._values: OrderedDict[str, tuple[Outputs, int]] = OrderedDict()
        self._files: OrderedDict[str, tuple[Path, int]] = OrderedDict()
        self._folder: Path | None = None
        self._held = self._filed = 0  # bytes of the values and of the files
        self._lock = threading.RLock()

    def put(self, key: str, outputs: Outputs) -> None:
        """Keep a node's outputs; the least recently used of the others give way."""
        from orchestrator.engine import codec

        with self._lock:
            self._forget_file(key)
            _, replaced = self._values.pop(key, (None, 0))
            size = codec.size(outputs)
            self._held += size - replaced
            self._values[key] = (outputs, size)
            while self._held > self.memory and len(self._values) > 1:
                self._spill(*self._values.popitem(last=False))

    def get(self, key: str) -> Outputs | None:
        """A node's outputs, or None. What was on disk comes back to memory."""
        from orchestrator.engine import codec

        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
                return self._values[key][0]
            if key not in self._files:
                return None
            outputs = codec.load(self._files[key][0])
            self.put(key, outputs)
            return outputs

    def value(self, handle: str) -> Any:
        """The value of a handle `key#port`. Raises KeyError if it is no longer there."""
        key, _, port = handle.partition("#")
        outputs = self.get(key)
        if outputs is None:
            raise KeyError(handle)
        return outputs[port]

    def _spill(self, key: str, entry: tuple[Outputs, int]) -> None:
        """Move an entry to disk, and drop the oldest files beyond the limit."""
        from orchestrator.engine import codec

        outputs, size = entry
        self._held -= size
        if self._folder is None:
            self._folder = Path(tempfile.mkdtemp(prefix="orch-store-"))
            weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        file = self._folder / f"{key}.safetensors"
        codec.save(outputs, file)
        self._files[key] = (file, size)
        self._filed += size
        while self._filed > self.disk:
            self._forget_file(next(iter(self._files)))

    def _forget_file(self, key: str) -> None:
        """Remove an entry's file, if it has one."""
        if key in self._files:
            file, size = self._files.pop(key)
            self._filed -= size
            file.unlink()
