"""What the generation side makes, for pictures, sounds and films alike, and projectors that fit it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator import Flow
from orchestrator.errors import UserError
from orchestrator.models.bundle.manifest import new_projector
from orchestrator.nodes.generate import seed_at
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Condition
from orchestrator.testing import StageContext, check_stage
from tests import tiny, tiny_audio
from tests.making import (
    CONTENT,
    MAKES,
    asked,
    conditions,
    generate,
    output_project,
    randn,
)

# --- what is made


def test_the_contract_of_the_stages(modality: str, context: StageContext) -> None:
    check_stage(output_project(), asked(modality), context)
    check_stage(output_project(bridge="caption"), asked(modality), context)
    check_stage(generate(), conditions(context, modality, asked(modality)[1:]), context)


@pytest.mark.parametrize("kind", ["audio", "audioldm2"])
def test_sounds_are_made(context: StageContext) -> None:
    lent = replace(context, progress=[])
    stage = generate(seconds=0.2, steps=3)
    two, one = (out["media"] for out in stage.run(conditions(lent, "audio", asked("audio")), lent))
    assert (one.audio.rate, one.audio.channels, one.audio.seconds) == (tiny_audio.RATE, 1, pytest.approx(0.2))
    assert len(two) == 2
    assert all(not p.preview for _, p in lent.progress)
    assert {p.total for _, p in lent.progress} == {3}


def test_signals_have_seeds_of_their_own(modality: str, context: StageContext) -> None:
    """The first has the request's; none of the others is that of a neighbouring request."""
    same = [{"condition": Condition(modality, (c["condition"].items[0],) * 3, ("a",) * 3)} for c in
            conditions(context, modality, [asked(modality)[1]])] * 2  # fmt: skip
    made = [m for out in generate(steps=1).run(same, context) for m in out["media"]]
    assert len({CONTENT[modality](m).tobytes() for m in made}) == 6
    assert seed_at(5, 0) == 5
    assert len({seed_at(seed, i) for seed in range(-3, 30) for i in range(30)}) == 33 * 30
    assert all(torch.Generator().manual_seed(seed_at(7, i)) for i in range(30))


def test_a_flow_to_a_sound(tiny_any_bundle: Path, tmp_path: Path) -> None:
    flow = Flow.arrow("image -> audio", bundle=str(tiny_any_bundle))
    made = flow.run(image=Media.load(MAKES["image"](), "image"), seed=3)["audio"]
    again = Media.load(made.save(tmp_path / "made.wav"))
    assert (again.audio.rate, again.audio.seconds) == (tiny_audio.RATE, pytest.approx(tiny_audio.SECONDS))
    assert np.array_equal(again.audio.samples, made.audio.samples)


# --- new projectors


def test_a_new_output_projector_fits_its_generator(kind: str, modality: str, context: StageContext) -> None:
    wanted = {
        "image": ("prompt_embeds", (tiny.LENGTH, tiny.WIDTH)),
        "video": ("prompt_embeds", (tiny.LENGTH, tiny.WIDTH)),
        "audio": ("prompt_embeds", (1, tiny_audio.CLAP)),
        "audioldm2": ("generated_prompt_embeds", (tiny_audio.GENERATED, tiny_audio.GPT2)),
    }[kind]
    made: Any = new_projector(context.bundle, f"output_projectors.{modality}", "transformer", **tiny.SMALL)
    assert made.manifest.condition == dict([wanted])
    assert made(randn(2, tiny.ALL_SIGNALS[modality], tiny.WIDTH)).shape == (2, *wanted[1])


def test_sizes_that_follow_are_not_given(tiny_any_context: StageContext) -> None:
    told = r"output_projectors\.audio: leave out num_tokens: it follows from the bundle's parts \(num_tokens is 1\)"
    with pytest.raises(UserError, match=told):
        new_projector(tiny_any_context.bundle, "output_projectors.audio", "transformer", num_tokens=4)


def test_a_kind_that_cannot_make_the_condition(tiny_any_context: StageContext) -> None:
    with pytest.raises(UserError, match=r"projector 'linear' .* 1 are not a multiple of 8"):
        new_projector(tiny_any_context.bundle, "output_projectors.audio", "linear")
