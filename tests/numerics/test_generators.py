"""The generators against the stock pipelines of diffusers, for pictures, films and sounds alike."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import diffusers
import numpy as np
import pytest
import torch
from torch import Tensor

from orchestrator.errors import BundleError, Cancelled
from orchestrator.models.generators import Generator, Preview
from orchestrator.models.generators.outputs import FILM, PICTURE, SOUND
from orchestrator.testing import StageContext
from tests import tiny, tiny_audio

CAPTIONS = ["a dog", "a red cat on grass"]
SHAPES = {  # of a condition's tensors
    "image": {"prompt_embeds": (1, tiny.LENGTH, tiny.WIDTH)},
    "video": {"prompt_embeds": (1, tiny.LENGTH, tiny.WIDTH)},
    "audio": {"prompt_embeds": (1, 1, tiny_audio.CLAP)},
    "audioldm2": {
        "prompt_embeds": (1, 7, tiny_audio.WIDTH),
        "attention_mask": (1, 7),
        "generated_prompt_embeds": (1, tiny_audio.GENERATED, tiny_audio.GPT2),
    },
}


@pytest.fixture(scope="module")
def audioldm2(tiny_audioldm2: Path) -> Generator:
    return Generator.load(tiny_audioldm2, tiny.HEARD, "cpu", torch.float32)


@pytest.fixture(params=SHAPES)
def generator(request: pytest.FixtureRequest, tiny_any_context: StageContext) -> Generator:
    if request.param == "audioldm2":
        made: Generator = request.getfixturevalue("audioldm2")
    else:
        made = tiny_any_context.load(f"generators.{request.param}")
    return made


def quiet(step: int, preview: Preview | None) -> None:
    """Nobody watches."""


def close(a: np.ndarray, b: np.ndarray) -> bool:
    slack = 1 if a.dtype == np.uint8 else 1e-5
    return a.shape == b.shape and bool(np.abs(a.astype(float) - b.astype(float)).max() <= slack)


def stock(generator: Generator) -> Any:
    """The pipeline of diffusers, of the same parts."""
    return getattr(diffusers, type(generator.pipe).__name__)(**generator.pipe.components)


def own(generator: Generator, caption: str) -> dict[str, Tensor]:
    """What the pipeline's own method makes of a caption."""
    pipe = stock(generator)
    if hasattr(pipe, "_encode_prompt") and generator.family.output is SOUND:
        return {"prompt_embeds": pipe._encode_prompt(caption, "cpu", 1, False)[:, None]}
    names = ("prompt_embeds", "attention_mask", "generated_prompt_embeds")
    made = pipe.encode_prompt(caption, "cpu", 1, False)
    return {name: tensor for name, tensor in zip(names, made, strict=False) if tensor is not None}


def test_encode_text_is_the_pipelines_own(generator: Generator, request: pytest.FixtureRequest) -> None:
    made = generator.encode_text(CAPTIONS)
    shapes = SHAPES[request.node.callspec.params["generator"]]
    assert {name: tuple(tensor.shape) for name, tensor in made[0].items()} == shapes
    for caption, condition in zip(CAPTIONS, made, strict=True):
        wanted = own(generator, caption)
        assert condition.keys() == wanted.keys()
        for name, tensor in condition.items():
            torch.testing.assert_close(tensor, wanted[name])


def test_an_empty_caption_is_a_condition_like_any(generator: Generator) -> None:
    empty, dog = generator.encode_text(["", CAPTIONS[0]])
    assert empty.keys() == dog.keys()
    assert all(torch.isfinite(tensor).all() for tensor in empty.values())
    both = generator.generate([empty, dog], {}, [1, 1], quiet)
    assert not np.array_equal(*both)


def test_same_as_the_stock_pipeline(generator: Generator) -> None:
    sizes: dict[Any, dict[str, Any]] = {
        PICTURE: {"width": tiny.SIDE, "height": tiny.SIDE},
        FILM: {"width": tiny.SIDE, "height": tiny.SIDE, "num_frames": 3},
        SOUND: {"audio_length_in_s": tiny_audio.SECONDS},
    }
    output, negative = generator.family.output, "moves right in the snow"
    wanted = stock(generator)(
        CAPTIONS[1], negative_prompt=negative, num_inference_steps=3, guidance_scale=3.0,
        generator=torch.Generator().manual_seed(7), output_type="np", **sizes[output],
    )  # fmt: skip
    settings = {"steps": 3, "guidance": 3.0, "negative": negative, "frames": 3}
    (made,) = generator.generate(generator.encode_text(CAPTIONS[1:]), settings, [7], quiet)
    assert made.dtype == (np.float32 if output is SOUND else np.uint8)
    assert close(made, output.read(wanted)[0])


def test_a_batch_is_single_calls(generator: Generator) -> None:
    conditions = generator.encode_text(CAPTIONS)
    together = generator.generate(conditions, {}, [3, 4], quiet)
    alone = [generator.generate([c], {}, [s], quiet)[0] for c, s in zip(conditions, (3, 4), strict=True)]
    assert all(map(close, together, alone))
    assert not np.array_equal(*together)


