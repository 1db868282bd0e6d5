"""What encoders do with media of any size and length, and what a bundle can't ask of them."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from orchestrator.errors import BundleError
from orchestrator.models import encoder_facts, facts
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.models.encoders import FAMILIES
from orchestrator.nodes.encode import Encode, EncodeConfig
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.testing import StageContext, check_stage
from tests import tiny_audio, tiny_encoders
from tests.tiny_encoders import MEDIA, RATE, Made, close, load, pixels, sound

# --- what does not fit


def test_both_tables_have_the_same_families() -> None:
    assert encoder_facts.ENCODERS.keys() == FAMILIES.keys()


@pytest.mark.parametrize("kind", encoder_facts.ENCODERS)
def test_what_a_config_leaves_out_is_transformers_default(kind: str, tmp_path: Path) -> None:
    """The hub's configs name only what differs from the class."""
    from transformers import CONFIG_MAPPING

    row, config = encoder_facts.ENCODERS[kind], CONFIG_MAPPING[kind]()
    inner = getattr(config, row.within[0]) if row.within else config
    (tmp_path / "config.json").write_text(f'{{"model_type": "{kind}"}}')
    if row.widest is None:
        with pytest.raises(BundleError, match="names no d_model"):
            encoder_facts.encoder_dim(tmp_path)
    else:
        width = getattr(inner, row.width[0])
        assert encoder_facts.encoder_dim(tmp_path) == (width[-1] if isinstance(width, list) else width)
        assert not row.layers or encoder_facts.encoder_depth(tmp_path) == inner.num_hidden_layers


@pytest.mark.parametrize(
    ("kind", "spec", "told"),
    [
        ("siglip", {"select": "cls"}, r"this 'siglip_vision_model' encoder has none; it offers: pooled, patches, all"),
        ("hubert", {"select": "cls"}, r"select: cls: this 'hubert' encoder has none"),
        ("clip", {"select": "patches", "layer": -5}, r"layer: -5: this encoder has 3 layers; choose one of -4 to 3"),
        ("clip", {"layer": -2}, r"pooled is made of the last layer; .* or select: patches, all, cls"),
        ("clap", {"select": "all", "layer": -2}, r"layers of a 'clap_audio_model' encoder differ in width"),
    ],
)
def test_what_a_family_does_not_offer(kind: str, spec: dict[str, Any], told: str, tiny_encoder: Made) -> None:
    with pytest.raises(BundleError, match=told):
        load(tiny_encoder(kind), **spec)


def test_a_tower_without_a_head(tmp_path: Path) -> None:
    from transformers import SiglipImageProcessorPil, SiglipVisionConfig, SiglipVisionModel

    SiglipVisionModel(SiglipVisionConfig(**tiny_encoders.PATCHES, vision_use_head=False)).save_pretrained(tmp_path)
    SiglipImageProcessorPil(size=tiny_encoders.SIZE).save_pretrained(tmp_path)
    with pytest.raises(BundleError, match=r"select: pooled: .* it offers: patches, all"):
        load(tmp_path)
    assert [len(tokens) for tokens in load(tmp_path, select="patches")(MEDIA["image"]())] == [4, 4]


def test_an_encoder_of_another_modality(tiny_bundle: Path, tiny_encoder: Made, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_bundle, tmp_path / "b"))
    shutil.copytree(tiny_encoder("hubert"), folder / "encoders/image", dirs_exist_ok=True)
    told = r"encoders.image: an encoder of type 'hubert' reads audio, not image"
    assert any(told in problem for problem in verify(Bundle.open(folder)))


def test_without_a_processor(tiny_encoder: Made, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_encoder("vit"), tmp_path / "e"))
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(BundleError, match=r"has no processor that can be read \(preprocessor_config.json\)"):
        load(folder)


# --- pictures of their own size


def test_naflex_leaves_padding_out(tiny_encoder: Made) -> None:
    """Two by two patches of six places; pooled attends to those."""
    square, wide = load(tiny_encoder("siglip2"), select="patches")([pixels(16, 16), pixels(16, 24)])
    assert (len(square), len(wide)) == (4, 6)


# --- films


def test_a_film_is_read_as_one(tiny_encoder: Made, tiny_bundle: Path) -> None:
    """Whatever a flow says of frames: the checkpoint has its own number."""
    film = Video(pixels(9, 16, 16))
    encoder = load(tiny_encoder("videomae"), select="all")
    context = StageContext(Bundle.open(tiny_bundle), {"encoders.video": encoder})
    (found,) = Encode(EncodeConfig(frames=3)).run([{"media": Media.load(film)}], context)
    assert (found["features"].frames, len(found["features"].tokens)) == (1, 8)
    close([found["features"].tokens], encoder([Video(film.sample(4))]))


