"""Tiny checkpoints of the real classes, built in seconds: random weights, hub layout on disk, real loading code.

Every folder is what `save_pretrained` writes; `bundle` puts them together to one that reads pictures, videos and text
and makes pictures and videos, `any_to_any` to one that reads and makes sounds as well.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from orchestrator.models.bundle import BUNDLE_FILE, Bundle
from tests import tiny_audio

WORDS = "a the dog cat red on grass in snow moves left right describe picture then film this here is video of"
SIGNALS = {"image": 4, "video": 24}  # NExT-GPT's budget of signal tokens
ALL_SIGNALS = {"image": 4, "audio": 8, "video": 24}  # of the any-to-any bundle
TOKEN = {"image": "[IMG{}]", "audio": "[AUD{}]", "video": "[VID{}]"}
WIDTH = 32  # hidden size of every part
LENGTH = 16  # positions of a generator's condition
SIDE = 32  # pictures are SIDE x SIDE


def seeded() -> None:
    """The same weights in every session."""
    import torch

    torch.manual_seed(0)


def image_encoder(folder: Path) -> Path:
    """A CLIPVisionModel (patch tokens and cls) and its image processor."""
    from transformers import CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModel

    seeded()
    config = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        image_size=SIDE,
        patch_size=8,
        projection_dim=16,
    )
    CLIPVisionModel(config).save_pretrained(folder)
    size = {"height": SIDE, "width": SIDE}
    CLIPImageProcessorPil(size=size, crop_size=size).save_pretrained(folder)
    return folder


def convnet_encoder(folder: Path) -> Path:
    """A ResNetModel (a feature map, [b, d, h, w]) and its image processor."""
    from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetModel

    seeded()
    config = ResNetConfig(embedding_size=16, hidden_sizes=[16, WIDTH], depths=[1, 1], layer_type="basic")
    ResNetModel(config).save_pretrained(folder)
    ConvNextImageProcessorPil(size={"shortest_edge": SIDE}, crop_pct=1.0).save_pretrained(folder)
    return folder


def tokenizer(signals: dict[str, int] = SIGNALS) -> Any:
    """A byte-level BPE tokenizer with chat marks and the signal tokens of each modality."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    bpe = Tokenizer(models.BPE(unk_token=None))
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=["<pad>", "<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([WORDS] * 4, trainer)
    wrapped = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokens = [TOKEN[modality].format(i) for modality, count in signals.items() for i in range(count)]
    wrapped.add_special_tokens({"additional_special_tokens": ["<|user|>", "<|assistant|>", *tokens]})
    return wrapped


def llm(folder: Path, signals: dict[str, int] = SIGNALS) -> Path:
    """A LlamaForCausalLM of two layers and its tokenizer."""
    from transformers import LlamaConfig, LlamaForCausalLM

    words = tokenizer(signals)
    seeded()
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    words.save_pretrained(folder)
    return folder


def text_encoder() -> tuple[Any, Any]:
    """A CLIPTextModel and its tokenizer, one token a word.

    End of text has the highest id: with `eos_token_id=2` CLIP pools the legacy way, at the wrong token.
    """
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = dict.fromkeys([*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"])
    vocab = {piece: i for i, piece in enumerate(pieces)}
    words = CLIPTokenizer(vocab=vocab, merges=[], model_max_length=LENGTH)
    seeded()
    config = CLIPTextConfig(
        vocab_size=len(vocab),
        hidden_size=WIDTH,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        projection_dim=16,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return CLIPTextModel(config), words


def autoencoder() -> Any:
    """An AutoencoderKL that halves each side."""
    from diffusers import AutoencoderKL

    seeded()
    blocks = (32, 64)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=blocks,
        latent_channels=4,
        sample_size=SIDE,
    )


def deterministic_autoencoder(generator: Path) -> None:
    """Give a generator's folder an AutoencoderDC of the same shapes."""
    import json

    from diffusers import AutoencoderDC

    seeded()
    sizes = {"block_out_channels": (16, 16), "layers_per_block": (1, 1), "block_types": "ResBlock"}
    sides = {f"{side}_{name}": value for side in ("encoder", "decoder") for name, value in sizes.items()}
    qkv = {f"{side}_qkv_multiscales": ((), ()) for side in ("encoder", "decoder")}
    AutoencoderDC(latent_channels=4, **sides, **qkv).save_pretrained(generator / "vae")
    config = generator / "vae/config.json"  # pipelines count its blocks to know how far it halves
    config.write_text(json.dumps(json.loads(config.read_text()) | {"block_out_channels": [16, 16]}))
    index = generator / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"vae": ["diffusers", "AutoencoderDC"]}))


def scheduler() -> Any:
    """The scheduler of the generators: v-prediction with zero-terminal SNR."""
    from diffusers import DDIMScheduler

    return DDIMScheduler(
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        clip_sample=False,
        steps_offset=1,
    )


