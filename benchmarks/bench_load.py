"""How long it takes to load a bundle, beside reading the same files by safetensors alone.

The parts are as wide as real ones, with random weights (see large_bundle.py). `load_file` only maps a file, so every
candidate also reads all of its weights once; before that, the files are dropped from the page cache, as after a start
of the machine. `by hand` are the classes of transformers and diffusers with nothing around them.
"""

from __future__ import annotations

import os

os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}

import tempfile
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

import torch
from diffusers import DiffusionPipeline
from large_bundle import bundle
from measure import Figure, figure, parser, report, rounds
from safetensors.torch import load_file
from transformers import AutoImageProcessor, AutoModelForCausalLM, AutoTokenizer, CLIPVisionModel

from orchestrator.models.bundle import Bundle
from orchestrator.models.loading import load_part, quiet
from orchestrator.models.placement.offload import modules
from orchestrator.models.placement.sizes import size

PARTS = ("llm", "encoders.image", "generators.image")


def cold(files: Iterable[Path]) -> None:
    """Drop files from the page cache."""
    for file in files:
        descriptor = os.open(file, os.O_RDONLY)
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(descriptor)


def read(tensors: Iterable[torch.Tensor]) -> float:
    """Every number of them, once."""
    return sum(float(tensor.sum()) for tensor in tensors)


def by_orch(opened: Bundle, part: str) -> list[torch.nn.Module]:
    return modules(load_part(opened, part, "cpu", torch.float32))


def by_hand(opened: Bundle, part: str) -> list[torch.nn.Module]:
    folder = opened.path(part)
    with quiet():
        if part == "llm":
            AutoTokenizer.from_pretrained(folder)
            return [AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)]
        if part.startswith("encoders"):
            AutoImageProcessor.from_pretrained(folder, backend="pil")
            return [CLIPVisionModel.from_pretrained(folder, dtype=torch.float32)]
        pipe = DiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    return [module for module in pipe.components.values() if isinstance(module, torch.nn.Module)]


def loaded(load: Callable[[Bundle, str], list[torch.nn.Module]], opened: Bundle, part: str) -> None:
    cold(opened.weights(part))
    read(parameter.detach() for module in load(opened, part) for parameter in module.parameters())


def by_safetensors(opened: Bundle, part: str) -> None:
    cold(opened.weights(part))
    read(tensor for file in opened.weights(part) for tensor in load_file(file).values())


def compare(opened: Bundle, count: int) -> list[Figure]:
    """All parts and each."""
    ways = {"orch": partial(loaded, by_orch), "hand": partial(loaded, by_hand), "load_file": by_safetensors}
    times = {
        part: rounds({way: partial(run, opened, part) for way, run in ways.items()}, count, time.perf_counter)
        for part in PARTS
    }
    whole = {way: [sum(values) for values in zip(*(times[part][way] for part in PARTS), strict=True)] for way in ways}
    best = f"{min(whole['orch']):.2f} and {min(whole['load_file']):.2f} s at best"
    return [
        figure("bundle: Orch / load_file", whole, "orch", "load_file", 1.2, best),
        figure("bundle: Orch / transformers and diffusers by hand", whole, "orch", "hand"),
        *(
            figure(f"{part}: Orch / load_file", times[part], "orch", "load_file", note=size(opened.size(part)))
            for part in PARTS
        ),
    ]


def main() -> None:
    """Make the bundle, and load it."""
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=7, metavar="N")
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        opened = Bundle.open(bundle(Path(folder)))
        figures = compare(opened, args.rounds)
    report("loading 1.6 GB", figures, args.json)


if __name__ == "__main__":
    main()
