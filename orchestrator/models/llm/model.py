"""The LLM: dialogues of text and soft prompts in, tokens and hidden states out.

Everything goes in as embeddings, so that P_X can stand among the words. Symbols: B requests, n tokens, d the LLM's
width.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import (
    CONFIG_MAPPING,
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    LogitsProcessorList,
    StoppingCriteria,
)

from orchestrator.errors import BundleError, InputError
from orchestrator.models import facts, pretrained
from orchestrator.models.llm import packing, quantize
from orchestrator.models.llm.adapter import Adapter, merge
from orchestrator.models.llm.adapter_file import check_tokens
from orchestrator.models.llm.dialogue import Chat, Dialogue, Segment, Turn
from orchestrator.models.llm.grammar import SignalGrammar
from orchestrator.models.llm.past import Past, read_on
from orchestrator.models.llm.rows import give_rows
from orchestrator.models.llm.signals import SignalTokens, add_tokens

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.models.bundle import Bundle, BundleSpec

UNLIMITED = 2**31


class LanguageModel:
    """A causal LM of transformers with its tokenizer, chat template and signal tokens.

    `id` is what projectors and adapters know it by. `pack` puts several sequences in a row where the model can take
    them (see `packing`); `adapter` is what trains of it (see `adapter.tune`); `recomputed` are the layers whose
    activations are not kept (see `adapter.checkpoint_activations`).
    """

    pack: bool = False
    adapter: Adapter | None = None
    recomputed: Sequence[Any] = ()

    def __init__(
        self, model: Any, tokenizer: Any, bundle: BundleSpec, chat: str | None = None, id: str | None = None
    ) -> None:
        self.model, self.tokenizer = model, tokenizer
        self.id = id or bundle.llm.id or f"{bundle.name}/{bundle.llm.path}"
        self.signals = SignalTokens.of(bundle.signals, tokenizer)
        self.dim: int = model.get_input_embeddings().weight.shape[-1]  # OPT's states may be wider within
        self.context: int = _context(model.config.get_text_config(), tokenizer)
        self.ends: list[int] = _ends(model.generation_config, tokenizer)
        self.chat = Chat(tokenizer, chat, bundle.llm.media, self.signals, self.ends)

    @classmethod
    def load(cls, bundle: Bundle, device: str, dtype: torch.dtype) -> LanguageModel:
        """Load a bundle's transformers checkpoint, with rows for signal tokens that it lacks, and merge its adapters.

        Raises BundleError for a model that does not take embeddings, or cannot be quantized here, before it is read.
        """
        from orchestrator.prompts.chats import chat_template

        folder, spec = bundle.path("llm"), bundle.spec
        _check_takes_embeddings(folder)
        options = quantize.options(spec.llm.quantize, device, dtype)
        chat = chat_template(spec.llm.chat) if spec.llm.chat else None
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, **pretrained.trusted(spec.llm))
        added = add_tokens(spec.signals, tokenizer)
        model = pretrained.load(AutoModelForCausalLM, folder, dtype, spec=spec.llm, **options)
        give_rows(model, added)
        model = model.eval() if options else model.to(device).eval()  # bitsandbytes has put it there
        for trained in bundle.adapters:
            check_tokens(trained, tokenizer)
            merge(model, trained)
        return cls(model.requires_grad_(False), tokenizer, spec, chat, bundle.id("llm"))

    # --- in: dialogues to embeddings

    def encode(self, turns: Sequence[Turn]) -> Dialogue:
        """Turns of (role, segments), in the chat template. Raises InputError if they are longer than the context."""
        return self.checked(self.chat.encode(turns))

    def fits(self, turns: Sequence[Turn], new: int) -> bool:
        """Whether a dialogue and so many new tokens are within the context."""
        return len(self.chat.encode(turns)) + new <= self.context

    def checked(self, dialogue: Dialogue) -> Dialogue:
        """The dialogue, unless it is longer than the context: InputError."""
        if len(dialogue) > self.context:
            raise InputError(
                f"the dialogue has {len(dialogue)} tokens, more than the {self.context} of this LLM's context; "
                f"shorten it by {len(dialogue) - self.context} tokens"
            )
        return dialogue

    def prompt(self, segments: Sequence[Segment]) -> Tensor:
        """One user turn of text and (modality, P_X) segments, in the chat template -> embeddings [n, d]."""
        return self.embed_dialogues([self.chat.encode([("user", segments)])])[0]

    def embed_dialogues(self, dialogues: Sequence[Dialogue]) -> list[Tensor]:
        """Embeddings [n, d] of each, with its soft prompts in place; one look-up for all."""
        rows = self.embed(torch.cat([dialogue.ids for dialogue in dialogues])).split([len(d) for d in dialogues])
        return [dialogue.embed(row) for dialogue, row in zip(dialogues, rows, strict=True)]

    def embed(self, ids: Tensor) -> Tensor:
        """Token ids [...] -> embeddings [..., d]."""
        embedded: Tensor = self.model.get_input_embeddings()(ids.to(self.model.device))
        return embedded

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
        past: Past | None = None,
    ) -> list[Tensor]:
        """Write a reply to each prompt [n, d]; returns the new ids [m] of each, without the end token.

        Malformed signals are impossible, and only those of `signals` and `require` occur. `on_token` gets the ids so
        far [B, m] after every token. With a `past`, of one prompt, what is in it is not read again, and what is read
        and written is kept there. Raises InputError if a prompt and its reply exceed the context.
        """
        self._check_length(prompts, max_new_tokens)
        mask = [torch.ones(len(prompt), dtype=torch.long, device=prompt.device) for prompt in prompts]
        config = GenerationConfig(
            max_new_tokens=max_new_tokens,
            do_sample=temperature > 0,
            temperature=temperature or None,
            top_k=0 if temperature else None,  # transformers' default would keep 50
            top_p=1.0 if temperature else None,  # the flow says how it is sampled, not the checkpoint
            repetition_penalty=1.0,
            eos_token_id=self.ends,
            pad_token_id=self.tokenizer.pad_token_id if self.tokenizer.pad_token_id is not None else self.ends[0],
            return_dict_in_generate=past is not None,
        )
        cache = None if past is None else past.take(self.model, prompts[0], len(prompts[0]) - 1)
        grammar = SignalGrammar(self.signals, signals, require, self.ends, max_new_tokens)
        watch = [_Watch(on_token)] if on_token else []
        self._recompute(False)
        with torch.no_grad(), torch.random.fork_rng():
            torch.manual_seed(seed)
            made = self.model.generate(
                inputs_embeds=pad_sequence(list(prompts), batch_first=True, padding_side="left"),
                attention_mask=pad_sequence(mask, batch_first=True, padding_side="left"),
                generation_config=config,
                logits_processor=LogitsProcessorList([grammar]),
                stopping_criteria=watch,
                **({} if cache is None else {"past_key_values": cache}),
            )
            if past is not None:
                made, cache = made.sequences, getattr(made, "past_key_values", None)
                past.keep(self.model, torch.cat((prompts[0], self.embed(made[0, :-1]))), cache)  # the last was not read
        return [self._until_end(row) for row in made]

    def read(self, ids: Tensor) -> tuple[str, Any]:
        """The text and the signal spans of a reply's ids [m]."""
        return self.signals.read(ids.tolist(), lambda part: self.tokenizer.decode(part, skip_special_tokens=True))

    def states(self, prompts: Sequence[Tensor], replies: Sequence[Tensor], past: Past | None = None) -> list[Tensor]:
        """The last layer's hidden states AT the reply tokens: prompts [n, d], reply embeddings [m, d] -> [m, d] each.

        One teacher-forced forward, the same in training and in inference; it equals what `generate` saw, one step
        later than the state that predicted the token. A `past` is as in `generate`.
        """
        if past is not None:
            return [read_on(self.model, torch.cat((prompts[0], replies[0])), len(prompts[0]), past)]
        hidden = self.hidden([torch.cat(pair) for pair in zip(prompts, replies, strict=True)])
        return [h[len(p) :] for h, p in zip(hidden, prompts, strict=True)]

    def hidden(self, embeds: Sequence[Tensor]) -> list[Tensor]:
        """The last layer's hidden states of sequences [n, d], each as if it were alone, from one forward."""
        pack = self.pack and len(embeds) > 1 and self._packs
        self._recompute(torch.is_grad_enabled())
        return packing.hidden_states(self.model.get_decoder(), embeds, pack)

    def _recompute(self, on: bool) -> None:
        """transformers recomputes layers in train mode; what is within them stays as it is, dropout included."""
        for layer in self.recomputed:
            layer.training = on

    @cached_property
    def _packs(self) -> bool:
        return packing.keeps_apart(self.model)

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


