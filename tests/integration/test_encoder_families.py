"""Encoders of every family, as the hub has them: against transformers, and where projectors attach."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
import yaml

from orchestrator.models import encoder_facts, facts
from orchestrator.models.bundle import Bundle, EncoderSpec
from orchestrator.models.bundle.manifest import new_projector
from orchestrator.models.loading import load_part
from orchestrator.nodes.encode import Encode, EncodeConfig
from orchestrator.nodes.media import Media
from orchestrator.nodes.project import Project
from orchestrator.nodes.stage import Config
from orchestrator.testing import StageContext
from tests import tiny_encoders
from tests.tiny_encoders import KINDS, MEDIA, RATE, WIDTH, Made, close, load

LAYERED = [kind for kind in KINDS if not kind.startswith("clap")]


# --- every family


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_of_every_choice(kind: str, tiny_encoder: Made) -> None:
    row, folder = KINDS[kind], tiny_encoder(kind)
    assert encoder_facts.encoder_dim(folder) == WIDTH
    encoder = load(folder)
    for select, count in row.counts.items():
        encoder.spec = EncoderSpec(path="x", select=select)
        assert encoder_facts.unfit(folder, encoder.spec) == []
        first, _ = encoder(MEDIA[row.modality]())
        assert tuple(first.shape) == (count, WIDTH)


@pytest.mark.parametrize("kind", KINDS)
def test_against_transformers(kind: str, tiny_encoder: Made) -> None:
    """Media read by the checkpoint's own processor, the model called directly."""
    import transformers

    row, folder = KINDS[kind], tiny_encoder(kind)
    one = MEDIA[row.modality]()[0]
    processor = getattr(transformers, row.processor).from_pretrained(folder)
    if row.modality == "audio":
        read = processor(one.samples[:, 0], sampling_rate=RATE, return_tensors="pt")
        read.update({"is_longer": torch.zeros(1, 1, dtype=torch.bool)} if "is_longer" in read else {})  # else by chance
    else:
        shown = list(one.frames[[0, 2, 4, 6]]) if row.modality == "video" else one
        read = processor([shown], return_tensors="pt")
    with torch.no_grad():
        wanted = getattr(transformers, row.model).from_pretrained(folder).eval()(**read).last_hidden_state
    wanted = wanted.flatten(2).transpose(1, 2) if wanted.dim() == 4 else wanted
    (found,) = load(folder, select="all")([one])
    torch.testing.assert_close(found, wanted[0, : len(found)])


@pytest.mark.parametrize(("kind", "model"), [(kind, model) for kind, row in KINDS.items() for model in row.whole])
def test_out_of_the_checkpoint_of_a_larger_model(kind: str, model: str, tmp_path: Path) -> None:
    """Its weights, not new ones."""
    import transformers

    folder = tiny_encoders.whole(tmp_path / "whole", kind, model)
    assert encoder_facts.encoder_dim(folder) == WIDTH
    encoder = load(folder)
    held = getattr(getattr(transformers, model).from_pretrained(folder), KINDS[kind].inside).state_dict()
    for name, weight in encoder.model.state_dict().items():
        assert torch.equal(weight, held[name]), name


@pytest.mark.parametrize("kind", ["clip", "siglip", "siglip2"])
def test_a_tower_with_the_names_of_older_checkpoints(kind: str, tiny_encoder: Made, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_encoder(kind), tmp_path / "old"))
    weights = load_file(folder / "model.safetensors")
    save_file(
        {f"vision_model.{name}": w for name, w in weights.items()}, folder / "model.safetensors", {"format": "pt"}
    )
    close(load(folder)(MEDIA["image"]()), load(tiny_encoder(kind))(MEDIA["image"]()))


@pytest.mark.parametrize("kind", LAYERED)
def test_layers(kind: str, tiny_encoder: Made) -> None:
    """-2 is what the last layer reads, 0 what the first one does; the last is what the model gives."""
    row, folder = KINDS[kind], tiny_encoder(kind)
    media, seen = MEDIA[row.modality]()[:1], {}
    encoder = load(folder, select="all")
    layers = encoder.model.get_submodule(row.layers)
    for index in (0, 2):
        layers[index].register_forward_pre_hook(
            lambda _, args, kwargs, index=index: seen.update({index: args[0] if args else kwargs["hidden_states"]}),
            with_kwargs=True,
        )
    (last,) = encoder(media)
    found = {}
    for layer in (-2, 0, 3):
        encoder.spec = EncoderSpec(path="x", select="all", layer=layer)
        assert encoder_facts.unfit(folder, encoder.spec) == []
        (found[layer],) = encoder(media)
    torch.testing.assert_close(found[-2], seen[2][0, : len(last)])
    torch.testing.assert_close(found[0], seen[0][0, : len(last)])
    torch.testing.assert_close(found[3], last)


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_is_single_media(kind: str, tiny_encoder: Made) -> None:
    encoder, media = load(tiny_encoder(kind), select="all"), MEDIA[KINDS[kind].modality]()
    close(encoder(media), [encoder([one])[0] for one in media])


@pytest.mark.parametrize("kind", KINDS)
def test_where_projectors_attach(kind: str, tiny_encoder: Made, tiny_llm: Path, tmp_path: Path) -> None:
    """A bundle file names it; encode and project run on it."""
    modality, choice = KINDS[kind].modality, {"path": "encoder", "select": "patches"}
    shutil.copytree(tiny_encoder(kind), tmp_path / "encoder")
    shutil.copytree(tiny_llm, tmp_path / "llm")
    spec = {"name": "mine", "llm": {"path": "llm", "chat": "pocket"}, "encoders": {modality: choice}}
    (tmp_path / "bundle.yaml").write_text(yaml.safe_dump(spec))
    bundle = Bundle.open(tmp_path)
    assert encoder_facts.encoder_problems(bundle, f"encoders.{modality}") == []
    projector = new_projector(bundle, f"input_projectors.{modality}", "linear", num_tokens=2)
    parts = {
        f"encoders.{modality}": load_part(bundle, f"encoders.{modality}", "cpu", torch.float32),
        f"input_projectors.{modality}": projector,
    }
    context = StageContext(bundle, parts)
    requests = [{"media": Media.load(one)} for one in MEDIA[modality]()]
    for seen in Encode(EncodeConfig(frames=3)).run(requests, context):
        (prompts,) = Project(Config()).run([seen], context)
        assert tuple(prompts["prompts"].tokens.shape) == (2 * len(seen["features"].tokens), facts.llm_dim(tiny_llm))
