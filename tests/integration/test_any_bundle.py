"""Any encoder, LLM, generator and projector go together: ten bundles, drawn from the tables of families, each run.

Every family is in one of them at least, as far as ten are enough; the draw is the same each time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from orchestrator.engine.flow import Flow
from orchestrator.errors import UserError
from orchestrator.models import encoder_facts, facts
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.models.generators.families import FAMILIES as PIPELINES
from orchestrator.models.loading import quiet
from orchestrator.projectors import num_tokens_for
from tests import tiny, tiny_audio, tiny_encoders
from tests.assembling import GENERATORS, LLMS, OUT_KINDS, QUICK, SMALL, assemble, llm

T = TypeVar("T")
MEDIA = Path(__file__).parents[2] / "flows/media"
GIVEN = {"image": MEDIA / "guitar.png", "audio": MEDIA / "note.wav", "video": MEDIA / "apple.mp4", "text": "a guitar"}
BUNDLES = 10
ENCODERS: dict[str, tuple[str, Callable[[Path], Path]]] = {
    **{
        kind: (row.modality, lambda folder, kind=kind: tiny_encoders.encoder(folder, kind))  # type: ignore[misc]
        for kind, row in tiny_encoders.KINDS.items()
    },
    "resnet": ("image", tiny.convnet_encoder),
    "whisper": ("audio", tiny_audio.whisper_encoder),
    "ast": ("audio", tiny_audio.ast_encoder),
}
IN_KINDS: dict[str, dict[str, Any]] = {
    "linear": {"num_tokens": 2},
    "mlp": {},
    "grouping": {**SMALL, "concepts": [4], "num_tokens": 2},
    "resampler": {**SMALL, "head_dim": 8, "num_tokens": 2},
    "qformer": {**SMALL, "num_tokens": 2},
}
PIPES = [(modality, kind) for modality, kinds in GENERATORS.items() for kind in kinds]
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),
]


def test_nothing_is_left_out() -> None:
    assert {kind for _, kind in PIPES} == PIPELINES.keys()
    assert {
        "clip",
        "siglip",
        "siglip2",
        "dinov2",
        "vit",
        "videomae",
        "whisper",
        "hubert",
        "clap",
        "ast",
    } <= ENCODERS.keys()


def dealt(values: Sequence[T], i: int, salt: str) -> T:
    """One of the values for bundle i: in turn, in an order of chance."""
    order = list(values)
    random.Random(f"{salt} {i // len(order)}").shuffle(order)
    return order[i % len(order)]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Path]], Path]:
    """The folder of a checkpoint, made on first use."""
    root = tmp_path_factory.mktemp("families")

    def find(name: str, make: Callable[[Path], Path]) -> Path:
        if not (root / name).exists():
            with quiet():
                make(root / name)
        return root / name

    return find


def encoder(name: str, folder: Path, dice: random.Random) -> dict[str, Any]:
    """An encoder with tokens, and a layer, that it offers."""
    row = encoder_facts.encoder_facts(folder)
    select = dice.choice([s for s in row.select if s != "pooled"])
    layer = dice.choice([-1, -2]) if row.layers else -1
    return {"checkpoint": str(folder), "select": select, "layer": layer}


def makes(kind: str, count: int, length: int) -> bool:
    """Whether an output projector makes a condition of that length of so many states."""
    try:
        return bool(num_tokens_for(kind, count, length))
    except UserError:
        return False


@pytest.mark.parametrize("i", range(BUNDLES))
def test_it_runs(i: int, checkpoints: Callable[[str, Callable[[Path], Path]], Path], tmp_path: Path) -> None:
    dice = random.Random(i)
    seen = {modality: dealt([n for n, (m, _) in ENCODERS.items() if m == modality], i, "see") for modality in
            ("image", "audio")}  # fmt: skip
    model, (made, pipe), kind = dealt(list(LLMS), i, "llm"), dealt(PIPES, i, "make"), dealt(list(IN_KINDS), i, "in")
    films = dealt(["videomae", seen["image"]], i, "film")
    make, settings = GENERATORS[made][pipe]
    generator = checkpoints(pipe, make)
    ((length, _),) = facts.condition(generator).values()
    count = dice.choice([1, 4, min(length, 16)])
    out = dice.choice([kind for kind in OUT_KINDS if makes(kind, count, length)])
    folders = {m: checkpoints(name, ENCODERS[name][1]) for m, name in {**seen, "video": films}.items()}
    spec = {
        "name": f"drawn-{i}",
        "llm": {"checkpoint": str(checkpoints(model, lambda folder: llm(folder, model)))},
        "encoders": {m: encoder(m, folder, dice) for m, folder in folders.items()},
        "generators": {made: {"checkpoint": str(generator), "settings": QUICK | settings}},
        "signals": {made: {"count": count, "token": "[SIG{}]"}},
    }
    ins = {f"input_projectors.{m}": (kind, IN_KINDS[kind]) for m in folders}
    root = assemble(tmp_path, spec, ins | {f"output_projectors.{made}": (out, OUT_KINDS[out])})
    assert verify(Bundle.open(root)) == []
    for line in (f"{dice.choice(sorted(folders))} -> text", f"text -> {made}"):
        flow = Flow.arrow(line, root)
        flow = flow.with_fields({f"{n.name}.max_new_tokens": 20 for n in flow.plan.nodes if n.stage.name == "reason"})
        result = flow.run({name: GIVEN[name] for name in flow.spec.inputs})
        assert {n: media.modality for n, media in result.outputs.items()} == {n: n for n in flow.spec.outputs}
