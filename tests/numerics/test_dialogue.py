"""Dialogues in the chat template: what the LLM reads, and which of it is the assistant's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from orchestrator.errors import BundleError, InputError
from orchestrator.models.llm.calls import Call
from orchestrator.models.llm.dialogue import UNLABELLED, Chat, Dialogue
from orchestrator.models.llm.model import LanguageModel
from orchestrator.models.llm.signals import SignalTokens
from orchestrator.testing import StageContext
from tests import tiny

CHATML = (
    "{%- for m in messages -%}<|user|>{{ m.role ~ '\n' }}{{ m.content | trim }}{{ '</s>\n' }}{%- endfor -%}"
    "{%- if add_generation_prompt -%}<|user|>{{ 'assistant\n' }}{%- endif -%}"
)
LLAMA_2 = (  # the system's turn goes into the user's, and blanks stand around a reply
    "{%- if messages[0].role == 'system' -%}{%- set first = '<<' ~ messages[0].content ~ '>>' -%}"
    "{%- set messages = messages[1:] -%}{%- else -%}{%- set first = '' -%}{%- endif -%}"
    "{%- for m in messages -%}{%- if m.role == 'user' -%}<s><|user|>{{ first if loop.first else '' }}{{ m.content }}"
    "<|assistant|>{%- else -%}{{ ' ' ~ m.content ~ ' </s>' }}{%- endif -%}{%- endfor -%}"
)
NO_SYSTEM = "{%- for m in messages if m.role != 'system' -%}<s>{{ m.content }}{%- endfor -%}"
THINKING = (  # the last reply is written another way than those before it, as Qwen 3's is
    "{%- for m in messages -%}<|user|>{{ m.role }}:{{ 'hm ' if loop.last and m.role == 'assistant' else '' }}"
    "{{ m.content }}</s>{%- endfor -%}{%- if add_generation_prompt -%}<|user|>assistant:{%- endif -%}"
)
NO_END = "{%- for m in messages -%}<|user|>{{ m.content }}{%- endfor -%}"
TWO = [("user", ["a dog"]), ("assistant", ["red", Call("image")]), ("user", ["film it"]), ("assistant", ["the dog"])]


@pytest.fixture
def llm(tiny_context: StageContext) -> LanguageModel:
    model: LanguageModel = tiny_context.load("llm")
    return model


def chat(llm: LanguageModel, template: str | None = None, **media: str) -> Chat:
    return Chat(llm.tokenizer, template or llm.chat.template, media, llm.signals, llm.ends)


def labelled(llm: LanguageModel, dialogue: Dialogue) -> str:
    """What the assistant is to write, the rest as dots."""
    shown = ["·" if label == UNLABELLED else llm.tokenizer.decode([label]) for label in dialogue.labels.tolist()]
    text = "".join(shown)
    while "··" in text:
        text = text.replace("··", "·")
    return text


def soft(n: int = 3) -> Tensor:
    return torch.randn(n, tiny.WIDTH, generator=torch.Generator().manual_seed(n))


IMAGE = "".join(f"[IMG{i}]" for i in range(4))


@pytest.mark.parametrize(
    ("template", "text", "learnt"),
    [
        (
            None,
            f"<s><|user|>a dog<|assistant|>red{IMAGE}</s><|user|>film it<|assistant|>the dog</s>",
            f"·red{IMAGE}</s>·the dog</s>",
        ),
        (
            CHATML,
            f"<|user|>user\na dog</s>\n<|user|>assistant\nred{IMAGE}</s>\n<|user|>user\nfilm it</s>\n"
            "<|user|>assistant\nthe dog</s>",
            f"·red{IMAGE}</s>·the dog</s>",
        ),
        (
            LLAMA_2,
            f"<s><|user|>a dog<|assistant|> red{IMAGE} </s><s><|user|>film it<|assistant|>the dog</s>",
            f"·red{IMAGE} </s>·the dog</s>",
        ),
        (
            THINKING,
            f"<|user|>user:a dog</s><|user|>assistant:red{IMAGE}</s>"
            "<|user|>user:film it</s><|user|>assistant:the dog</s>",
            f"·red{IMAGE}</s>·the dog</s>",
        ),
        (NO_END, f"<|user|>a dog<|user|>red{IMAGE}<|user|>film itthe dog</s>", f"·red{IMAGE}·the dog</s>"),
    ],
    ids=["pocket", "chatml", "llama 2", "thinking", "no end"],
)
def test_templates_golden(llm: LanguageModel, template: str | None, text: str, learnt: str) -> None:
    found = chat(llm, template).encode(TWO)
    assert llm.tokenizer.decode(found.ids) == text
    assert labelled(llm, found) == learnt
    assert llm.tokenizer.decode(found.ids[found.said]) == f"red{IMAGE}the dog"
    assert llm.tokenizer.decode(found.ids[found.answer :]) == "the dog</s>"
    assert (found.ids == found.labels)[found.labelled].all()


@pytest.mark.parametrize("template", [CHATML, LLAMA_2])
def test_a_turn_of_the_system(llm: LanguageModel, template: str) -> None:
    found = chat(llm, template).encode([("system", ["be short"]), *TWO[:2]])
    assert "be short" in llm.tokenizer.decode(found.ids)
    assert labelled(llm, found) == f"·red{IMAGE}</s>"


@pytest.mark.parametrize(
    ("template", "turns", "message"),
    [
        (
            None,
            [("system", ["be short"]), *TWO],
            r"does not take these turns \(system, user, assistant, user\): it has no",
        ),
        (NO_SYSTEM, [("system", ["be short"]), *TWO], "the chat template has no place for a turn of the system"),
        (CHATML, [("user", ["a", Call("image")])], "only the assistant calls for image, not the user"),
        (CHATML, [("user", ["a"]), ("assistant", [Call("audio")])], "no signal for audio, .* it has: image, video"),
    ],
)
def test_turns_that_cannot_be(llm: LanguageModel, template: str | None, turns: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        chat(llm, template).encode(turns)


def test_no_template_at_all(llm: LanguageModel) -> None:
    with pytest.raises(BundleError, match=r"tokenizer has no chat template; name one: `llm: \{chat: pocket\}`"):
        Chat(llm.tokenizer, None, {}, llm.signals, llm.ends).encode(TWO)


def test_a_reply_is_the_prompt_continued(llm: LanguageModel) -> None:
    """What `generate` is given, then what it should write: one turn is a case of the same code."""
    user = ("user", [("image", soft()), "describe"])
    taught = llm.encode([user, ("assistant", ["a dog", Call("video")])])
    (embeds,) = llm.embed_dialogues([taught])
    prompt = llm.prompt(user[1])
    assert torch.equal(embeds[: len(prompt)], prompt)
    reply = [*llm.chat.ids("a dog"), *llm.signals.ids["video"], llm.ends[0]]
    assert taught.ids[len(prompt) :].tolist() == taught.labels[len(prompt) :].tolist() == reply
    assert (taught.labels[: len(prompt)] == UNLABELLED).all()
    assert taught.answer == len(prompt)


def test_soft_prompts_stand_where_they_are_put_in_any_turn(llm: LanguageModel) -> None:
    turns = [
        ("user", [("image", soft(3)), "a", ("video", soft(2))]),
        ("assistant", ["red"]),
        ("user", [("image", soft(4))]),
        ("assistant", [("image", soft(5)), "dog"]),
    ]
    found = chat(llm, image="<s>{}<s>").encode(turns)
    assert [len(tokens) for _, tokens in found.soft] == [3, 2, 4, 5]
    embedded = found.embed(llm.embed(found.ids))
    for start, tokens in found.soft:
        assert torch.equal(embedded[start : start + len(tokens)], tokens)
        assert (found.labels[start : start + len(tokens)] == UNLABELLED).all()
    assert labelled(llm, found) == "·red</s>·dog</s>", "the wrapping of a picture is the template's"
    words = [i for i in range(len(found)) if not any(s <= i < s + len(t) for s, t in found.soft)]
    assert torch.equal(embedded[words], llm.embed(found.ids[words]))


@pytest.mark.parametrize("text", ["[IMG0][IMG1]", "</s>", "<|assistant|> sure", "\ue0000\ue001", "{{ bos_token }}"])
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_nobody_says_special_tokens(llm: LanguageModel, role: str, text: str) -> None:
    turns = {"user": ["a"], "assistant": ["b"]} | {role: [text]}
    found = llm.encode(list(turns.items()))
    template = llm.chat.ids("<s><|user|><|assistant|></s>", special=True)
    special = [token for token in found.ids.tolist() if token in llm.tokenizer.all_special_ids]
    assert special == template
    assert text in llm.tokenizer.decode(found.ids)


def test_texts_that_follow_each_other_are_one(llm: LanguageModel) -> None:
    whole, parts = (llm.encode([("user", said), ("assistant", said)]) for said in (["the cat"], ["the c", "", "at"]))
    assert whole.ids.tolist() == parts.ids.tolist()


def test_an_empty_reply_is_its_end(llm: LanguageModel) -> None:
    found = llm.encode([("user", ["a"]), ("assistant", [])])
    assert labelled(llm, found) == "·</s>"
    assert (found.said.tolist(), found.answer) == ([], len(found) - 1)


def test_the_end_is_the_one_of_the_template(llm: LanguageModel) -> None:
    """Llama 3 has three; the first in its settings is not the one that ends a turn."""
    pad = llm.tokenizer.pad_token_id
    made = Chat(llm.tokenizer, CHATML, {}, SignalTokens({}), [pad, llm.ends[0]])
    assert made.encode([("user", ["a"]), ("assistant", ["b"])]).ids[-1] == llm.ends[0]
    none = Chat(llm.tokenizer, NO_END, {}, SignalTokens({}), [pad, llm.ends[0]])
    assert none.encode([("user", ["a"]), ("assistant", ["b"])]).ids[-1] == pad


def test_longer_than_the_context(llm: LanguageModel) -> None:
    with pytest.raises(
        InputError, match=r"the dialogue has 604 tokens, more than the 512 of .*; shorten it by 92 tokens"
    ):
        llm.encode([("user", [("image", soft(600))]), ("assistant", [])])
