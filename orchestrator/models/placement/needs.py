"""What a part needs in memory, read from its files without loading it: weights from the headers of its safetensors,
activations from its config.

Weights are exact. Activations are an estimate of what is alive at once in a forward without gradients, from widths and
sizes; what a library keeps beside that (workspaces, fragments) is not in it. No torch here.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.models import weights
from orchestrator.models.placement import activations

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle

ITEMSIZE = {"float32": 4, "float16": 2, "bfloat16": 2}
FLOATS = {"F64": "float32", "F32": "float32", "F16": "float16", "BF16": "bfloat16"}  # in a header -> native
QUANTIZED = {"4bit": 0.5625, "8bit": 1.0}  # bytes of a weight, with the scale that each 64 of them share in 4 bits
BLOCK = re.compile(r"^(.*?\.\d+)\.")  # of `model.layers.3.mlp.up.weight`, `model.layers.3`


@dataclass(frozen=True)
class Need:
    """What a part needs. Counts are of floating numbers unless named bytes.

    `largest` are those of the largest model of a pipeline, `streamed` the most on a GPU when layers are copied there
    one at a time, and `floor` what stays there between them; `fixed` bytes have no precision to choose; `native` is
    the precision of the files; `work` are activations.
    """

    part: str
    kind: str = ""
    used_by: tuple[str, ...] = ()
    floats: int = 0
    largest: int = 0
    streamed: int = 0
    floor: int = 0
    fixed: int = 0
    native: str = "float32"
    work: int = 0
    movable: bool = True  # quantized weights stay where they are

    def weights(self, dtype: str, floats: int | None = None) -> int:
        """Bytes of its weights, or of so many of them."""
        count = self.floats if floats is None else floats
        return count * ITEMSIZE[dtype] + (self.fixed if count else 0)

    def activations(self, dtype: str) -> int:
        """Bytes alive at once beside the weights, estimated."""
        return self.work * ITEMSIZE[dtype]


@dataclass
class _Model:
    """What the files of one model hold."""

    floats: int = 0
    outside: int = 0  # of its blocks
    block: int = 0  # the largest
    fixed: int = 0
    natives: Counter[str] = field(default_factory=Counter)


def need(bundle: Bundle, part: str, used_by: Sequence[str] = (), asked: Sequence[Mapping[str, Any]] = ()) -> Need:
    """What a part needs for nodes with the settings `asked`: the most of them. A remote part needs nothing."""
    if part == "llm" and bundle.remote:
        return Need(part, bundle.kind(part), tuple(used_by))
    spec, folder = bundle.part(part), bundle.path(part)
    quantize: str = getattr(spec, "quantize", "")
    models = [_read(files, quantize) for files in _models(bundle, part)]
    natives = sum((model.natives for model in models), Counter[str]())
    floats = sum(model.floats for model in models)
    usual = getattr(spec, "settings", {})
    work = [activations.estimate(folder, part, {**usual, **settings}, floats) for settings in asked or [{}]]
    return Need(
        part=part,
        kind=bundle.kind(part),
        used_by=tuple(used_by),
        floats=floats,
        largest=max((model.floats for model in models), default=0),
        streamed=sum(model.outside for model in models) + max((model.block for model in models), default=0),
        floor=sum(model.outside for model in models),
        fixed=sum(model.fixed for model in models),
        native=natives.most_common(1)[0][0] if natives else "float32",
        work=max(work),
        movable=not quantize,
    )


def _models(bundle: Bundle, part: str) -> list[list[Path]]:
    """The weight files of each model of a part, a folder each; an adapter is merged, so it needs nothing."""
    files = [file for file in bundle.weights(part) if file.is_relative_to(bundle.path(part))]
    return [[file for file in files if file.parent == folder] for folder in dict.fromkeys(f.parent for f in files)]


def _read(files: Sequence[Path], quantize: str) -> _Model:
    model, blocks = _Model(), Counter[str]()
    for file in files:
        if file.suffix != ".safetensors":  # a pickle, which is not opened here
            model.floats, model.outside = (n + file.stat().st_size // 4 for n in (model.floats, model.outside))
            continue
        for name, tensor in weights.tensors(file).items():
            count = math.prod(tensor["shape"])
            native = FLOATS.get(tensor["dtype"])
            block = BLOCK.match(name)
            if native and quantize in QUANTIZED and block and len(tensor["shape"]) == 2:
                model.fixed += int(count * QUANTIZED[quantize])
            elif native:
                model.floats += count
                model.natives[native] += count
                model.outside += 0 if block else count
                blocks[block[1] if block else ""] += count if block else 0
            else:
                model.fixed += tensor["data_offsets"][1] - tensor["data_offsets"][0]
    model.block = max(blocks.values(), default=0)
    return model
