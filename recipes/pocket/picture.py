"""Text -> picture: a CLIPTextModel and a UNet2DConditionModel on latents [b, 8, 8, 8], trained together.

    python -m recipes.pocket.picture --cache .pocket --out build/pocket

v-prediction with zero terminal SNR; the empty prompt stands for "no condition", as stock pipelines have it.
The video UNet starts from this one, so both take their shape from `UNET`.
"""

from __future__ import annotations

import itertools
import random
import re
import string
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from recipes.pocket import autoencoder, loop, options, scenes, world
from recipes.pocket.sources import drawings

UNET: dict[str, Any] = {
    "sample_size": 8,
    "in_channels": autoencoder.LATENTS,
    "out_channels": autoencoder.LATENTS,
    "block_out_channels": (96, 128),
    "layers_per_block": 1,
    "cross_attention_dim": 128,
    "norm_num_groups": 16,
}
HEADS = 16  # of 8 channels each: attention is at 128 channels only
DOWN, UP = ("DownBlock", "CrossAttnDownBlock"), ("CrossAttnUpBlock", "UpBlock")
LENGTH = 16  # tokens of a prompt
SCENES, STEPS, BATCH = 24_000, 3000, 64
EXTRA_WORDS = (
    "a an some the and ground getting of in on at to with from by is are it its this that one two three four five "
    "six seven eight nine ten zero picture photo image drawing video clip movie animation scene background color "
    "plain middle centre side upper lower big tiny little grey red brown happy cute up down slowly fast "
    "quickly moves spins jumps shakes grows shrinks rotating turning bouncing bigger smaller piano phone "
    "automobile boat burger hands clapping"
)
SYNONYMS = (
    (" ground", " background"), (" ground", ""), (" on a ", " on the "), (" on a ", ", "), (" at the ", " on the "),
    (" at the ", " in the "), (",", ""), (",", " and"), ("small ", "tiny "), ("small ", "little "), ("gray", "grey"),
    ("spinning", "rotating"), ("spinning", "turning"), ("jumping", "bouncing"), ("growing", "getting bigger"),
    ("shrinking", "getting smaller"),
)  # fmt: skip
OPENINGS = ("a picture of ", "a video of ", "a drawing of ", "the image of ", "a clip with ")


def words() -> list[str]:
    """Every word of the world's captions and some common ones, sorted."""
    tables = (world.CONCEPTS, world.GROUNDS, world.PLACES, world.SIZES, world.MOTIONS.values())
    return sorted({*EXTRA_WORDS.split(), *(word for table in tables for text in table for word in text.split())})


def build_tokenizer() -> CLIPTokenizer:
    """A CLIP BPE in which every word of `words()` is one token; other words fall into letters."""
    letters = [*string.ascii_lowercase, *string.digits, *",.'-?!:;"]
    pieces = [*letters, *(letter + "</w>" for letter in letters)]
    merges: dict[tuple[str, str], None] = {}
    for word in words():
        # Merge what the earlier merges leave of a word, left to right: later merges cannot disturb earlier words.
        parts = _bpe([*word[:-1], word[-1] + "</w>"], list(merges))
        while len(parts) > 1:
            merges[(parts[0], parts[1])] = None
            parts[:2] = [parts[0] + parts[1]]
            pieces.append(parts[0])
    vocabulary = ["<|startoftext|>", "<|pad|>", "<|unk|>", *dict.fromkeys(pieces), "<|endoftext|>"]
    return CLIPTokenizer(
        vocab={token: i for i, token in enumerate(vocabulary)},  # EOS last: CLIP finds it as the highest id
        merges=list(merges),
        unk_token="<|unk|>",
        pad_token="<|pad|>",
        model_max_length=LENGTH,
    )


def _bpe(parts: list[str], merges: list[tuple[str, str]]) -> list[str]:
    """Byte-pair encoding of one word: apply the earliest merge that fits until none does."""
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    while found := [(ranks[p], i) for i, p in enumerate(itertools.pairwise(parts)) if p in ranks]:
        i = min(found)[1]
        parts = [*parts[:i], parts[i] + parts[i + 1], *parts[i + 2 :]]
    return parts