# --- sounds


@pytest.fixture(scope="module", params=["whisper_encoder", "ast_encoder"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made: Path = getattr(tiny_audio, request.param)(tmp_path_factory.mktemp("encoders") / request.param)
    return made


def test_width_and_tokens(folder: Path) -> None:
    assert encoder_facts.encoder_dim(folder) == tiny_audio.WIDTH
    tokens = {select: load(folder, select=select)([sound(), sound(seed=1)]) for select in ("pooled", "patches", "all")}
    counts = {"whisper": (1, 50, 50), "audio-spectrogram-transformer": (1, 12, 14)}[facts.model_type(folder)]
    assert [[tuple(t.shape) for t in both] for both in tokens.values()] == [[(n, tiny_audio.WIDTH)] * 2 for n in counts]


def test_the_features_of_transformers(folder: Path) -> None:
    from transformers import ASTModel, AutoFeatureExtractor, WhisperModel

    one = sound()
    extractor = AutoFeatureExtractor.from_pretrained(folder)
    features = extractor(one.samples[:, 0], sampling_rate=RATE, return_tensors="pt")
    with torch.no_grad():
        if facts.model_type(folder) == "whisper":
            model = WhisperModel.from_pretrained(folder)
            wanted = model.encoder(features["input_features"]).last_hidden_state
        else:
            wanted = ASTModel.from_pretrained(folder)(features["input_values"]).last_hidden_state
    close(load(folder, select="all")([one]), list(wanted))


def test_a_batch_is_single_sounds(folder: Path) -> None:
    """Of different lengths; a longer one than the window is cut."""
    encoder, sounds = load(folder), [sound(0.2), sound(0.7), sound(1.5)]
    close(encoder(sounds), [encoder([one])[0] for one in sounds])


def test_any_rate_and_channels(folder: Path) -> None:
    encoder, one = load(folder), sound(0.4, 48000, 2)
    close(encoder([one]), encoder([one.mono().resample(RATE)]))


def test_padding_is_not_pooled(tmp_path: Path) -> None:
    encoder = load(tiny_audio.whisper_encoder(tmp_path / "w"))
    tokens = load(tmp_path / "w", select="all")([sound(0.4)])  # 0.4 s of a window of 1 s, 50 tokens
    close(encoder([sound(0.4)]), [tokens[0][:20].mean(0, keepdim=True)])


def test_whisper_of_any_checkpoint(tmp_path: Path) -> None:
    """A whole model, one for transcription, or the encoder alone."""
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration, WhisperModel

    whole = tiny_audio.whisper_encoder(tmp_path / "whole")
    model = WhisperModel.from_pretrained(whole)
    writing = WhisperForConditionalGeneration(model.config)
    writing.model.load_state_dict(model.state_dict())
    for name, kept in {"writing": writing, "alone": model.encoder}.items():
        kept.save_pretrained(tmp_path / name)
        WhisperFeatureExtractor.from_pretrained(whole).save_pretrained(tmp_path / name)
    made = [load(tmp_path / name)([sound()])[0] for name in ("whole", "writing", "alone")]
    assert torch.equal(made[0], made[1])
    assert torch.equal(made[0], made[2])


def test_the_stage_hears(tiny_any_context: StageContext) -> None:
    requests = [{"media": Media.load(sound(0.3, 8000, seed=i))} for i in range(2)]
    check_stage(Encode(EncodeConfig()), requests, tiny_any_context)
    (features, _) = Encode(EncodeConfig()).run(requests, tiny_any_context)
    assert (features["features"].modality, features["features"].frames) == ("audio", 1)


def test_speech_is_read_in_its_own_length(tiny_encoder: Made) -> None:
    """Not padded to the longest of a batch; only what gives no token gets silence."""
    tokens = load(tiny_encoder("hubert"), select="all")([sound(0.001), sound(0.1), sound(0.2)])
    assert [len(one) for one in tokens] == [1, 20, 40]


@pytest.mark.parametrize("kind", ["clap", "clap_fused"])
def test_of_a_long_sound_clap_hears_the_beginning(kind: str, tiny_encoder: Made) -> None:
    """Its extractor would choose parts at random."""
    encoder, long = load(tiny_encoder(kind)), sound(2.5)
    start = Audio(long.samples[:RATE], RATE)
    close(encoder([long, sound(0.2)]), encoder([start, sound(0.2)]))