def image_generator(folder: Path) -> Path:
    """A StableDiffusionPipeline."""
    from diffusers import StableDiffusionPipeline, UNet2DConditionModel

    encoder, words = text_encoder()
    unet = UNet2DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=8,
        cross_attention_dim=WIDTH,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
    )
    parts = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    StableDiffusionPipeline(
        vae=autoencoder(), text_encoder=encoder, tokenizer=words, unet=unet, scheduler=scheduler(), **parts
    ).save_pretrained(folder)
    return folder


def video_generator(folder: Path) -> Path:
    """A TextToVideoSDPipeline."""
    from diffusers import TextToVideoSDPipeline, UNet3DConditionModel

    encoder, words = text_encoder()
    unet = UNet3DConditionModel(
        sample_size=SIDE // 2,
        block_out_channels=(32, 64),
        layers_per_block=1,
        norm_num_groups=8,
        attention_head_dim=8,
        cross_attention_dim=WIDTH,
        down_block_types=("DownBlock3D", "CrossAttnDownBlock3D"),
        up_block_types=("CrossAttnUpBlock3D", "UpBlock3D"),
    )
    TextToVideoSDPipeline(
        vae=autoencoder(), text_encoder=encoder, tokenizer=words, unet=unet, scheduler=scheduler()
    ).save_pretrained(folder)
    return folder


SETTINGS = {"steps": 2, "guidance": 2.0, "width": SIDE, "height": SIDE}


def _signals(counts: dict[str, int]) -> dict[str, Any]:
    return {modality: {"count": count, "token": TOKEN[modality]} for modality, count in counts.items()}


def _both(group: str, parts: dict[str, Any]) -> dict[str, Any]:
    return {**SPEC[group], **parts}


SPEC: dict[str, Any] = {
    "name": "tiny",
    "doc": "Random weights in real classes, for tests.",
    "llm": {"path": "llm", "chat": "pocket"},
    "encoders": {"image": {"path": "encoders/image"}, "video": {"path": "encoders/image"}},
    "input_projectors": {"image": {"path": "projectors/in"}, "video": {"path": "projectors/in"}},
    "output_projectors": {"image": {"path": "projectors/image"}, "video": {"path": "projectors/video"}},
    "generators": {
        "image": {"path": "generators/image", "settings": SETTINGS},
        "video": {"path": "generators/video", "settings": {**SETTINGS, "frames": 4, "fps": 8}},
    },
    "signals": _signals(SIGNALS),
}
HEARD = {"steps": 2, "guidance": 2.0, "seconds": tiny_audio.SECONDS}
ANY_SPEC: dict[str, Any] = SPEC | {
    "name": "tiny-any",
    "encoders": _both("encoders", {"audio": {"path": "encoders/audio"}}),
    "input_projectors": _both("input_projectors", {"audio": {"path": "projectors/hear"}}),
    "output_projectors": _both("output_projectors", {"audio": {"path": "projectors/audio"}}),
    "generators": _both("generators", {"audio": {"path": "generators/audio", "settings": HEARD}}),
    "signals": _signals(ALL_SIGNALS),
}
SMALL = {"hidden_dim": 16, "layers": 1, "ffn_dim": 32}
PROJECTORS: dict[str, tuple[str, dict[str, Any]]] = {
    "input_projectors.image": ("linear", {"num_tokens": 4}),
    "output_projectors.image": ("transformer", SMALL),
    "output_projectors.video": ("transformer", SMALL),
}
ANY_PROJECTORS = PROJECTORS | {
    "input_projectors.audio": ("linear", {"num_tokens": 4}),
    "output_projectors.audio": ("transformer", SMALL),
}


def bundle(folder: Path) -> Path:
    """A whole bundle folder: all parts, projectors with manifests, `bundle.yaml`."""
    return _bundle(folder, SPEC, PROJECTORS, SIGNALS)


def any_to_any(folder: Path, audio_generator: Callable[[Path], Path] = tiny_audio.audioldm) -> Path:
    """`bundle` with ears and a voice: text, image, audio and video, in and out."""
    tiny_audio.whisper_encoder(folder / "encoders/audio")
    audio_generator(folder / "generators/audio")
    return _bundle(folder, ANY_SPEC, ANY_PROJECTORS, ALL_SIGNALS)


def _bundle(
    folder: Path, spec: dict[str, Any], projectors: dict[str, tuple[str, dict[str, Any]]], signals: dict[str, int]
) -> Path:
    from orchestrator.models.bundle.manifest import new_projector, save_projector

    image_encoder(folder / "encoders/image")
    llm(folder / "llm", signals)
    image_generator(folder / "generators/image")
    video_generator(folder / "generators/video")
    (folder / BUNDLE_FILE).write_text(yaml.safe_dump(spec, sort_keys=False))
    made = Bundle.open(folder)
    seeded()
    for part, (kind, config) in projectors.items():
        module: Any = new_projector(made, part, kind, "tests/tiny.py", **config)
        save_projector(module, module.manifest, folder / made.part(part).path)
    return folder