def build_text_encoder(tokenizer: CLIPTokenizer) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=UNET["cross_attention_dim"],
        intermediate_size=256,
        projection_dim=UNET["cross_attention_dim"],
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


def build_unet() -> UNet2DConditionModel:
    """Convolutions at 8x8, convolutions and attention to the text at 4x4."""
    return UNet2DConditionModel(
        down_block_types=tuple(name + "2D" for name in DOWN),
        up_block_types=tuple(name + "2D" for name in UP),
        use_linear_projection=True,
        attention_head_dim=HEADS,  # the 2D UNet reads it as the number of heads, the 3D UNet as their width
        **UNET,
    )


def build_scheduler() -> DDIMScheduler:
    return DDIMScheduler(
        beta_schedule="squaredcos_cap_v2",
        prediction_type="v_prediction",
        timestep_spacing="trailing",
        rescale_betas_zero_snr=True,
        clip_sample=False,
        set_alpha_to_one=True,
    )


def phrase(scene: world.Scene, rng: random.Random) -> str:
    """The scene's caption; one time in four loosely worded, with an opening or a word that means nothing."""
    caption = scene.caption()
    if rng.random() < 0.75:
        return caption
    for old, new in rng.sample(SYNONYMS, 6):
        caption = caption.replace(old, new)
    if rng.random() < 0.3:
        caption = rng.choice(OPENINGS) + caption
    if rng.random() < 0.3:
        junk = "".join(rng.choices(string.ascii_lowercase, k=rng.randint(2, 5)))
        caption = re.sub(" ", f" {junk} ", caption, count=1)
    return caption if rng.random() < 0.7 else re.sub(r"\b(an?|some) ", "", caption)


