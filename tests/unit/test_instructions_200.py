"""The published set of instructions, 200 of the kinds that are told, and the one to choose by: no training has their
sentences."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from orchestrator.evaluation.text import plain
from recipes.pocket import corpus, steps, wordings, world
from recipes.pocket.eval_requests import DEVELOPMENT, Request, read

REQUESTS = read()
PARTS = {  # of requests
    "NOUNS", "SHOWN", "VERBS", "VERBS_OF", "SOUND_WORDS", "COUNTS", "MODALITIES", "POLITE", "OF_IT", "SENSES", "JOINT",
    "JOINT_NOUNS", "JOINT_VERBS", "JOINT_SENSES", "JOINT_PAIRS", "CHATTER_WORDS", "IMPERATIVES", "PASSED_OVER",
    "YES_NO",
}  # fmt: skip
DRAWN = 3000  # dialogues of the training grammar


def strings(table: Any) -> Iterator[str]:
    """All strings of a table, however nested; of a mapping, those of its values."""
    if isinstance(table, str):
        yield table
    else:
        for value in table.values() if isinstance(table, dict) else table:
            yield from strings(value)


def either(options: Any) -> str:
    return f"(?:{'|'.join(dict.fromkeys(options))})"


def fill(template: str, **places: str) -> str:
    """A template as a regular expression."""
    found = re.split(r"\{(\w)\}", template)
    return "".join(places[part] if i % 2 else re.escape(part) for i, part in enumerate(found))


NOUN, WORDS = either(map(re.escape, strings(wordings.NOUNS))), r"\w+(?: \w+){0,2}"
SUBJECT = either([r"\{d\}", *map(re.escape, {"it", "this", "that", *strings(wordings.SHOWN)})])
MOVES = either(map(re.escape, strings(wordings.VERBS)))
LISTED = r"(?:{0})(?:, {0})*(?: and {0})?"
VERB = either(strings(wordings.VERBS_OF))
JOINT = {
    LISTED.format("an? " + NOUN): wordings.JOINT_NOUNS,
    LISTED.format(VERB): wordings.JOINT_VERBS,
    LISTED.format(either(strings(wordings.SENSES))): wordings.JOINT_SENSES,
}
SEVERAL = [fill(t.rstrip("?"), l=listed, d=SUBJECT) for listed, table in JOINT.items() for t in table]
SEVERAL += [fill(t, a=f"{VERB} {SUBJECT}", b=LISTED.format(VERB) + " it") for t in wordings.JOINT_PAIRS]
ASKING = [
    fill(t.rstrip("?"), d=SUBJECT, n=NOUN, v=MOVES) for t in (*strings([wordings.MAKE, wordings.JOINT]), *wordings.MOVE)
]
ASKING += [fill(t.replace("a {n}", "{a} {n}"), d=SUBJECT, n=NOUN, a="an?") for t in wordings.MAKE_NOUN]
IN_PARTS = map(re.escape, strings([wordings.OF_MADE, wordings.OF_IT]))
ASK = re.compile(either([*ASKING, *SEVERAL, *IN_PARTS]), re.I)
POLITE = [re.compile(fill(t, r="(.+)"), re.I) for t in ("{r}", *wordings.POLITE)]
OTHERS = [
    t.rstrip(".!?")
    for name, table in vars(wordings).items()
    if name.isupper() and name[0] != "_" and name not in PARTS
    for t in strings(table)
]
SENTENCES = [
    re.compile(fill(t, d=SUBJECT, n=NOUN, v=MOVES, w=WORDS, c=WORDS, r="(.+)", a="(.+)", b="(.+)"), re.I)
    for t in OTHERS
]
SENTENCES += [re.compile(fill(t.rstrip("?."), a=WORDS, n=NOUN, c=WORDS), re.I) for t in wordings.YES_NO]


def asks(text: str) -> bool:
    """Whether the training grammar asks for one medium, or several at once, in these words."""
    return any(ASK.fullmatch(found[1]) for form in POLITE if (found := form.fullmatch(text)))


def trained(request: Request) -> bool:
    """Whether the training grammar has this sentence, whatever it is about."""
    text = request.pattern.rstrip(".!?")
    whole = (found for form in SENTENCES if (found := form.fullmatch(text)))
    return asks(text) or any(all(map(asks, found.groups())) for found in whole)


def test_there_are_200_of_these_kinds() -> None:
    kinds = Counter("several" if len(r.makes) > 1 else r.makes[0] if r.makes else r.shows or "talk" for r in REQUESTS)
    assert sum(kinds.values()) == len({plain(r.text) + str(r.shows) for r in REQUESTS}) == 200
    made = Counter("+".join(r.makes) if len(r.makes) < 2 else "several" for r in REQUESTS)
    assert made == {"image": 40, "audio": 40, "video": 40, "several": 20, "": 60}
    assert Counter(r.shows for r in REQUESTS if not r.makes) == {"image": 10, "audio": 10, "video": 10, None: 30}
    assert all(list(r.makes) == [m for m in wordings.MODALITIES if m in r.makes] for r in REQUESTS)


def test_what_is_chosen_by_is_not_what_is_published() -> None:
    assert not {plain(request.text) for request in read(DEVELOPMENT)} & {plain(request.text) for request in REQUESTS}


def test_what_is_made_is_described_or_shown() -> None:
    concepts = sorted(world.CONCEPTS, key=len, reverse=True)
    for request in REQUESTS:
        assert bool(request.makes) == bool(request.description or request.shows) or not request.makes
        assert not (request.description and request.shows)
        if request.description:
            named = next(c for c in concepts if re.search(rf"\b{c}\b", request.description))
            assert "audio" not in request.makes or named in world.SOUNDS, request.form


@pytest.mark.parametrize(
    "form",
    [
        "Could you draw {a red cat}?", "Please make an image of {a dog}", "Film it.",
        "Draw and play this: {a bell}", "Describe the picture.", "Hello!", "Show me a picture and a sound of {a bell}",
        "Show me what you see in motion", "Who is the big bear?", "Draw {a dog}. Then describe it.",
        "I want {a dog} to move left", "Is this a small dog?",
    ],
)  # fmt: skip
def test_sentences_of_the_training_are_known(form: str) -> None:
    assert trained(Request(form, (), None))


@pytest.mark.parametrize("request_", [*REQUESTS, *read(DEVELOPMENT)], ids=lambda r: r.form)
def test_no_sentence_is_one_of_the_training(request_: Request) -> None:
    assert not trained(request_)


def test_no_request_is_drawn_in_training() -> None:
    rng, vocabulary = random.Random(5), [word for name in world.CONCEPTS for word in name.split()]
    turns = [turn for _ in range(DRAWN) for turn in steps.mixed(vocabulary, rng)]
    drawn = {plain("".join(part for part in turn.request if isinstance(part, str))) for turn in turns}
    assert not drawn & {plain(request.text) for request in REQUESTS}


def test_most_words_are_known() -> None:
    """Sentences are new, words mostly not."""
    rng, vocabulary = random.Random(6), [word for name in world.CONCEPTS for word in name.split()]
    turns = [turn for _ in range(DRAWN) for turn in steps.mixed(vocabulary, rng)]
    texts = [part for turn in turns for part in (*turn.request, turn.answer) if not isinstance(part, corpus.Shown)]
    known = set(plain(" ".join([*texts, *OTHERS])).split())
    words = [word for request in REQUESTS for word in plain(request.text).split()]
    new = Counter(word for word in words if word not in known)
    assert sum(new.values()) < 0.2 * len(words), new
