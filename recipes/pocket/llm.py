"""The language model of the bundle: a LlamaForCausalLM of one million parameters.

    python -m recipes.pocket.llm --cache .pocket --out build/pocket

It is trained on words alone. The soft tokens of a picture are made up: noisy, rescaled mixtures of the embeddings of
the words that the picture deserves. A projector trained later, with this model frozen (equation 2), only has to reach
some point of that family. A linear head that is thrown away makes the state at signal token k predict token k of the
caption, so that the states at the signal tokens carry the caption to the output projector (equation 4).

Shapes: b batch, n tokens, d width, k signal tokens, p soft tokens of a picture, a words of a scene.
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from recipes.pocket import corpus, loop, options
from recipes.pocket.corpus import Turn
from recipes.pocket.tokens import SIGNALS, SLOTS, make_tokenizer, prompt, reply, signal_tokens, vocabulary
from recipes.pocket.world import CONCEPTS, GROUNDS, MOTIONS, Scene

CONTEXT = 256
WORDS = 8  # most words (tokens) that a scene has
STEPS, BATCH, LR = 2000, 96, 2e-3
BUCKET = 4  # batches are cut from so many batches' turns, sorted by length
STATE_WEIGHT = 0.5  # of the head that reads captions from signal states


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=128,
        intermediate_size=288,
        num_hidden_layers=5,
        num_attention_heads=4,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


def soft_plan(scene: Scene, tokenizer: PreTrainedTokenizerFast, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Token ids of the scene's words [a] and their weights in each soft token [p, a].

    Defaults are said or not; every word said is strong in at least one soft token; at times a wrong concept mixes in.
    """
    silent = {"white", "center", "large"} | ({"small"} if scene.place != "center" else set())
    said = [w for w in (scene.concept, scene.ground, scene.place, scene.size) if w not in silent or rng.random() < 0.5]
    rival = rng.choice(list(CONCEPTS)) if rng.random() < 0.3 else None
    groups = [tokenizer(w, add_special_tokens=False).input_ids for w in (*said, *([rival] if rival else []))]
    logits = rng.normal(size=(SLOTS, len(groups))) * rng.uniform(0.2, 4)
    weights = np.exp(logits - logits.max(1, keepdims=True))
    weights /= weights.sum(1, keepdims=True)
    strong = rng.integers(SLOTS, size=len(groups))
    columns = np.arange(len(groups))
    weights[strong, columns] = np.maximum(weights[strong, columns], rng.uniform(0.4, 1, len(groups)))
    if rival:
        true, wrong = weights[:, 0], weights[:, -1]
        weights[:, -1] *= rng.uniform(0, 0.5) * min(true.max() / wrong.max(), true.sum() / wrong.sum())
    ids = np.concatenate(groups)[:WORDS]
    spread = np.concatenate([np.repeat(weights[:, i : i + 1], len(g), 1) for i, g in enumerate(groups)], 1)[:, :WORDS]
    pad = WORDS - len(ids)
    return torch.from_numpy(np.pad(ids, (0, pad))), torch.from_numpy(np.pad(spread, ((0, 0), (0, pad)))).float()


@dataclass(frozen=True)
class Batch:
    """`ids` [b, n]; `weight` [b, n] of each token as a target; `caption` [b, k], the target of the signal states."""

    ids: Tensor
    weight: Tensor
    words: Tensor  # b a: ids of the picture's words
    mix: Tensor  # b p a: their weights; zero where a turn has no picture
    caption: Tensor
    film: Tensor  # b, bool


