"""The objectives of the generation side, for pictures, sounds and films alike: one table, no copy a modality."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from orchestrator.errors import InputError, UserError
from orchestrator.nodes.decode import Decode
from orchestrator.nodes.encode import Encode, EncodeConfig
from orchestrator.nodes.generate import seed_at
from orchestrator.nodes.media import Media
from orchestrator.nodes.output_project import _distance as distance
from orchestrator.nodes.ports import Condition, Signals
from orchestrator.nodes.project import Project
from orchestrator.nodes.reason import Reason, ReasonConfig
from orchestrator.nodes.stage import Config, Inputs
from orchestrator.testing import StageContext
from tests import tiny
from tests.gradients import frozen, reached, trainable
from tests.making import (
    LATENTS,
    MAKES,
    MODALITIES,
    asked,
    bare,
    conditions,
    generate,
    output_project,
    shown,
    signals,
)

# --- output_project: equation 4


@pytest.mark.parametrize("distance", ["mse", "l2", "relative"])
def test_equation_4_by_hand(distance: str, modality: str, context: StageContext) -> None:
    lent, stage, batch = trainable(context, f"output_projectors.{modality}"), output_project(), asked(modality)
    tau = stage.targets([bare(request) for request in batch], context)
    learned = stage.learn(
        [request | t for request, t in zip(batch, tau, strict=True)], lent, {"mse": {"distance": distance}}
    )
    learned.losses["mse"].backward()

    made = [item for out in stage.run(batch, lent) for item in out["condition"].items]
    wanted = context.load(f"generators.{modality}").encode_text(["a dog", "", "snow"])
    (keyword,) = made[0]
    measure = {
        "mse": lambda e, _: e.square().mean(),
        "l2": lambda e, _: e.square().sum(-1).sqrt().mean(),
        "relative": lambda e, t: (e.square().sum(-1) / t.square().sum(-1)).mean(),
    }[distance]
    errors = [measure(m[keyword] - w[keyword], w[keyword]) for m, w in zip(made, wanted, strict=True)]
    torch.testing.assert_close(learned.losses["mse"], torch.stack(errors).mean())
    assert learned.counts == {"mse": 3}
    assert [len(out["condition"].items) for out in learned.outputs] == [2, 1]
    assert reached(lent.models[f"output_projectors.{modality}"])
    assert frozen(context, [f"generators.{modality}"])


def test_targets_are_the_same_in_any_batch(modality: str, context: StageContext) -> None:
    stage, batch = output_project(), [bare(request) for request in asked(modality)]
    together = stage.targets(batch, context)
    alone = [stage.targets([request], context)[0] for request in batch]
    for a, b in zip(together, alone, strict=True):
        for tau, other in zip(a["tau"], b["tau"], strict=True):
            assert tau.keys() == other.keys()
            assert all(torch.allclose(tau[name], other[name], rtol=1e-4, atol=1e-5) for name in tau)


def test_without_objectives_conditions_are_passed_on(modality: str, context: StageContext) -> None:
    lent = trainable(context, f"output_projectors.{modality}")
    learned = output_project().learn(asked(modality), lent, {})
    assert (learned.losses, learned.counts) == ({}, {})
    assert all(t.requires_grad for out in learned.outputs for c in out["condition"].items for t in c.values())


def test_padding_does_not_count(tiny_any_context: StageContext) -> None:
    """Where tau has a mask, as of T5's states."""
    stage, batch = output_project(), [{"signal": signals("image", "a dog")}]
    (made,) = stage.run(batch, tiny_any_context)[0]["condition"].items
    mask = torch.arange(tiny.LENGTH)[None] < 3
    tau = {"prompt_embeds": made["prompt_embeds"] + torch.where(mask, 2.0, 9.0)[..., None], "attention_mask": mask}
    learned = stage.learn([batch[0] | {"tau": (tau,)}], tiny_any_context, {"mse": {}})
    torch.testing.assert_close(learned.losses["mse"], torch.tensor(4.0))


def test_the_tensors_of_a_condition_count_alike() -> None:
    """Whatever their sizes."""
    made = [{"large": torch.zeros(1, 8, 16), "small": torch.zeros(1, 1, 2)}]
    wanted = [{"large": torch.ones(1, 8, 16), "small": torch.full((1, 1, 2), 3.0)}]
    assert distance(made, wanted).item() == 5.0  # the mean of 1 and 9


def test_some_projectors_read_the_states_alone(tiny_any_context: StageContext) -> None:
    lent = trainable(tiny_any_context, "output_projectors.image")
    projector = lent.models["output_projectors.image"]
    projector.adds_embeddings = False
    bare_states = replace(signals("image", "a dog").items[0], embeds=None)
    (out,) = output_project().run([{"signal": Signals("image", (bare_states,))}], lent)
    assert bare_states.states is not None
    torch.testing.assert_close(out["condition"].items[0]["prompt_embeds"], projector(bare_states.states[None]))


