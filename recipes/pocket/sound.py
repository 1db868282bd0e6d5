"""Text -> sound: a ClapTextModelWithProjection and a UNet2DConditionModel on latents [b, 8, 16, 8].

    python -m recipes.pocket.sound --cache .pocket --out build/pocket

Writes `generators/audio`, a folder that diffusers' AudioLDMPipeline loads as it is: the prompt is one vector of length
one, which reaches the UNet beside the time. One program of one soundfont is the generator's style for each concept.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AudioLDMPipeline, UNet2DConditionModel
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import ClapTextConfig, ClapTextModelWithProjection, RobertaTokenizer

from recipes.pocket import (
    autoencoder,
    loop,
    mel,
    options,
    picture,
    playing,
    sound_autoencoder,
    sound_pool,
    sounds,
    vocoder,
    words,
    world,
)

WIDTH = words.WIDTH
LENGTH, PAD = 24, 1  # tokens of a prompt, and the id that fills it up
POOL, WORD_STEPS, STEPS, BATCH = 12_000, 800, 4000, 64
OPENINGS = ("the sound of ", "a recording of ", "a sound of ", "sound: ", "audio of ")
SYNONYMS = (
    ("low ", "deep "), ("low ", "low pitched "), ("high ", "high pitched "), ("soft ", "quiet "), ("loud ", "noisy "),
    ("two notes", "twice"), ("three notes", "three times"), ("fast notes", "quickly"), (",", ""), ("keyboard", "piano"),
)  # fmt: skip


def phrase(sound: world.Sound, rng: random.Random) -> str:
    """The sound's caption; one time in four loosely worded.

    At times it also says how the thing looks, which is to be passed over: one reply may ask for picture and sound.
    """
    caption = sound.caption()
    if rng.random() < 0.15:
        caption += world.sample(rng, "drum", moving=True).caption().split("drum")[1]
        caption = caption.replace("a ", "a small ", 1) if rng.random() < 0.3 else caption
    if rng.random() < 0.75:
        return caption
    for old, new in rng.sample(SYNONYMS, 4):
        caption = caption.replace(old, new)
    return rng.choice(OPENINGS) + caption if rng.random() < 0.4 else caption


def build_tokenizer() -> RobertaTokenizer:
    """Byte-level BPE in which every word of the captions is one token, with its leading space."""
    rng = random.Random(0)
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=640,
        special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"],  # in RoBERTa's order
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator((phrase(world.sample_sound(rng), rng) for _ in range(20_000)), trainer)
    made = json.loads(core.to_str())["model"]
    merges = [(left, right) for left, right in made["merges"]]
    return RobertaTokenizer(vocab=made["vocab"], merges=merges, add_prefix_space=True, model_max_length=LENGTH)


def build_text_encoder(tokenizer: RobertaTokenizer) -> ClapTextModelWithProjection:
    config = ClapTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=256,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH + 2,  # RoBERTa counts positions from the id of the padding + 1
        projection_dim=WIDTH,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    return ClapTextModelWithProjection(config)


def build_unet() -> UNet2DConditionModel:
    """Convolutions at 16x8, convolutions and self-attention at 8x4; the prompt scales and shifts every block."""
    unet = UNet2DConditionModel(
        sample_size=sounds.SAMPLES // mel.HOP // 8,  # frames of latents: the pipeline's default length
        in_channels=autoencoder.LATENTS,
        out_channels=autoencoder.LATENTS,
        block_out_channels=picture.UNET["block_out_channels"],
        layers_per_block=1,
        norm_num_groups=16,
        attention_head_dim=picture.HEADS,
        down_block_types=("DownBlock2D", "AttnDownBlock2D"),
        mid_block_type="UNetMidBlock2D",
        up_block_types=("AttnUpBlock2D", "UpBlock2D"),
        resnet_time_scale_shift="scale_shift",
        class_embed_type="projection",
        projection_class_embeddings_input_dim=WIDTH,
    )
    with torch.no_grad():  # the elements of a prompt of length one are small
        unet.class_embedding.linear_1.weight.mul_(WIDTH**0.5)
    return unet


class Denoiser(picture.Denoiser):
    """Text encoder, UNet and reader of sounds."""

    def read(self, ids: Tensor) -> tuple[Tensor, dict[str, Tensor | None]]:
        """Prompts [b, n] -> the embedding for the reader [b, 128], and what the UNet is told: its direction."""
        embeds = self.text_encoder(ids, attention_mask=(ids != PAD).long()).text_embeds
        return embeds, {"encoder_hidden_states": None, "class_labels": F.normalize(embeds, dim=-1)}


def prompts(tokenizer: RobertaTokenizer, todo: Sequence[world.Sound], rng: random.Random) -> tuple[Tensor, Tensor]:
    """Ids [b, 24] and labels [b, 4] of the sounds' captions; one in ten is empty, for guidance."""
    said = [None if rng.random() < 0.1 else sound for sound in todo]
    texts = [phrase(s, rng) if s else "" for s in said]
    ids = tokenizer(texts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").input_ids
    return ids, sound_pool.labels(said)


def warm_up(model: Denoiser, tokenizer: RobertaTokenizer, path: Path) -> None:
    """Give the words their meaning before the UNet listens."""

    def draw(step: int) -> tuple[Tensor, Tensor]:
        rng = random.Random(step)
        return prompts(tokenizer, [world.sample_sound(rng) for _ in range(128)], rng)

    def loss(data: tuple[Tensor, Tensor]) -> Tensor:
        return model.reader.loss(model.read(data[0])[0], data[1])

    both = nn.ModuleList([model.text_encoder, model.reader])
    loop.train(both, draw, loss, steps=WORD_STEPS, lr=1e-3, ema=0.99, path=path)


def latents(cache: Path, out: Path) -> tuple[list[world.Sound], Tensor]:
    """`POOL` sounds of the generator's style, every concept equally often, and their latents; made once."""
    rng, concepts = random.Random(41), list(world.SOUNDS)
    todo = [world.sample_sound(rng, concepts[i % len(concepts)]) for i in range(POOL)]
    path = out / "state/sound_latents.pt"
    if not path.exists():
        vae, parts = sound_autoencoder.load(out), []
        for start in range(0, POOL, 128):
            waves = [playing.own(s, cache, rng) for s in todo[start : start + 128]]
            parts.append(sound_autoencoder.encode(vae, mel.log_mel(torch.from_numpy(np.stack(waves)))).half())
        torch.save(torch.cat(parts), path)
    return todo, torch.load(path, weights_only=True).float()


def export(model: Denoiser, tokenizer: RobertaTokenizer, out: Path) -> None:
    """Write the pipeline's parts in fp16; `model_index.json` comes last and says that all is there."""
    folder = out / "generators/audio"
    tokenizer.save_pretrained(folder / "tokenizer")
    picture.build_scheduler().save_pretrained(folder / "scheduler")
    autoencoder.save_half(model.text_encoder, folder / "text_encoder")
    autoencoder.save_half(model.unet, folder / "unet")
    pipe = AudioLDMPipeline(
        vae=sound_autoencoder.load(out),
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet,
        scheduler=picture.build_scheduler(),
        vocoder=vocoder.load(out),
    )
    pipe.save_config(folder)


def main() -> None:
    args = options.parse(__doc__)
    if (args.out / "generators/audio/model_index.json").exists():
        return
    torch.manual_seed(3)
    tokenizer = build_tokenizer()
    reader = words.Reader(sound_pool.ATTRIBUTES.values())
    model = Denoiser(build_unet(), build_text_encoder(tokenizer), reader)
    warm_up(model, tokenizer, args.out / "state/sound_words.ckpt")
    todo, found = latents(args.cache, args.out)

    def batch(step: int) -> tuple[Tensor, ...]:
        rng = random.Random(step)
        chosen = [rng.randrange(len(todo)) for _ in range(BATCH)]
        return found[chosen], *prompts(tokenizer, [todo[i] for i in chosen], rng)

    path, groups = args.out / "state/sound.ckpt", model.groups()
    loop.train(model, batch, lambda data: model.loss(*data), steps=STEPS, lr=8e-4, path=path, groups=groups, ema=0.9993)
    export(model, tokenizer, args.out)


if __name__ == "__main__":
    main()
