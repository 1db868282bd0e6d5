"""The language model of the bundle: a LlamaForCausalLM of about two million parameters.

    python -m recipes.pocket.llm --cache .pocket --out build/pocket

It is trained on words alone, whose embeddings begin with what they mean (`meanings`); media are made-up soft tokens
(`llm_data`). A linear head that is thrown away makes the state at signal token k predict token k of the caption, so
that the states at the signal tokens carry the caption to the output projectors (equation 4).
"""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from recipes.pocket import corpus, dialogues, eval_requests, loop, meanings, options, wordings
from recipes.pocket.corpus import Shown, Turn
from recipes.pocket.eval_requests import DEVELOPMENT
from recipes.pocket.llm_data import Batch, Dialogues
from recipes.pocket.paraphrase import Paraphrases, counted
from recipes.pocket.sources import vocabulary
from recipes.pocket.tokens import SIGNALS, SPECIALS, lexicon, make_tokenizer
from recipes.pocket.vectors import vectors
from recipes.pocket.world import CONCEPTS, GROUNDS, MOTIONS, Scene

CONTEXT = 384
STEPS, BATCH, LR = 6000, 64, 2e-3
STATE_WEIGHT = 0.5  # of the head that reads captions from signal states


def make_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=160,
        intermediate_size=352,
        num_hidden_layers=5,
        num_attention_heads=5,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return LlamaForCausalLM(config)


class Reader(nn.Module):
    """The language model, and the head [d -> vocabulary] that reads captions from signal states."""

    def __init__(self, llm: LlamaForCausalLM, first_signal: int):
        super().__init__()
        self.llm, self.first = llm, first_signal
        self.head = nn.Linear(llm.config.hidden_size, llm.config.vocab_size)

    def embed(self, batch: Batch) -> Tensor:
        """Embeddings [b, n, d] with the made-up soft tokens in their places."""
        table = self.llm.get_input_embeddings()
        embeds, count = table(batch.ids), len(batch.words)
        soft = batch.mix @ table(batch.words)  # m p d
        scale = torch.exp(torch.empty(count, 1, 1).uniform_(-0.7, 0.7))
        noise = torch.rand(count, 1, 1) * 0.6 * table.weight.detach().std()
        soft = soft * scale + noise * torch.randn_like(soft)
        real = torch.arange(soft.shape[1]) < batch.slots[:, None]  # m p
        # the places of media are the pads that something follows
        inside = (batch.ids == 0) & (batch.ids.ne(0).flip(1).cumsum(1).flip(1) > 0)
        return embeds.masked_scatter(inside[..., None], soft[real].to(embeds.dtype))

    @parametrize.cached()
    def loss(self, batch: Batch) -> Tensor:
        """Cross-entropy of the replies, and of the captions read from the signal states."""
        states = self.llm.model(inputs_embeds=self.embed(batch)).last_hidden_state
        targets = batch.weight[:, 1:] > 0
        logits = F.linear(states[:, :-1][targets], self.llm.get_input_embeddings().weight).float()
        weight = batch.weight[:, 1:][targets]
        text = (F.cross_entropy(logits, batch.ids[:, 1:][targets], reduction="none") * weight).sum() / weight.sum()
        signals = states[batch.ids >= self.first]  # all signal tokens, in order
        read = F.cross_entropy(self.head(signals).float(), batch.captions) if len(signals) else text.new_zeros(())
        return text + STATE_WEIGHT * read