def test_what_mse_refuses(tiny_any_context: StageContext) -> None:
    request: Inputs = {"signal": signals("image", "a dog")}
    batch = [{**request, **output_project().targets([request], tiny_any_context)[0]}]
    with pytest.raises(UserError, match=r"no distance 'l3' is known\. Known: l2, mse, relative"):
        output_project().learn(batch, tiny_any_context, {"mse": {"distance": "l3"}})
    with pytest.raises(UserError, match=r"objective mse .* `bridge: caption`: leave it out"):
        output_project(bridge="caption").learn(batch, tiny_any_context, {"mse": {}})


# --- generate: equation 5


def test_equation_5_trains_the_output_projector(modality: str, context: StageContext) -> None:
    part = f"output_projectors.{modality}"
    lent, stage = trainable(context, part), generate()
    latents = stage.targets(shown(modality), context)
    assert [len(t["latents"]) for t in latents] == [2, 1]
    assert all(tuple(z.shape) == LATENTS[modality] for t in latents for z in t["latents"])
    batch = [c | z for c, z in zip(conditions(lent, modality, asked(modality)), latents, strict=True)]
    learned = stage.learn(batch, lent, {"x_gen": {}})
    learned.losses["x_gen"].backward()
    assert (learned.outputs, learned.counts) == ([{}, {}], {"x_gen": 3})
    assert reached(lent.models[part])
    assert frozen(lent, [f"generators.{modality}"])

    items = [item for request in batch for item in request["condition"].items]
    rows = [z for request in batch for z in request["latents"]]
    by_hand = context.load(f"generators.{modality}").denoise(items, rows, [5, seed_at(5, 1), 6], 5.0)
    torch.testing.assert_close(learned.losses["x_gen"], by_hand)
    weighed = stage.learn(batch, lent, {"x_gen": {"snr_gamma": 1e-3}}).losses["x_gen"]
    assert not torch.allclose(weighed, by_hand)


def test_latents_are_the_same_in_any_batch(modality: str, context: StageContext) -> None:
    batch = shown(modality)
    together, alone = generate().targets(batch, context), [generate().targets([r], context)[0] for r in batch]
    for a, b in zip(together, alone, strict=True):
        for z, other in zip(a["latents"], b["latents"], strict=True):
            torch.testing.assert_close(z, other, rtol=1e-4, atol=1e-5)


def test_the_same_noise_whatever_the_batch_and_the_nodes_own_seed(modality: str, context: StageContext) -> None:
    stage = generate(seed=3)  # of its samples: steps of a training are not all alike
    latents = stage.targets(shown(modality), context)
    batch = [c | z for c, z in zip(conditions(context, modality, asked(modality)), latents, strict=True)]
    together = stage.learn(batch, context, {"x_gen": {}})
    alone = [
        stage.learn([r], replace(context, seeds=(seed,)), {"x_gen": {}}).losses["x_gen"]
        for r, seed in zip(batch, (5, 6), strict=True)
    ]
    torch.testing.assert_close(together.losses["x_gen"], (2 * alone[0] + alone[1]) / 3, rtol=1e-4, atol=1e-6)
    other = stage.learn(batch, replace(context, seeds=(8, 9)), {"x_gen": {}})
    assert not torch.allclose(together.losses["x_gen"], other.losses["x_gen"])


def test_without_objectives_nothing_is_loaded(modality: str, context: StageContext) -> None:
    lent = replace(context, models={}, bundle=None)
    learned = generate().learn([{"condition": Condition(modality, ({},), ("a",))}] * 2, lent, {})
    assert (learned.outputs, learned.losses) == ([{}, {}], {})


def test_media_and_signals_are_as_many(tiny_any_context: StageContext) -> None:
    condition = Condition("image", ({}, {}), ("a", "b"))
    with pytest.raises(InputError, match=r"1 image media to learn from, but the reply has 2 signals for them"):
        generate().learn([{"condition": condition, "latents": (torch.zeros(1),)}], tiny_any_context, {"x_gen": {}})


@pytest.mark.parametrize("modality", MODALITIES)
def test_equation_5_reaches_both_projectors_through_the_whole_chain(
    modality: str, tiny_any_context: StageContext
) -> None:
    """encode, project, reason, decode, output_project, generate: the nodes of a flow, with gradients on."""
    ends = (f"input_projectors.{modality}", f"output_projectors.{modality}")
    lent = trainable(tiny_any_context, *ends)
    media = Media.load(MAKES[modality](), modality)
    features = Encode(EncodeConfig()).run([{"media": media}], lent)
    (prompts,) = Project(Config()).run(features, lent)
    reason = Reason(ReasonConfig(require=(modality,), max_new_tokens=30))
    (said,) = reason.run([{"prompt": Media.load("make it", "text"), "media": (prompts["prompts"],)}], lent)
    (split,) = Decode(Config()).run([said], lent)
    (bridged,) = output_project().run([{"signal": split[modality]}], lent)
    count = len(bridged["condition"].items)
    (target,) = generate().targets([{"media": (media,) * count}], lent)
    generate().learn([bridged | target], lent, {"x_gen": {}}).losses["x_gen"].backward()
    assert all(reached(lent.models[part]) for part in ends)
    assert frozen(lent, ["llm", f"encoders.{modality}", f"generators.{modality}"])