def _check_takes_embeddings(folder: Path) -> None:
    """Raises BundleError for a class that takes token ids only, or needs them beside the embeddings."""
    kind = facts.model_type(folder)
    try:
        config = CONFIG_MAPPING[kind].from_pretrained(folder, local_files_only=True) if kind in CONFIG_MAPPING else None
    except pretrained.UNREADABLE as error:
        raise BundleError(f"{folder / 'config.json'} is no config of '{kind}': {error}") from error
    model = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if config is None or model is None:
        return  # code of the checkpoint's own, or no causal LM, which transformers tells
    by_layer = getattr(config.get_text_config(), "hidden_size_per_layer_input", 0)  # Gemma 3n: more embeddings inside
    if "inputs_embeds" not in inspect.signature(model.forward).parameters or by_layer:
        raise BundleError(
            f"{folder}: {model.__name__} needs token ids, but soft prompts come as embeddings; choose an LLM whose "
            "forward takes inputs_embeds"
        )


def _context(config: Any, tokenizer: Any) -> int:
    """How many tokens it can read; a recurrent model, or one whose positions have no table, may have no limit."""
    found = next((size for name in facts.CONTEXT if (size := getattr(config, name, None))), None)
    return int(found or min(tokenizer.model_max_length, UNLIMITED))


def _ends(generation: Any, tokenizer: Any) -> list[int]:
    found = generation.eos_token_id if generation.eos_token_id is not None else tokenizer.eos_token_id
    if found is None:
        raise BundleError("the LLM has no token that ends a reply; write `eos_token_id` in its generation_config.json")
    return list(found) if isinstance(found, list) else [found]


class _Watch(StoppingCriteria):
    """Calls back after every token; never stops by itself."""

    def __init__(self, on_token: Callable[[Tensor], None]) -> None:
        self.on_token = on_token

    def __call__(self, input_ids: Tensor, scores: Tensor, **_: Any) -> Tensor:
        self.on_token(input_ids)
        return torch.zeros(len(input_ids), dtype=torch.bool, device=input_ids.device)
