"""The tokenizer of the bundle and the chat form: what stands for a medium, a turn, and something to be made.

Byte-level BPE in lower case; each word that requests have, and many that are like them, is one token, always with its
leading space. All other words are spelled in pieces.
"""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Sequence

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from recipes.pocket import steps
from recipes.pocket.corpus import Turn
from recipes.pocket.vectors import Vectors

SLOTS = {"image": 4, "audio": 4, "video": 8}  # soft tokens of a medium
SPECIALS = (
    "<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", *(f"<{mark}{m}>" for m in SLOTS for mark in ("", "/")),
)  # fmt: skip
# modality -> prefix and number of its signal tokens, the last ids of the vocabulary
SIGNALS = {"image": ("IMG", 20), "audio": ("AUD", 16), "video": ("VID", 24)}
PIECES, VOCABULARY = 1280, 4096  # tokens that spell words and the frequent words; with all words and the signals
SPACE = "\u0120"  # before the words of a byte-level vocabulary
NEAREST, LIKE = 8, 0.6  # words like one of the requests', and the smallest cosine to it


def signal_tokens(modality: str) -> list[str]:
    prefix, count = SIGNALS[modality]
    return [f"[{prefix}{i}]" for i in range(count)]


def make_tokenizer(copied: Sequence[str], words: Sequence[str]) -> PreTrainedTokenizerFast:
    """A tokenizer that spells anything and has a token for each of `words`, as far as there is room."""
    rng = random.Random(0)
    drawn = (turn for _ in range(20_000) for turn in steps.mixed(copied, rng))
    texts = [t for turn in drawn for t in (*turn.request, turn.answer) if isinstance(t, str)]
    core = _bpe(models.BPE(unk_token=None))
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES, special_tokens=list(SPECIALS), initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(texts, trainer)
    learnt = json.loads(core.to_str())["model"]
    signals = [token for modality in SIGNALS for token in signal_tokens(modality)]
    vocab, merges = learnt["vocab"], [tuple(pair) for pair in learnt["merges"]]
    for word in [SPACE + word for word in words if SPACE + word not in vocab][: VOCABULARY - len(signals) - len(vocab)]:
        vocab[word] = len(vocab)
    core = _bpe(models.BPE(vocab, merges, ignore_merges=True))  # a word that has a token is not spelled
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": [*SPECIALS[3:], *signals]})
    return tokenizer


def _bpe(model: models.BPE) -> Tokenizer:
    core = Tokenizer(model)
    core.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    return core


def lexicon(known: Vectors, counts: Counter[str]) -> list[str]:
    """The words of requests, the frequent ones first, then those that are most like one of them."""
    said = [word for word, _ in counts.most_common()]
    like: dict[str, float] = {}
    for pairs in known.near(known.only(said).words, NEAREST, LIKE):
        like.update({other: max(cosine, like.get(other, 0)) for other, cosine in pairs if other not in counts})
    return [*said, *sorted(like, key=lambda word: -like[word])]


def asked(turn: Turn) -> str:
    """The chat form of a request; `<pad>` holds the place of a soft token."""
    parts = (
        part if isinstance(part, str) else f"<{part.modality}>{'<pad>' * SLOTS[part.modality]}</{part.modality}>"
        for part in turn.request
    )
    return f"<|user|>{''.join(parts)}<|assistant|>"


def reply(turn: Turn) -> str:
    """The answer, with the signals of what it makes."""
    return turn.answer + "".join(token for m in turn.makes for token in signal_tokens(m)) + "</s>"
