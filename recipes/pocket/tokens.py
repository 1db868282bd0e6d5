"""The tokenizer of the bundle and the chat form: what stands for a medium, a turn, and something to be made.

Byte-level BPE in lower case; each word of the grammar is one token, always with its leading space.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from recipes.pocket import steps
from recipes.pocket.corpus import Turn
from recipes.pocket.sources import emoji_names

SLOTS = {"image": 4, "audio": 4, "video": 8}  # soft tokens of a medium
SPECIALS = (
    "<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", *(f"<{mark}{m}>" for m in SLOTS for mark in ("", "/")),
)  # fmt: skip
# modality -> prefix and number of its signal tokens, the last ids of the vocabulary
SIGNALS = {"image": ("IMG", 20), "audio": ("AUD", 16), "video": ("VID", 24)}
VOCABULARY = 1536


def signal_tokens(modality: str) -> list[str]:
    prefix, count = SIGNALS[modality]
    return [f"[{prefix}{i}]" for i in range(count)]


def vocabulary(cache: Path) -> list[str]:
    """The words to copy: those of all emoji names."""
    return sorted({w for name in emoji_names(cache) for w in name.lower().split() if w.isalpha()})


def make_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    rng = random.Random(0)
    drawn = (turn for _ in range(20_000) for turn in steps.mixed(words, rng))
    texts = [t for turn in drawn for t in (*turn.request, turn.answer) if isinstance(t, str)]
    signals = [token for modality in SIGNALS for token in signal_tokens(modality)]
    core = Tokenizer(models.BPE(unk_token=None))
    core.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(signals),
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": [*SPECIALS[3:], *signals]})
    return tokenizer


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