@torch.inference_mode()
def answers(
    reader: Reader, data: Dialogues, todo: Sequence[Sequence[Turn]], size: int = 64
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Greedy answers to the last turn of each dialogue: its text, and the modalities whose signals it has in full."""
    torch.manual_seed(0)
    starts = {m: data.tokenizer.convert_tokens_to_ids(f"[{prefix}0]") for m, (prefix, _) in SIGNALS.items()}
    for start in range(0, len(todo), size):
        batch = data.collate(todo[start : start + size], start)
        # the last reply begins after the last <|assistant|>
        turns = batch.ids == SPECIALS.index("<|assistant|>")
        lengths = (turns.long() * torch.arange(turns.shape[1])).amax(1).add(1).tolist()
        rows = [row[:n] for row, n in zip(reader.embed(batch), lengths, strict=True)]
        embeds = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_side="left")
        mask = torch.arange(max(lengths)) >= max(lengths) - torch.tensor(lengths)[:, None]
        out = reader.llm.generate(inputs_embeds=embeds, attention_mask=mask.long(), max_new_tokens=110, do_sample=False)
        for row in out.tolist():
            made = tuple(m for m, i in starts.items() if set(range(i, i + SIGNALS[m][1])) <= set(row))
            yield data.tokenizer.decode(row, skip_special_tokens=True).strip(), made


def measure(reader: Reader, data: Dialogues, count: int = 256) -> None:
    """Exact answers, and media exactly as asked, by kind of request; scenes are of pairs held out of training."""
    rng = random.Random(2**31)
    pairs = [Scene(c, g) for c in CONCEPTS for g in GROUNDS if corpus.held_out(Scene(c, g))]
    scenes = [replace(rng.choice(pairs), motion=rng.choice(list(MOTIONS))) for _ in range(count)]
    heard = [corpus.sound(rng) for _ in range(count)]
    kinds: dict[str, list[list[Turn]]] = {
        "film a caption": [[Turn((f"Film this: {s.caption()}",), s.caption(), ("video",))] for s in scenes],
        "draw a caption": [
            [Turn((f"Draw this: {s.still().caption()}",), s.still().caption(), ("image",))] for s in scenes
        ],
        "play a caption": [[Turn((f"Play this: {s.caption()}",), s.caption(), ("audio",))] for s in heard],
        "describe a picture": [
            [Turn((Shown("image", s.still()), "Describe it."), s.still().caption())] for s in scenes
        ],
        "describe a sound": [[Turn((Shown("audio", s), "Describe it."), s.caption())] for s in heard],
        "describe a film": [[Turn((Shown("video", s), "Describe it."), s.caption())] for s in scenes],
        "make of a text": [[corpus.make_text(data.words, rng)] for _ in scenes],
        "make of a medium": [[dialogues.make_shown(rng)] for _ in scenes],
        "ask": [[dialogues.ask(rng)] for _ in scenes],
        "chat": [[dialogues.chat(data.words, rng)] for _ in scenes],
        "follow up": [two_turns(rng) for _ in scenes],
        "other people's words": [[turn] for turn in eval_requests.turns(eval_requests.read(DEVELOPMENT), rng)],
    }
    for kind, todo in kinds.items():
        got = list(answers(reader, data, todo))
        exact = sum(turns[-1].answer == text for turns, (text, _) in zip(todo, got, strict=True))
        made = sum(turns[-1].makes == found for turns, (_, found) in zip(todo, got, strict=True))
        print(f"{kind:20s} exact {exact}/{len(todo)}, media as asked {made}/{len(todo)}", flush=True)
    batch = data.collate(kinds["film a caption"], 0)
    with torch.inference_mode():
        states = reader.llm.model(inputs_embeds=reader.embed(batch)).last_hidden_state[batch.ids >= data.first]
        right = (reader.head(states).argmax(1) == batch.captions).float().mean()
    print(f"caption tokens read from the signal states: {right:.2%}", flush=True)


def two_turns(rng: random.Random) -> list[Turn]:
    """A medium is described, then something is said about it."""
    modality = rng.choice(wordings.MODALITIES)
    what = corpus.thing(rng, modality)
    return [Turn((Shown(modality, what), "What is this?"), what.caption(), (), what), dialogues.follow(what, rng)]


def main() -> None:
    args = options.parse(__doc__)
    target = args.out / "llm"
    if target.exists():
        return
    torch.manual_seed(0)
    words, known = vocabulary(args.cache), vectors(args.cache)
    counts = counted(words)
    tokenizer = make_tokenizer(words, lexicon(known, counts))
    data = Dialogues(tokenizer, words, BATCH, Paraphrases.of(known, counts))
    reader = Reader(make_model(tokenizer), data.first)
    meanings.begin(reader.llm, tokenizer, known)
    reader.llm.set_attn_implementation("eager")  # on a CPU, the gradient of the fused kernel takes twice the time
    print(f"{len(tokenizer)} tokens, {sum(p.numel() for p in reader.llm.parameters())} parameters", flush=True)
    path, groups = args.out / "state/llm.ckpt", meanings.groups(reader, reader.llm)
    loop.train(reader, data.batch, reader.loss, steps=STEPS, lr=LR, path=path, groups=groups, weight_decay=0.05)
    meanings.end(reader.llm)
    measure(reader, data)
    save(reader.llm, tokenizer, target)


def save(llm: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, target: Path) -> None:
    """Write the model in half precision and its tokenizer, in one step."""
    fresh = target.with_name(target.name + ".tmp")
    llm.half().save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    os.replace(fresh, target)


if __name__ == "__main__":
    main()
