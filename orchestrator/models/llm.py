"""The LLM: text and soft prompts in, tokens and hidden states out.

Everything goes in as embeddings, so that P_X can stand among the words. Prompts are lists of segments (text or P_X
tensors), one list a request. Symbols: B requests, n tokens, d the LLM's width.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.functional import cross_entropy
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig, LogitsProcessorList, StoppingCriteria

from orchestrator.errors import InputError
from orchestrator.models import pretrained
from orchestrator.models.grammar import SignalGrammar
from orchestrator.models.signals import SignalTokens

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.bundle import BundleSpec

Segment = "str | tuple[str, Tensor]"  # what a user says, or (modality, P_X [n, d])
MARK = "\ue000{}\ue001"  # stands for segment i while the chat template is rendered (private use characters)
MARKS = re.compile("\ue000(\\d+)\ue001")


class LanguageModel:
    """A causal LM of transformers with its tokenizer, chat template and signal tokens."""

    def __init__(self, model: Any, tokenizer: Any, bundle: BundleSpec, chat: str | None = None) -> None:
        self.model, self.tokenizer, self.chat = model, tokenizer, chat
        self.media = bundle.llm.media
        self.signals = SignalTokens.of(bundle.signals, tokenizer)
        config = model.config.get_text_config()
        self.dim: int = config.hidden_size
        self.context: int = config.max_position_embeddings
        ends = model.generation_config.eos_token_id or tokenizer.eos_token_id
        self.ends: list[int] = ends if isinstance(ends, list) else [ends]

    @classmethod
    def load(cls, folder: Path, bundle: BundleSpec, device: str, dtype: torch.dtype) -> LanguageModel:
        """Load a transformers checkpoint."""
        from orchestrator.prompts.chats import chat_template

        model = pretrained.load(AutoModelForCausalLM, folder, dtype)
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        chat = chat_template(bundle.llm.chat) if bundle.llm.chat else None
        return cls(model.to(device).eval().requires_grad_(False), tokenizer, bundle, chat)

    # --- in: segments to embeddings

    def prompt(self, segments: Sequence[Any]) -> Tensor:
        """One user turn of text and (modality, P_X) segments, in the chat template -> embeddings [n, d]."""
        wrapped = [self._marked(i, s) for i, s in enumerate(segments)]
        turn = [{"role": "user", "content": "".join(wrapped)}]
        text = self.tokenizer.apply_chat_template(
            turn, chat_template=self.chat, tokenize=False, add_generation_prompt=True
        )
        pieces = MARKS.split(text)  # template text, index, template text, index, ...
        parts = [
            self._embed_segment(segments[int(piece)]) if i % 2 else self.embed_text(piece, special=True)
            for i, piece in enumerate(pieces)
        ]
        return torch.cat(parts)

    def embed_text(self, text: str, special: bool = False) -> Tensor:
        """Text -> [n, d]. What a user wrote can't smuggle in special tokens: they count only where `special`."""
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=not special)["input_ids"]
        return self.embed(torch.tensor(ids, dtype=torch.long))

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids [...] -> embeddings [..., d]."""
        embedded: Tensor = self.model.get_input_embeddings()(ids.to(self.model.device))
        return embedded

    def _marked(self, index: int, segment: Any) -> str:
        wrap = "{}" if isinstance(segment, str) else self.media.get(segment[0], "{}")
        return wrap.format(MARK.format(index))

    def _embed_segment(self, segment: Any) -> Tensor:
        if isinstance(segment, str):
            return self.embed_text(segment)
        tokens: Tensor = segment[1].to(self.model.device, self.model.dtype)
        return tokens

    # --- out: replies

    def generate(
        self,
        prompts: Sequence[Tensor],
        *,
        max_new_tokens: int,
        signals: Sequence[str] = (),
        require: Sequence[str] = (),
        temperature: float = 0.0,
        seed: int = 0,
        on_token: Callable[[Tensor], None] | None = None,
    ) -> list[Tensor]:
        """Write a reply to each prompt [n, d]; returns the new ids [m] of each, without the end token.

        Malformed signals are impossible, and only those of `signals` and `require` occur. `on_token` gets the ids so
        far [B, m] after every token. Raises InputError if a prompt and its reply exceed the context.
        """
        self._check_length(prompts, max_new_tokens)
        embeds, mask = _pad(prompts, "left")
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            temperature=temperature or None,
            top_k=0 if temperature else None,  # transformers' default would keep 50
            eos_token_id=self.ends,
            pad_token_id=self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.ends[0],
        )
        grammar = SignalGrammar(self.signals, signals, require, self.ends, max_new_tokens)
        watch = [_Watch(on_token)] if on_token else []
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(seed)
            new = self.model.generate(
                inputs_embeds=embeds,
                attention_mask=mask,
                generation_config=config,
                logits_processor=LogitsProcessorList([grammar]),
                stopping_criteria=watch,
            )
        return [self._until_end(row) for row in new]

    def read(self, ids: Tensor) -> tuple[str, Any]:
        """The text and the signal spans of a reply's ids [m]."""
        return self.signals.read(ids.tolist(), lambda part: self.tokenizer.decode(part, skip_special_tokens=True))

    def states(self, prompts: Sequence[Tensor], replies: Sequence[Tensor]) -> list[Tensor]:
        """The last layer's hidden states AT the reply tokens: prompts [n, d], reply embeddings [m, d] -> [m, d] each.

        One teacher-forced forward, the same in training and in inference; it equals what `generate` saw, one step
        later than the state that predicted the token.
        """
        embeds, mask = _pad([torch.cat(pair) for pair in zip(prompts, replies, strict=True)], "right")
        hidden = self.model.get_decoder()(inputs_embeds=embeds, attention_mask=mask).last_hidden_state  # [B, N, d]
        return [h[len(p) : len(p) + len(r)] for h, p, r in zip(hidden, prompts, replies, strict=True)]

    def loss(self, prompts: Sequence[Tensor], targets: Sequence[Tensor]) -> Tensor:
        """L_txt-gen, equation 2: cross-entropy of target ids [m] (with the end token) after prompts [n, d], a mean over
        target tokens. The head runs on labelled positions only."""
        inputs = [torch.cat([p, self.embed(t[:-1])]) for p, t in zip(prompts, targets, strict=True)]
        embeds, mask = _pad(inputs, "right")
        hidden = self.model.get_decoder()(inputs_embeds=embeds, attention_mask=mask).last_hidden_state
        predicting = [h[len(p) - 1 : len(p) - 1 + len(t)] for h, p, t in zip(hidden, prompts, targets, strict=True)]
        logits = self.model.get_output_embeddings()(torch.cat(predicting))  # [labelled, vocabulary]
        return cross_entropy(logits.float(), torch.cat(list(targets)).to(logits.device))

    def target(self, text: str, signals: Sequence[str] = ()) -> Tensor:
        """The ids of a reply as a training target: text, signals, end token."""
        ids = self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"]
        ids += [token for modality in signals for token in self.signals.ids[modality]]
        return torch.tensor([*ids, self.ends[0]], dtype=torch.long)

    def _until_end(self, ids: Tensor) -> Tensor:
        ended = torch.isin(ids, torch.tensor(self.ends, device=ids.device)).nonzero()
        return ids[: int(ended[0])] if len(ended) else ids

    def _check_length(self, prompts: Sequence[Tensor], new: int) -> None:
        longest = max(len(p) for p in prompts)
        if longest + new > self.context:
            raise InputError(
                f"the prompt has {longest} tokens and the reply may have {new} (max_new_tokens), together more than "
                f"the {self.context} of this LLM's context; shorten the text by {longest + new - self.context} tokens"
            )


class _Watch(StoppingCriteria):
    """Calls back after every token; never stops by itself."""

    def __init__(self, on_token: Callable[[Tensor], None]) -> None:
        self.on_token = on_token

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        self.on_token(input_ids)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)


def _pad(rows: Sequence[Tensor], side: str) -> tuple[Tensor, Tensor]:
    """Rows [n_i, d] -> ([B, n, d], mask [B, n])."""
    mask = [torch.ones(len(row), dtype=torch.long, device=row.device) for row in rows]
    embeds = pad_sequence(list(rows), batch_first=True, padding_side=side)
    return embeds, pad_sequence(mask, batch_first=True, padding_side=side)
