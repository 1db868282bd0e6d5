"""The bundles that ship without weights: what they name, and their tiny twins, which run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.engine.flow import Flow
from orchestrator.models.bundle import GROUPS, Bundle, places
from orchestrator.models.bundle.verify import verify
from orchestrator.models.loading import quiet
from tests.assembling import TWINS, twin

MEDIA = Path(__file__).parents[2] / "flows/media"
GIVEN = {"image": MEDIA / "guitar.png", "audio": MEDIA / "note.wav", "video": MEDIA / "apple.mp4", "text": "a guitar"}
READY = ("modern", "nextgpt-like", "small-gpu")
pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),
]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The twin of a bundle; checkpoints are shared."""
    root, found = tmp_path_factory.mktemp("ready"), dict[str, Path]()

    def make(name: str) -> Path:
        if name not in found:
            with quiet():
                found[name] = twin(name, root / name, root / "checkpoints")
        return found[name]

    return make


@pytest.fixture(autouse=True)
def trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORCH_TRUST", "pickle")


@pytest.mark.parametrize("name", READY)
def test_what_ships_names_commits(name: str) -> None:
    bundle = Bundle.open(name)
    hubs = {bundle.part(part).hub for part in bundle.names()}
    assert hubs <= TWINS.keys()
    assert list(places.warnings(bundle)) == []
    root = Path(__file__).parents[2]
    assert bundle.spec.recipes.keys() == {g for g in GROUPS if "projectors" in g}
    assert all((root / recipe).is_file() for recipe in bundle.spec.recipes.values())


@pytest.mark.parametrize("name", READY)
def test_a_twin_is_sound(name: str, made: Callable[[str], Path]) -> None:
    assert verify(Bundle.open(made(name))) == []


@pytest.mark.parametrize(
    ("name", "line"),
    [
        *((name, "text -> image + audio + video") for name in READY),
        *((name, f"{modality} -> text") for name, modality in zip(READY, ("image", "audio", "video"), strict=True)),
    ],
)
def test_a_twin_runs(name: str, line: str, made: Callable[[str], Path]) -> None:
    flow = Flow.arrow(line, made(name))
    flow = flow.with_fields({f"{n.name}.max_new_tokens": 48 for n in flow.plan.nodes if n.stage.name == "reason"})
    result = flow.run({name: GIVEN[name] for name in flow.spec.inputs})
    assert {name: media.modality for name, media in result.outputs.items()} == {n: n for n in flow.spec.outputs}
