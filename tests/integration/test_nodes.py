"""The stages over the tiny bundle: their contract, their shapes, and where the gradients of their objectives go."""

from __future__ import annotations

import copy
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from orchestrator.errors import InputError, ModelError
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.signals import Span
from orchestrator.nodes.decode import Decode
from orchestrator.nodes.encode import Encode, EncodeConfig
from orchestrator.nodes.generate import Generate, GenerateConfig
from orchestrator.nodes.media import Media, Video
from orchestrator.nodes.output_project import OutputProject, OutputProjectConfig
from orchestrator.nodes.ports import Condition, Features, Prompts, Reply, Signals
from orchestrator.nodes.project import Project
from orchestrator.nodes.reason import Reason, ReasonConfig
from orchestrator.nodes.stage import Config, Inputs, Stage
from orchestrator.projectors.resampler import ResamplerProjector
from orchestrator.testing import StageContext, check_stage
from tests import tiny
from tests.gradients import frozen, reached, trainable

NOISE = np.random.default_rng(0)


def picture(seed: int = 0) -> Media:
    return Media.load(np.random.default_rng(seed).integers(0, 256, (40, 48, 3), np.uint8))


def film(frames: int = 7) -> Media:
    return Media.load(Video(NOISE.integers(0, 256, (frames, 32, 32, 3), np.uint8)))


def said(text: str) -> Media:
    return Media.load(text, "text")


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def signal(modality: str = "video", caption: str = "a dog") -> Call:
    count = tiny.SIGNALS[modality]
    return Call(modality, caption, 0, randn(count, tiny.WIDTH), randn(count, tiny.WIDTH) + len(caption))


def signals(*captions: str, modality: str = "video") -> Signals:
    return Signals(modality, tuple(signal(modality, caption) for caption in captions))


def condition(*captions: str, modality: str = "image") -> Condition:
    items = tuple({"prompt_embeds": randn(1, tiny.LENGTH, tiny.WIDTH) + len(c)} for c in captions)
    return Condition(modality, items, captions)


