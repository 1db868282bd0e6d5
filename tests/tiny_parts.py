"""Parts of tiny generators: text encoders with their tokenizers, an autoencoder of pictures (see tests/tiny.py)."""

from __future__ import annotations

from typing import Any

WIDTH = 16  # of the states of T5 and CLIP
T5_LENGTH = 12  # of the tokenizer, and CogVideoX's and StableAudio's condition
CLIP_LENGTH = 16
RATE, SOUND = 1600, 64  # samples a second, samples
ALPHABET = "abcdefghijklmnopqrstuvwxyz"


def seeded() -> None:
    """The same weights in every session."""
    import torch

    torch.manual_seed(0)


def clip(projected: bool = False) -> tuple[Any, Any]:
    """A CLIPTextModel, `projected` with its projection, and its tokenizer."""
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

    pieces = dict.fromkeys([*ALPHABET, *(f"{letter}</w>" for letter in ALPHABET), "<|startoftext|>", "<|endoftext|>"])
    words = CLIPTokenizer(vocab={p: i for i, p in enumerate(pieces)}, merges=[], model_max_length=CLIP_LENGTH)
    seeded()
    config = CLIPTextConfig(
        vocab_size=len(pieces),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=CLIP_LENGTH,
        projection_dim=WIDTH,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config), words


def t5(width: int = WIDTH, umt5: bool = False) -> tuple[Any, Any]:
    """A T5EncoderModel (or UMT5's) and its tokenizer, a token a letter."""
    from transformers import T5Config, T5EncoderModel, T5Tokenizer, UMT5Config, UMT5EncoderModel

    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0), *((letter, -3.0) for letter in ALPHABET)]
    words = T5Tokenizer(vocab=pieces, extra_ids=0, model_max_length=T5_LENGTH)
    seeded()
    sizes = {"vocab_size": len(pieces), "d_model": width, "d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2}
    return (UMT5EncoderModel(UMT5Config(**sizes)) if umt5 else T5EncoderModel(T5Config(**sizes))), words


def autoencoder(channels: int = 4, **config: Any) -> Any:
    """An AutoencoderKL that halves each side."""
    from diffusers import AutoencoderKL

    seeded()
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        block_out_channels=(8, 8),
        norm_num_groups=4,
        latent_channels=channels,
        sample_size=16,
        **config,
    )