def tokens(tokenizer: CLIPTokenizer, captions: list[str]) -> Tensor:
    """Captions -> ids [b, 16], padded exactly as the pipelines pad them."""
    return tokenizer(captions, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt").input_ids


class Attributes(nn.Module):
    """Text encoder and linear heads that name a scene's attributes: the warm-up that gives words their meaning."""

    def __init__(self, text_encoder: CLIPTextModel):
        super().__init__()
        self.text_encoder = text_encoder
        self.tables = {"concept": list(world.CONCEPTS), "ground": list(world.GROUNDS), "place": list(world.PLACES)}
        self.tables |= {"size": list(world.SIZES), "motion": list(world.MOTIONS)}
        width = text_encoder.config.hidden_size
        self.heads = nn.ModuleDict({name: nn.Linear(width, len(table)) for name, table in self.tables.items()})

    def loss(self, ids: Tensor, todo: list[world.Scene]) -> Tensor:
        pooled = self.text_encoder(ids).pooler_output
        total = pooled.new_zeros(())
        for name, head in self.heads.items():
            right = torch.tensor([self.tables[name].index(getattr(scene, name)) for scene in todo])
            total = total + F.cross_entropy(head(pooled).float(), right)
        return total


def warm_up(text_encoder: CLIPTextModel, tokenizer: CLIPTokenizer, path: Path) -> None:
    model = Attributes(text_encoder)

    def batch(step: int) -> tuple[Tensor, list[world.Scene]]:
        rng = random.Random(step)
        todo = [world.sample(rng, moving=True) for _ in range(128)]
        return tokens(tokenizer, [phrase(scene, rng) for scene in todo]), todo

    loop.train(model, batch, lambda data: model.loss(*data), steps=800, lr=1e-3, ema=0.99, path=path)


class Denoiser(nn.Module):
    """Text encoder and UNet (2D or 3D) with their training loss; latents [b, c, h, w] or [b, c, f, h, w].

    Times are drawn as T * u ** `tilt` with u uniform: below 1, more of them are noisy.
    """

    def __init__(self, unet: nn.Module, text_encoder: CLIPTextModel, tilt: float = 1.0):
        super().__init__()
        self.unet, self.text_encoder, self.tilt = unet, text_encoder, tilt
        self._scheduler = build_scheduler()

    def loss(self, latents: Tensor, ids: Tensor) -> Tensor:
        """MSE on v = alpha * noise - sigma * latent."""
        noise = torch.randn_like(latents)
        times = (torch.rand(len(latents)) ** self.tilt * self._scheduler.config.num_train_timesteps).long()
        noisy = self._scheduler.add_noise(latents, noise, times)
        with sdpa_kernel(SDPBackend.MATH):  # faster than flash attention on 8 to 16 tokens
            condition = self.text_encoder(ids).last_hidden_state
            made = self.unet(noisy, times, encoder_hidden_states=condition).sample
        return F.mse_loss(made.float(), self._scheduler.get_velocity(latents, noise, times))


def caption_batch(tokenizer: CLIPTokenizer, todo: list[world.Scene], rng: random.Random) -> Tensor:
    """Ids of the scenes' captions; one in ten is empty, for guidance."""
    return tokens(tokenizer, ["" if rng.random() < 0.1 else phrase(scene, rng) for scene in todo])


def picture_latents(cache: Path, out: Path) -> tuple[list[world.Scene], Tensor]:
    """`SCENES` random scenes, every concept equally often, and their latents [n, 8, 8, 8]; made once.

    One in three is a frame of a clip, captioned with its motion: the video UNet will start from these weights.
    """
    still, moving, rng = drawings("3d", cache), drawings("animated", cache), random.Random(3)
    concepts = list(world.CONCEPTS)
    todo = [world.sample(rng, concepts[i % len(concepts)], moving=rng.random() < 0.5) for i in range(SCENES)]
    path = out / "state/picture_latents.pt"
    if not path.exists():
        pictures = []
        for scene in todo:
            frames = autoencoder.film(world.CONCEPTS[scene.concept], still, moving, rng)
            if scene.motion == "still":
                pictures.append(scenes.picture(rng.choice(frames), scene, rng))
            else:
                pictures.append(rng.choice(scenes.clip(frames, scene, rng)))
        torch.save(autoencoder.encode(autoencoder.load(out), np.stack(pictures)).half(), path)
    return todo, torch.load(path, weights_only=True).float()


def load_text(out: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    folder = out / "generators/picture"
    tokenizer = CLIPTokenizer.from_pretrained(folder / "tokenizer")
    return tokenizer, CLIPTextModel.from_pretrained(folder / "text_encoder", dtype=torch.float32)


def main() -> None:
    args = options.parse(__doc__)
    folder = args.out / "generators/picture"
    if (folder / "unet").exists():
        return
    torch.manual_seed(1)
    tokenizer = build_tokenizer()
    model = Denoiser(build_unet(), build_text_encoder(tokenizer))
    warm_up(model.text_encoder, tokenizer, args.out / "state/words.ckpt")
    todo, latents = picture_latents(args.cache, args.out)

    def batch(step: int) -> tuple[Tensor, Tensor]:
        rng = random.Random(step)
        chosen = [rng.randrange(len(todo)) for _ in range(BATCH)]
        return latents[chosen], caption_batch(tokenizer, [todo[i] for i in chosen], rng)

    groups: list[dict[str, Any]] = [
        {"params": [*model.unet.parameters()]},
        {"params": [*model.text_encoder.parameters()], "scale": 0.3},
    ]
    path = args.out / "state/picture.ckpt"
    loop.train(model, batch, lambda data: model.loss(*data), steps=STEPS, lr=8e-4, path=path, groups=groups, ema=0.9993)
    tokenizer.save_pretrained(folder / "tokenizer")
    build_scheduler().save_pretrained(folder / "scheduler")
    autoencoder.save_half(model.text_encoder, folder / "text_encoder")
    autoencoder.save_half(model.unet, folder / "unet")


if __name__ == "__main__":
    main()