SOFT = Prompts("image", randn(4, tiny.WIDTH))
REPLY = Reply("a dog", torch.arange(30), (Span("video", 2, 26, 5, "a dog"),), randn(30, 32), randn(30, 32))
EXAMPLES: dict[str, tuple[Stage, list[Inputs]]] = {
    "encode image": (Encode(EncodeConfig()), [{"media": picture(0)}, {"media": picture(1)}]),
    "encode video": (Encode(EncodeConfig(frames=3)), [{"media": film(7)}, {"media": film(2)}]),
    "project": (
        Project(Config()),
        [{"features": Features("image", randn(2, 32))}, {"features": Features("image", randn(6, 32), frames=3)}],
    ),
    "reason": (
        Reason(ReasonConfig(max_new_tokens=30, require=("video",), template="Film this: {prompt}")),
        [{"prompt": said("a dog")}, {"prompt": said("a red cat on grass"), "media": (SOFT,)}],
    ),
    "decode": (Decode(Config()), [{"reply": REPLY}, {"reply": Reply("hello")}]),
    "output_project by signal": (
        OutputProject(OutputProjectConfig()),
        [{"signal": signals("a dog")}, {"signal": signals("a cat", "snow")}],
    ),
    "output_project by caption": (
        OutputProject(OutputProjectConfig(bridge="caption")),
        [{"signal": signals("a dog")}, {"signal": signals("a cat", "snow")}],
    ),
    "generate": (
        Generate(GenerateConfig()),
        [{"condition": condition("a dog")}, {"condition": condition("a cat", "snow")}],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_contract(name: str, tiny_context: StageContext) -> None:
    stage, requests = EXAMPLES[name]
    check_stage(stage, requests, tiny_context)


def run(stage: Stage, context: StageContext, **request: Any) -> Any:
    """The only output of one request."""
    ((value,),) = ([*outputs.values()] for outputs in stage.run([request], context))
    return value


# --- encode, project


def test_a_picture_is_one_pooled_token(tiny_context: StageContext) -> None:
    features = run(Encode(EncodeConfig()), tiny_context, media=picture())
    assert (features.modality, features.frames, tuple(features.tokens.shape)) == ("image", 1, (1, tiny.WIDTH))


@pytest.mark.parametrize(("select", "tokens"), [("patches", 16), ("all", 17)])
def test_patch_tokens(select: Any, tokens: int, tiny_context: StageContext) -> None:
    encoder = copy.copy(tiny_context.load("encoders.image"))
    encoder.spec = encoder.spec.model_copy(update={"select": select, "layer": -2})
    context = replace(tiny_context, models={"encoders.image": encoder})
    assert tuple(run(Encode(EncodeConfig()), context, media=picture()).tokens.shape) == (tokens, tiny.WIDTH)


def test_a_video_is_its_frames(tiny_context: StageContext) -> None:
    video = film(9)
    features = run(Encode(EncodeConfig(frames=5)), tiny_context, media=video)
    assert (features.modality, features.frames, tuple(features.tokens.shape)) == ("video", 5, (5, tiny.WIDTH))
    for tokens, frame in zip(features.tokens, video.video.frames[[0, 2, 4, 6, 8]], strict=True):
        alone = run(Encode(EncodeConfig()), tiny_context, media=Media.load(frame))
        torch.testing.assert_close(tokens, alone.tokens[0], rtol=1e-4, atol=1e-5)


def test_frames_are_projected_one_by_one(tiny_context: StageContext) -> None:
    features = Features("video", randn(5, tiny.WIDTH), frames=5)
    prompts = run(Project(Config()), tiny_context, features=features)
    assert (prompts.modality, prompts.frames, tuple(prompts.tokens.shape)) == ("video", 5, (20, tiny.WIDTH))
    one = run(Project(Config()), tiny_context, features=Features("image", features.tokens[3:4]))
    torch.testing.assert_close(prompts.tokens[12:16], one.tokens)


def test_frames_are_projected_together_by_a_projector_that_reads_them_so() -> None:
    projector = ResamplerProjector(tiny.WIDTH, 6, num_tokens=3, layers=1, heads=2, head_dim=4, frames=5).eval()
    features = [Features("video", randn(10, tiny.WIDTH), frames=5) for _ in range(2)]
    context = SimpleNamespace(load=lambda part: projector)
    with torch.no_grad():
        made = [out["prompts"] for out in Project(Config()).run([{"features": f} for f in features], context)]
        alone = projector(features[1].tokens.unflatten(0, (5, 2)))
    assert [(p.frames, tuple(p.tokens.shape)) for p in made] == [(1, (3, 6))] * 2
    torch.testing.assert_close(made[1].tokens, alone)


# --- reason


def reason(**config: Any) -> Reason:
    return Reason(ReasonConfig(**config))


def test_reply_with_a_signal_has_states_and_embeddings(tiny_context: StageContext) -> None:
    reply = run(reason(require=("video",), max_new_tokens=30), tiny_context, prompt=said("a dog"))
    (span,) = reply.spans
    llm = tiny_context.load("llm")
    assert reply.ids[span.start : span.stop].tolist() == list(llm.signals.ids["video"])
    assert reply.states.shape == reply.embeds.shape == (len(reply.ids), tiny.WIDTH)
    assert torch.equal(reply.embeds, llm.embed(reply.ids))


def test_reply_without_a_signal_has_none(tiny_context: StageContext) -> None:
    reply = run(reason(max_new_tokens=5), tiny_context, prompt=said("a dog"))
    assert (reply.spans, reply.states, reply.embeds) == ((), None, None)
    texts = [progress.text for _, progress in tiny_context.progress]
    assert [p.done for _, p in tiny_context.progress] == list(range(1, len(texts) + 1))
    assert (tiny_context.progress[0][1].unit, tiny_context.progress[0][1].total) == ("tokens", 5)
    assert texts[-1] == reply.text


def test_frames_of_a_video_are_so_many_pictures(tiny_context: StageContext) -> None:
    """Each in its own wrapping."""
    llm = copy.copy(tiny_context.load("llm"))
    llm.chat = copy.copy(llm.chat)
    llm.chat.media = {"video": "<|user|>{}"}
    video = Prompts("video", randn(6, tiny.WIDTH), frames=3)
    found, _ = reason().prompt({"media": (video,), "prompt": said("a")}, llm)
    user = llm.embed(torch.tensor(llm.chat.ids("<|user|>", special=True)))
    pieces = [piece for frame in video.tokens.chunk(3) for piece in (user, frame)]
    assert torch.equal(found[2:11], torch.cat(pieces))


@pytest.mark.parametrize("text", ["", "  \n\t "])
@pytest.mark.parametrize("template", ["{prompt}", "Film this: {prompt}"])
def test_an_empty_prompt(text: str, template: str, tiny_context: StageContext) -> None:
    with pytest.raises(InputError, match=r"the prompt is empty: write what you want, e\.g\."):
        run(reason(template=template), tiny_context, prompt=said(text))


def test_media_alone_are_enough(tiny_context: StageContext) -> None:
    assert isinstance(run(reason(max_new_tokens=2), tiny_context, prompt=said(""), media=(SOFT,)), Reply)
    assert isinstance(run(reason(max_new_tokens=2), tiny_context, media=(SOFT,)), Reply)


# --- output_project, generate


def test_both_bridges_end_in_the_same_port(tiny_context: StageContext) -> None:
    made = {
        bridge: run(OutputProject(OutputProjectConfig(bridge=bridge)), tiny_context, signal=signals("a dog", "a cat"))
        for bridge in ("signal", "caption")
    }
    shapes = {b: [{k: (t.shape, t.dtype) for k, t in item.items()} for item in c.items] for b, c in made.items()}
    assert shapes["signal"] == shapes["caption"]
    for bridge, found in made.items():
        assert (found.modality, found.captions, found.bridge) == ("video", ("a dog", "a cat"), bridge)


def test_the_caption_bridge_is_the_generators_text_encoder(tiny_context: StageContext) -> None:
    found = run(OutputProject(OutputProjectConfig(bridge="caption")), tiny_context, signal=signals("a dog"))
    (wanted,) = tiny_context.load("generators.video").encode_text(["a dog"])
    assert torch.equal(found.items[0]["prompt_embeds"], wanted["prompt_embeds"])


def test_the_signal_bridge_reads_states_and_embeddings(tiny_context: StageContext) -> None:
    one = signal()
    found = run(OutputProject(OutputProjectConfig()), tiny_context, signal=Signals("video", (one,)))
    projector = tiny_context.load("output_projectors.video")
    torch.testing.assert_close(found.items[0]["prompt_embeds"], projector((one.states + one.embeds).unsqueeze(0)))


def test_a_text_only_llm_has_the_caption_bridge_only(tiny_context: StageContext) -> None:
    bare = Signals("video", (Call("video", "a dog"),))
    with pytest.raises(ModelError, match=r"the video signal has no hidden states .* use `bridge: caption`"):
        run(OutputProject(OutputProjectConfig()), tiny_context, signal=bare)
    assert run(OutputProject(OutputProjectConfig(bridge="caption")), tiny_context, signal=bare).captions == ("a dog",)


@pytest.mark.parametrize("modality", ["image", "video"])
def test_several_signals_make_several_media(modality: str, tiny_context: StageContext) -> None:
    made = run(Generate(GenerateConfig(seed=3)), tiny_context, condition=condition("a", "bb", modality=modality))
    assert [media.modality for media in made] == [modality] * 2
    assert made[0] != made[1]
    one = run(Generate(GenerateConfig(seed=3)), tiny_context, condition=condition("a", modality=modality))
    assert isinstance(one, Media)
    pixels = [np.array(m.image) if modality == "image" else m.video.frames for m in (one, made[0])]
    assert np.abs(pixels[0].astype(int) - pixels[1]).max() <= 1, "the first of several has the seed itself"


def test_settings_of_the_node_go_before_those_of_the_bundle(tiny_context: StageContext) -> None:
    config = GenerateConfig(steps=3, frames=2, width=16, height=16, fps=4)
    made = run(Generate(config), tiny_context, condition=condition("a", modality="video"))
    assert (made.video.frames.shape, made.video.fps) == ((2, 16, 16, 3), 4)
    assert [(p.done, p.total, p.unit) for _, p in tiny_context.progress] == [(i, 3, "steps") for i in (1, 2, 3)]
    assert all(p.preview for _, p in tiny_context.progress)


def test_previews_are_made_for_somebody(tiny_context: StageContext) -> None:
    context = replace(tiny_context, watched=False, progress=[])
    run(Generate(GenerateConfig(steps=2)), context, condition=condition("a"))
    assert [(p.done, p.preview) for _, p in context.progress] == [(1, ()), (2, ())]


# --- objectives


def test_equation_2_trains_the_input_projector_only(tiny_context: StageContext) -> None:
    context = trainable(tiny_context, "input_projectors.image")
    media = [{"media": picture(i)} for i in range(2)]
    prompts = Project(Config()).run(Encode(EncodeConfig()).run(media, context), context)
    batch = [{"dialogue": [("user", [p["prompts"], "describe"]), ("assistant", ["a dog"])]} for p in prompts]
    loss = reason().learn(batch, context, {"txt_gen": {}}).losses["txt_gen"]
    loss.backward()
    assert loss.shape == ()
    assert reached(context.models["input_projectors.image"])
    assert frozen(context, ["llm", "encoders.image"])