class Turns:
    """Deterministic batches: batch `step` depends on the step alone."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, words: Sequence[str], size: int):
        self.tokenizer, self.words, self.size = tokenizer, words, size
        self.signals, self.first = SIGNALS["video"][1], tokenizer.convert_tokens_to_ids(signal_tokens()[0])

    def batch(self, step: int) -> Batch:
        rng = random.Random(f"turns {step // BUCKET}")
        turns = [corpus.turn(self.words, rng) for _ in range(BUCKET * self.size)]
        turns.sort(key=lambda t: len(prompt(t)) // 5 + len(t.answer) // 5 + self.signals * t.film)
        part = step % BUCKET * self.size
        return self.collate(turns[part : part + self.size], step)

    def collate(self, turns: Sequence[Turn], seed: int) -> Batch:
        """Right-padded; only the reply is a target, and the forced signal tokens after the first count little."""
        rng = np.random.default_rng(seed)
        asked = self.tokenizer([prompt(t) for t in turns], add_special_tokens=False).input_ids
        given = self.tokenizer([reply(t) for t in turns], add_special_tokens=False).input_ids
        captions = self.tokenizer([t.answer for t in turns], add_special_tokens=False).input_ids
        longest = max(len(a) + len(g) for a, g in zip(asked, given, strict=True))
        ids, weight = torch.zeros(len(turns), longest, dtype=torch.long), torch.zeros(len(turns), longest)
        caption = torch.zeros(len(turns), self.signals, dtype=torch.long)
        words, mix = torch.zeros(len(turns), WORDS, dtype=torch.long), torch.zeros(len(turns), SLOTS, WORDS)
        for row, (a, g, c, turn) in enumerate(zip(asked, given, captions, turns, strict=True)):
            ids[row, : len(a) + len(g)] = torch.tensor(a + g)
            weight[row, len(a) : len(a) + len(g)] = torch.tensor([0.05 if i > self.first else 1.0 for i in g])
            caption[row, : len(c)] = torch.tensor(c[: self.signals])
            for scene in turn.request:
                if isinstance(scene, Scene):
                    words[row], mix[row] = soft_plan(scene, self.tokenizer, rng)
        return Batch(ids, weight, words, mix, caption, torch.tensor([t.film for t in turns]))


class Reader(nn.Module):
    """The language model, and the head [d -> vocabulary] that reads captions from signal states."""

    def __init__(self, llm: LlamaForCausalLM, first_signal: int):
        super().__init__()
        self.llm, self.first, self.count = llm, first_signal, SIGNALS["video"][1]
        self.head = nn.Linear(llm.config.hidden_size, llm.config.vocab_size)

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings [b, n, d] with the made-up soft tokens in their places."""
        table = self.llm.get_input_embeddings()
        embeds, size = table(batch.ids), len(batch.ids)
        soft = batch.mix @ table(batch.words)  # b p d
        scale = torch.exp(torch.empty(size, 1, 1).uniform_(-0.7, 0.7))
        noise = torch.rand(size, 1, 1) * 0.6 * table.weight.detach().std()
        soft = soft * scale + noise * torch.randn_like(soft)
        pictured = batch.mix.abs().sum((1, 2)) > 0
        # the placeholders of a picture are the pads right after <image>
        inside = (batch.ids == 0) & (batch.ids.ne(0).flip(1).cumsum(1).flip(1) > 0)
        return embeds.masked_scatter(inside[..., None], soft[pictured].to(embeds.dtype))

    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the reply, and of the caption read from the signal states."""
        states = self.llm.model(inputs_embeds=self.embed(batch)).last_hidden_state
        targets = batch.weight[:, 1:] > 0
        logits = self.llm.lm_head(states[:, :-1][targets]).float()
        weight = batch.weight[:, 1:][targets]
        text = (F.cross_entropy(logits, batch.ids[:, 1:][targets], reduction="none") * weight).sum() / weight.sum()
        signals = states[batch.ids >= self.first]  # (films k) d, in order
        read = F.cross_entropy(self.head(signals).float(), batch.caption[batch.film].flatten())
        return text + STATE_WEIGHT * read if len(signals) else text


@torch.inference_mode()
def answers(reader: Reader, turns: Turns, asked: Sequence[Turn], size: int = 64) -> Iterator[tuple[str, int]]:
    """Greedy answers with made-up soft tokens, in left-padded batches: the texts and their numbers of signal tokens."""
    torch.manual_seed(0)
    for start in range(0, len(asked), size):
        data = turns.collate(asked[start : start + size], start)
        lengths = (data.weight > 0).int().argmax(1).tolist()
        rows = [row[:n] for row, n in zip(reader.embed(data), lengths, strict=True)]
        embeds = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side="left")
        mask = torch.arange(max(lengths)) >= max(lengths) - torch.tensor(lengths)[:, None]
        out = reader.llm.generate(inputs_embeds=embeds, attention_mask=mask.long(), max_new_tokens=96, do_sample=False)
        for row in out:
            text = turns.tokenizer.decode(row, skip_special_tokens=True).strip()
            yield text, int((row >= turns.first).sum())


@torch.inference_mode()
def measure(reader: Reader, turns: Turns, count: int = 256) -> None:
    """Exact answers, and films exactly when asked, by kind of request, on pairs of words held out of training."""
    rng = random.Random(2**31)
    pairs = [Scene(c, g) for c in CONCEPTS for g in GROUNDS if corpus.held_out(Scene(c, g))]
    scenes = [replace(rng.choice(pairs), motion=rng.choice(list(MOTIONS))) for _ in range(count)]
    kinds = {
        "Film this: caption": [Turn((f"Film this: {s.caption()}",), s.caption(), True) for s in scenes],
        "caption alone": [Turn((s.caption(),), s.caption(), True) for s in scenes],
        "free wording": [Turn((f"Film this: {corpus.describe(s, rng)}",), s.caption(), True) for s in scenes],
        "Describe the picture.": [Turn((s, "Describe the picture."), s.still().caption()) for s in scenes],
        "..., then film it.": [
            Turn((s, "Describe the picture, then film it."), s.still().caption(), True) for s in scenes
        ],
        "film picture": [corpus.film_picture(rng) for _ in scenes],
        "film text": [corpus.film_text(turns.words, rng) for _ in scenes],
        "ask": [corpus.ask(rng) for _ in scenes],
        "chat": [corpus.chat(turns.words, rng) for _ in scenes],
    }
    for kind, asked in kinds.items():
        got = list(answers(reader, turns, asked))
        exact = sum(t.answer == text for t, (text, _) in zip(asked, got, strict=True))
        films = sum(n == turns.signals * t.film for t, (_, n) in zip(asked, got, strict=True))
        print(f"{kind:22s} exact {exact}/{count}, film as asked {films}/{count}", flush=True)
    data = turns.collate(kinds["Film this: caption"], 0)
    states = reader.llm.model(inputs_embeds=reader.embed(data)).last_hidden_state[data.ids >= turns.first]
    right = (reader.head(states).argmax(1) == data.caption[data.film].flatten()).float().mean()
    print(f"caption tokens read from the signal states: {right:.2%}", flush=True)


def main() -> None:
    args = options.parse(__doc__)
    target = args.out / "llm"
    if target.exists():
        return
    torch.manual_seed(0)
    words = vocabulary(args.cache)
    tokenizer = make_tokenizer(words)
    turns = Turns(tokenizer, words, BATCH)
    reader = Reader(make_model(tokenizer), turns.first)
    reader.llm.set_attn_implementation("eager")  # on a CPU, the gradient of the fused kernel takes twice the time
    print(f"{len(tokenizer)} tokens, {sum(p.numel() for p in reader.llm.parameters())} parameters")
    loop.train(reader, turns.batch, reader.loss, steps=STEPS, lr=LR, path=args.out / "llm.ckpt", weight_decay=0.05)
    measure(reader, turns)
    save(reader.llm, tokenizer, target)


def save(llm: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, target: Path) -> None:
    """Write the model in half precision and its tokenizer, in one step."""
    fresh = target.with_name(target.name + ".tmp")
    llm.half().save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    os.replace(fresh, target)


if __name__ == "__main__":
    main()
