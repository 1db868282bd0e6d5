"""Each of today's generators in a bundle: an output projector is made for it, trained by equations 4 and 5, runs."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from orchestrator.models.bundle import BUNDLE_FILE, Bundle
from orchestrator.models.bundle.manifest import new_projector, projector_problems, save_projector
from orchestrator.models.loading import quiet
from orchestrator.testing import StageContext
from tests import tiny, tiny_generators
from tests.generating import CASES
from tests.gradients import frozen, reached, trainable
from tests.making import asked, bare, conditions, generate, output_project, shown

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),
]
MODALITY = {4: "image", 2: "audio"}  # of the axes of what is made; films have several frames


def modality_of(name: str) -> str:
    made = CASES[name].made
    return "video" if len(made) == 4 and made[0] > 1 else MODALITY[len(made)]


@pytest.fixture(scope="module")
def assemble(tiny_any_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A bundle with another generator, and a new projector for it."""

    def make(name: str) -> Path:
        modality = modality_of(name)
        folder = shutil.copytree(tiny_any_bundle, tmp_path_factory.mktemp("bundle") / name)
        shutil.rmtree(folder / f"generators/{modality}")
        with quiet():
            tiny_generators.GENERATORS[name](folder / f"generators/{modality}")
        spec: Any = yaml.safe_load((folder / BUNDLE_FILE).read_text())
        spec["generators"][modality]["settings"] = {"steps": 2, "guidance": 2.0, **CASES[name].size}
        (folder / BUNDLE_FILE).write_text(yaml.safe_dump(spec, sort_keys=False))
        bundle, part = Bundle.open(folder), f"output_projectors.{modality}"
        tiny.seeded()
        module: Any = new_projector(bundle, part, "transformer", "tests", **tiny.SMALL)
        save_projector(module, module.manifest, folder / bundle.part(part).path)
        return folder

    return make


@pytest.mark.parametrize("name", CASES)
def test_a_projector_learns_and_generates(name: str, assemble: Callable[[str], Path]) -> None:
    bundle, modality, case = Bundle.open(assemble(name)), modality_of(name), CASES[name]
    part = f"output_projectors.{modality}"
    assert projector_problems(bundle, part) == []
    context = StageContext(bundle, {}, seeds=(5, 6))
    lent = trainable(context, part)
    batch = asked(modality)

    tau = output_project().targets([bare(request) for request in batch], lent)
    learned = output_project().learn([r | t for r, t in zip(batch, tau, strict=True)], lent, {"mse": {}})
    learned.losses["mse"].backward()
    assert reached(lent.models[part])

    latents = generate().targets(shown(modality), lent)
    assert all(tuple(z.shape) == case.latents for request in latents for z in request["latents"])
    made = [c | z for c, z in zip(conditions(lent, modality, batch), latents, strict=True)]
    generate().learn(made, lent, {"x_gen": {}}).losses["x_gen"].backward()
    assert reached(lent.models[part])
    assert frozen(lent, [f"generators.{modality}"])

    with torch.no_grad():
        several, one = generate().run(conditions(lent, modality, batch), lent)
    assert len(several["media"]) == 2
    assert one["media"].modality == modality