def test_seeds_and_settings(generator: Generator) -> None:
    condition = generator.encode_text(CAPTIONS[:1])

    def make(seed: int = 1, **settings: Any) -> np.ndarray:
        return generator.generate(condition, settings, [seed], quiet)[0]

    frames = generator.settings.get("frames", 1)
    sound = generator.family.output is SOUND
    assert make().shape == ((5120,) if sound else (frames, tiny.SIDE, tiny.SIDE, 3))
    assert np.array_equal(make(), make(width=None, seconds=None))
    assert not np.array_equal(make(), make(seed=2))
    assert make(width=16, height=24, seconds=0.155).shape == ((2480,) if sound else (frames, 24, 16, 3))


def test_steps_are_told_with_a_preview_of_what_can_be_seen(generator: Generator) -> None:
    told: list[tuple[int, Any]] = []
    condition = generator.encode_text(CAPTIONS[:1])
    generator.generate(condition, {"steps": 4}, [0], lambda step, p: told.append((step, p and p().shape)))
    shape = None if generator.family.output is SOUND else (tiny.SIDE, tiny.SIDE, 3)
    assert told == [(step, shape) for step in (1, 2, 3, 4)]


def test_raising_stops_between_steps(generator: Generator) -> None:
    seen: list[int] = []

    def stop(step: int, preview: Preview | None) -> None:
        seen.append(step)
        if step == 2:
            raise Cancelled("enough")

    condition = generator.encode_text(CAPTIONS[:1])
    before = generator.generate(condition, {}, [1], quiet)[0]
    with pytest.raises(Cancelled, match="enough"):
        generator.generate(condition, {"steps": 5}, [0], stop)
    assert seen == [1, 2]
    assert np.array_equal(generator.generate(condition, {}, [1], quiet)[0], before), "it works as before"


def test_what_a_condition_lacks_is_of_an_empty_caption(audioldm2: Generator) -> None:
    dog, empty = audioldm2.encode_text([CAPTIONS[0], ""])
    written = {"generated_prompt_embeds": dog["generated_prompt_embeds"]}  # as an output projector makes it
    conditions = [written, {**empty, **written}, dog]
    lacking, whole, other = audioldm2.generate(conditions, {}, [1, 1, 1], quiet)
    assert close(lacking, whole)
    assert not close(lacking, other)


def test_vectors_are_brought_to_length_one(tiny_any_context: StageContext) -> None:
    generator = tiny_any_context.load("generators.audio")
    (dog,) = generator.encode_text(CAPTIONS[:1])
    torch.testing.assert_close(dog["prompt_embeds"].norm(dim=-1), torch.ones(1, 1))
    made = generator.generate([dog, {"prompt_embeds": 3 * dog["prompt_embeds"]}], {}, [1, 1], quiet)
    assert close(*made)


def test_conditions_without_a_mask_are_of_one_length(tiny_any_context: StageContext) -> None:
    generator = tiny_any_context.load("generators.image")
    with pytest.raises(BundleError, match=r"prompt_embeds of 5 and of 16 positions do not go together"):
        generator.generate([{"prompt_embeds": torch.zeros(1, 5, tiny.WIDTH)}], {}, [0], quiet)


def test_gpt2_by_the_name_of_the_first_checkpoints(tiny_audioldm2: Path, audioldm2: Generator, tmp_path: Path) -> None:
    shutil.copytree(tiny_audioldm2, tmp_path / "old")
    file = tmp_path / "old/model_index.json"
    named = json.loads(file.read_text()) | {"language_model": ["transformers", "GPT2Model"]}
    file.write_text(json.dumps(named))
    old = Generator.load(tmp_path / "old", {}, "cpu", torch.float32)
    wanted = audioldm2.encode_text(CAPTIONS[:1])[0]["generated_prompt_embeds"]
    torch.testing.assert_close(old.encode_text(CAPTIONS[:1])[0]["generated_prompt_embeds"], wanted)


def test_a_deterministic_autoencoder(tiny_any_bundle: Path, tmp_path: Path) -> None:
    """AutoencoderDC gives no distribution, and takes no random generator to decode with."""
    folder = shutil.copytree(tiny_any_bundle / "generators/image", tmp_path / "image")
    tiny.deterministic_autoencoder(folder)
    generator = Generator.load(folder, tiny.SETTINGS, "cpu", torch.float32)
    shapes = []
    (made,) = generator.generate(
        generator.encode_text(CAPTIONS[:1]), {}, [0], lambda _, preview: shapes.append(preview and preview().shape)
    )
    assert made.shape == (1, tiny.SIDE, tiny.SIDE, 3)
    assert shapes == [(tiny.SIDE, tiny.SIDE, 3)] * 2
    (latents,) = generator.encode_media([made], {})
    assert latents.shape == (4, tiny.SIDE // 2, tiny.SIDE // 2)
