"""Today's families of generators against the stock pipelines of diffusers: one table, no copy a family."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.errors import BundleError, Cancelled, UserError
from orchestrator.models import facts
from orchestrator.models.generators import FAMILIES, Generator, Preview
from orchestrator.models.generators import latents as autoencoder
from orchestrator.models.loading import quiet
from tests import tiny_generators as tiny
from tests.generating import CASES, Case, close, heard, load, media, nobody, stock

pytestmark = [
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),  # EulerDiscreteScheduler
    pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning"),  # AutoencoderOobleck, as it is built
]
CAPTIONS = ["a dog", "a red cat"]
FILMS = ["WanPipeline", "LTXPipeline", "CogVideoXPipeline"]


@pytest.fixture(scope="module", params=CASES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture
def case(name: str) -> Case:
    return CASES[name]


@pytest.fixture(scope="module")
def folder(name: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with quiet():
        return tiny.GENERATORS[name](tmp_path_factory.mktemp("generators") / name)


@pytest.fixture(scope="module")
def generator(name: str, folder: Path) -> Generator:
    return load(folder, **CASES[name].size)


def test_each_family_has_facts_and_the_other_way_round() -> None:
    assert FAMILIES.keys() == facts.CONDITION.keys()
    assert all(facts.CONDITION[name].keys() <= FAMILIES[name].takes.keys() for name in FAMILIES)


# --- generate


def test_conditions(generator: Generator, case: Case) -> None:
    made = generator.encode_text([*CAPTIONS, ""])
    assert [{k: tuple(t.shape) for k, t in c.items()} for c in made] == [case.condition] * 3
    (alone,) = generator.encode_text(CAPTIONS[1:])
    assert all(torch.allclose(made[1][k], alone[k], atol=1e-5) for k in alone)


def test_config_files_say_what_a_condition_is(folder: Path, case: Case) -> None:
    """To output projectors, before anything is loaded."""
    assert {k: (1, *size) for k, size in facts.condition(folder).items()} == {
        "prompt_embeds": case.condition["prompt_embeds"]
    }


@pytest.mark.parametrize("negative", [None, "red"])
def test_same_as_the_stock_pipeline(generator: Generator, case: Case, negative: str | None) -> None:
    told = {"negative": negative} if negative and case.negative else {}
    wanted = stock(generator, case, CAPTIONS[1], **{f"{k}_prompt": v for k, v in told.items()})
    (made,) = generator.generate(generator.encode_text(CAPTIONS[1:]), told, [7], nobody)
    assert made.shape == case.made
    assert close(made, generator.family.output.read(wanted)[0])
    assert made.std() > 0


def test_a_batch_is_single_calls(generator: Generator) -> None:
    conditions = generator.encode_text(CAPTIONS)
    together = generator.generate(conditions, {}, [3, 4], nobody)
    alone = [generator.generate([c], {}, [s], nobody)[0] for c, s in zip(conditions, (3, 4), strict=True)]
    assert all(map(close, together, alone))
    assert not np.array_equal(*together)


def test_what_a_condition_lacks_is_of_an_empty_caption(generator: Generator) -> None:
    """As of an output projector, which makes `prompt_embeds` only."""
    (dog, empty), main = generator.encode_text([CAPTIONS[0], ""]), "prompt_embeds"
    masks = {k: torch.ones_like(v) for k, v in dog.items() if "mask" in k}
    lacking, whole = generator.generate([{main: dog[main]}, {**empty, **masks, main: dog[main]}], {}, [1, 1], nobody)
    assert close(lacking, whole)


def test_steps_are_told_with_a_preview_of_what_can_be_seen(generator: Generator, case: Case) -> None:
    told: list[tuple[int, Any]] = []
    condition = generator.encode_text(CAPTIONS[:1])
    (made,) = generator.generate(condition, {"steps": 3}, [0], lambda step, p: told.append((step, p and p())))
    assert [step for step, _ in told] == [1, 2, 3]
    last = told[-1][1]
    if len(case.made) == 2:
        assert last is None
        return
    assert last.shape == case.made[1:]
    if len(made) == 1:
        assert close(last, made[0]), "the last preview is the picture"


def test_raising_stops_between_steps(generator: Generator) -> None:
    seen: list[int] = []

    def stop(step: int, preview: Preview | None) -> None:
        seen.append(step)
        if step == 2:
            raise Cancelled("enough")

    condition = generator.encode_text(CAPTIONS[:1])
    before = generator.generate(condition, {}, [1], nobody)[0]
    with pytest.raises(Cancelled, match="enough"):
        generator.generate(condition, {"steps": 5}, [0], stop)
    assert seen == [1, 2]
    assert np.array_equal(generator.generate(condition, {}, [1], nobody)[0], before), "it works as before"


# --- latents


def test_latents_are_what_the_pipeline_decodes(generator: Generator, case: Case) -> None:
    """Its own latents through our unpacking and normalising are its own media."""
    packed = stock(generator, case, CAPTIONS[0], output_type="latent")
    wanted = generator.family.output.read(stock(generator, case, CAPTIONS[0]))[0]
    output, pipe = generator.family.output, generator.pipe
    found = next(v for v in vars(packed).values() if torch.is_tensor(v))
    latents = generator.family.unpack(pipe, found, output.grid(pipe).latents(generator.form({})))
    assert tuple(latents.shape[1:]) == case.latents
    with torch.no_grad():
        x = autoencoder.decode(pipe.vae, latents, output.folded)[0]
    made = x.T[: len(wanted)] if x.ndim == 2 else ((x.clamp(-1, 1) + 1) * 127.5).round().movedim(0, -1)
    assert close(wanted, made.numpy().astype(wanted.dtype).reshape(wanted.shape))


def test_encoding_normalises_as_decoding_does_not(generator: Generator, case: Case) -> None:
    (latents,) = generator.encode_media([media(case)], {})
    assert tuple(latents.shape) == case.latents
    vae, output = generator.pipe.vae, generator.family.output
    x = output.prepare(generator.pipe, [media(case)], generator.form({}))
    with torch.no_grad():
        bare = vae.decode(vae.encode(x).latent_dist.mode(), return_dict=False)[0]
        made = autoencoder.decode(vae, latents[None], output.folded)
    assert made.shape == bare.shape == x.shape
    torch.testing.assert_close(made, bare, rtol=1e-3, atol=1e-3)


def test_packing_is_undone(generator: Generator, case: Case) -> None:
    latents = torch.randn(2, *case.latents)
    packed = generator.family.pack(generator.pipe, latents)
    assert torch.equal(generator.family.unpack(generator.pipe, packed, case.latents[1:]), latents)


# --- equation 5


def test_the_denoiser_is_told_what_the_pipeline_tells_it(generator: Generator, case: Case, name: str) -> None:
    """Places, sizes, guidance, seconds; only the noisy latents and the time are others."""
    guidance = 2.0 if name == "FluxPipeline" else 1.0  # without negative conditions
    with heard(generator.denoiser) as calls:
        stock(generator, case, CAPTIONS[0], guidance_scale=guidance)
        (latents,) = generator.encode_media([media(case)], {})
        generator.denoise(generator.encode_text(CAPTIONS[:1]), [latents], [3], settings={"guidance": guidance})
    wanted, made = calls[0], calls[-1]
    assert made.keys() == {k for k in wanted if not k.endswith("attention_kwargs")}
    assert made["latents"].shape == wanted["latents"].shape
    assert made["timestep"].shape == torch.atleast_1d(torch.as_tensor(wanted["timestep"])).shape
    others = {k: v for k, v in made.items() if k not in ("latents", "timestep")}
    torch.testing.assert_close(others, {k: wanted[k] for k in others}, rtol=1e-4, atol=1e-5, check_dtype=False)


def test_times_are_those_of_the_pipeline(generator: Generator, case: Case) -> None:
    """In scale; it begins with the noisiest."""
    with heard(generator.denoiser) as calls:
        stock(generator, case, CAPTIONS[0], num_inference_steps=8)
        told = torch.stack([torch.as_tensor(call["timestep"]).max() for call in calls])
        generator.denoise(generator.encode_text(CAPTIONS[:1]) * 40, [torch.randn(*case.latents)] * 40, list(range(40)))
    times, span = calls[-1]["timestep"], told.max() - told.min()
    assert told.min() - span / 2 <= times.min() <= told.min() + span / 2
    assert told.max() - span / 2 <= times.max() <= told.max() * 1.01


def test_the_gradient_reaches_the_condition_only(generator: Generator, case: Case) -> None:
    (empty,) = generator.encode_text([""])
    made = [{"prompt_embeds": torch.randn_like(empty["prompt_embeds"]).requires_grad_()} for _ in range(2)]
    latents = list(torch.randn(2, *case.latents))
    generator.denoise(made, latents, [1, 2]).backward()
    for condition in made:
        gradient = condition["prompt_embeds"].grad
        assert gradient is not None
        assert gradient.abs().sum() > 0
    modules = [m for m in generator.pipe.components.values() if isinstance(m, torch.nn.Module)]
    assert all(p.grad is None and not p.requires_grad for m in modules for p in m.parameters())


def test_a_batch_is_single_samples(generator: Generator, case: Case) -> None:
    conditions, latents = generator.encode_text(CAPTIONS), list(torch.randn(2, *case.latents))
    together = generator.denoise(conditions, latents, [8, 9])
    rows = zip(conditions, latents, (8, 9), strict=True)
    alone = torch.stack([generator.denoise([c], [z], [s]) for c, z, s in rows])
    torch.testing.assert_close(together, alone.mean(), rtol=1e-4, atol=1e-6)
    assert alone.unique().numel() == 2


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision(folder: Path, case: Case, dtype: torch.dtype) -> None:
    with quiet():
        generator = Generator.load(folder, {"steps": 1, "guidance": 2.0, **case.size}, "cpu", dtype)
    kept = {p.dtype for part in generator.family.precise for p in getattr(generator.pipe, part).parameters()}
    assert kept <= {torch.float32}
    (condition,) = ({k: v.float() if v.is_floating_point() else v for k, v in c.items()} for c in
                    generator.encode_text(CAPTIONS[:1]))  # fmt: skip
    (made,) = generator.generate([condition], {}, [0], lambda _, preview: preview and preview())
    (latents,) = generator.encode_media([media(case)], {})
    assert (made.shape, latents.dtype) == (case.made, torch.float32)
    words = condition["prompt_embeds"].requires_grad_()
    loss = generator.denoise([condition], [latents], [0])
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.isfinite()
    assert words.grad is not None
    assert words.grad.abs().sum() > 0


# --- what is refused


def test_sizes_that_it_cannot_make(generator: Generator, case: Case, name: str) -> None:
    if len(case.made) == 2:
        with pytest.raises(UserError, match=r"seconds 1: StableAudioPipeline makes sounds of up to 0\.04 seconds"):
            generator.form({"seconds": 1})
        return
    side = generator.family.output.grid(generator.pipe).side
    wanted = rf"width {5 * side + 1}: {name} makes sides that are multiples of {side}; take {5 * side} or {6 * side}"
    with pytest.raises(UserError, match=wanted):
        generator.generate([{}], {"width": 5 * side + 1}, [0], nobody)


@pytest.mark.parametrize("name", FILMS, indirect=True, scope="module")
def test_frames_are_rounded_down_to_whole_latents(generator: Generator) -> None:
    each = generator.family.output.grid(generator.pipe).frames
    asked = {1: 1, each: 1, each + 1: each + 1, 2 * each: each + 1}
    assert {frames: generator.form({"frames": frames}).frames for frames in asked} == asked


def test_an_unknown_library_is_named(tmp_path: Path) -> None:
    """The scheduler of Stable Audio Open wants torchsde, which nothing else does."""
    with quiet():
        folder = tiny.stable_audio(tmp_path / "audio")
    for file, key in (("model_index.json", "scheduler"), ("scheduler/scheduler_config.json", "_class_name")):
        kind: Any = "CosineDPMSolverMultistepScheduler"
        content = json.loads((folder / file).read_text())
        content[key] = ["diffusers", kind] if key == "scheduler" else kind
        (folder / file).write_text(json.dumps(content))
    with pytest.raises(BundleError, match=r"a library is missing that its StableAudioPipeline needs: .*torchsde"):
        load(folder)
