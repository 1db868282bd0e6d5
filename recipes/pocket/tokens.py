"""The tokenizer of the bundle and the chat form: what stands for a picture, a turn, and a film to be made.

Byte-level BPE in lower case; each word of the grammar is one token, always with its leading space.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from recipes.pocket import corpus
from recipes.pocket.corpus import Turn
from recipes.pocket.sources import emoji_names
from recipes.pocket.world import Scene

SPECIALS = ("<pad>", "<s>", "</s>", "<|user|>", "<|assistant|>", "<image>", "</image>")
SLOTS = 4  # soft tokens of a picture
SIGNALS = {"video": ("VID", 24)}  # modality -> prefix and number of its signal tokens, the last ids of the vocabulary
VOCABULARY = 1024


def signal_tokens() -> list[str]:
    return [f"[{prefix}{i}]" for prefix, count in SIGNALS.values() for i in range(count)]


def vocabulary(cache: Path) -> list[str]:
    """The words to copy: those of all emoji names."""
    return sorted({w for name in emoji_names(cache) for w in name.lower().split() if w.isalpha()})


def make_tokenizer(words: Sequence[str]) -> PreTrainedTokenizerFast:
    rng = random.Random(0)
    texts = [t for _ in range(20_000) for turn in [corpus.turn(words, rng)] for t in (*turn.request, turn.answer)]
    core = Tokenizer(models.BPE(unk_token=None))
    core.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Lowercase(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Strip()]
    )
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(signal_tokens()),
        special_tokens=list(SPECIALS),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator((t for t in texts if isinstance(t, str)), trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    tokenizer.add_special_tokens({"additional_special_tokens": [*SPECIALS[3:], *signal_tokens()]})
    return tokenizer


def prompt(turn: Turn) -> str:
    """The chat form up to the answer; `<pad>` holds the place of a soft token."""
    picture = "<image>" + "<pad>" * SLOTS + "</image>"
    return "<s><|user|>" + "".join(picture if isinstance(s, Scene) else s for s in turn.request) + "<|assistant|>"


def reply(turn: Turn) -> str:
    return turn.answer + ("".join(signal_tokens()) if turn.film else "") + "</s>"
