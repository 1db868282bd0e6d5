"""How people ask: the wordings that the language model's corpus is drawn from, and what it answers to mere talk.

`requests.yaml` asks for media, `questions.yaml` for words, `talk.yaml` for nothing; `grammar.yaml` has the words of
descriptions. In them `{d}` is a description or a word for what was shown ("it"), `{c}` the name of a thing and `{a}`
that with its article, `{n}` a noun for a medium, `{l}` a list of nouns or verbs, `{v}` a verb, `{r}` a request, and
`{w}` any words at all.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

MODALITIES = ("image", "audio", "video")  # also the order in which a reply asks for several
Ways = list[str]


def _read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(__file__).with_name(f"{name}.yaml").read_text(encoding="utf-8"))
    return found


_GRAMMAR, _REQUESTS, _QUESTIONS, _TALK = map(_read, ("grammar", "requests", "questions", "talk"))

NOUNS: dict[str, Ways] = _GRAMMAR["nouns"]
SHOWN: dict[str, Ways] = _GRAMMAR["shown"]  # what stands for the thing in a medium that was shown
SENSES: dict[str, Ways] = _GRAMMAR["senses"]
VERBS_OF: dict[str, Ways] = _GRAMMAR["verbs_of"]  # of making a medium
VERBS: dict[str, Ways] = _GRAMMAR["verbs"]  # of motion
SOUND_WORDS: dict[str, Ways] = _GRAMMAR["sound_words"]
COUNTS: dict[str, str] = _GRAMMAR["counts"]
IMPERATIVES: Ways = _GRAMMAR["imperatives"]  # the first words of requests that a wrapper may take
PASSED_OVER: dict[str, Ways] = _GRAMMAR["passed_over"]  # what people say of things and no caption does

_WISHES: Ways = _REQUESTS["wishes"]  # to perceive something, by a verb of a sense
MAKE: dict[str, Ways] = {
    modality: ways + [wish.replace("{v}", SENSES[modality][0]) for wish in _WISHES]
    for modality, ways in _REQUESTS["make"].items()
}
MAKE_NOUN: Ways = _REQUESTS["make_noun"]
MAKE_SHOWN: dict[str, dict[str, Ways]] = _REQUESTS["make_shown"]  # by what is shown and what is wanted
JOINT: dict[str, Ways] = _REQUESTS["joint"]  # several at once, by their names joined with `+`
JOINT_SHOWN: dict[str, Ways] = _REQUESTS["joint_shown"]
JOINT_NOUNS: Ways = _REQUESTS["joint_nouns"]
JOINT_VERBS: Ways = _REQUESTS["joint_verbs"]
JOINT_SENSES: Ways = _REQUESTS["joint_senses"]
JOINT_PAIRS: Ways = _REQUESTS["joint_pairs"]
POLITE: Ways = _REQUESTS["polite"]
MOVE: Ways = _REQUESTS["move"]
FIRST: Ways = _REQUESTS["first"]  # what is shown is described before something is made of it
STEPS: Ways = _REQUESTS["steps"]  # two requests, the second of which needs what the first has given
ASK_THEN: Ways = _REQUESTS["ask_then"]
OF_IT: dict[str, Ways] = _REQUESTS["of_it"]  # what is made of "it", in words of their own

DESCRIBE: Ways = _QUESTIONS["describe"]
DESCRIBE_OF: dict[str, Ways] = _QUESTIONS["describe_of"]
ONLY_WORDS: Ways = _QUESTIONS["only_words"]
KIND: Ways = _QUESTIONS["kind"]
YES_NO: Ways = _QUESTIONS["yes_no"]
ASK: dict[str, Ways] = _QUESTIONS["ask"]  # by attribute
AGAIN: Ways = _QUESTIONS["again"]
OF_MADE: Ways = _QUESTIONS["of_made"]  # a second step that makes nothing

COPY: Ways = _TALK["copy"]
CHATTER: Ways = _TALK["chatter"]  # said beside a request, and not to be followed
CHATTER_WORDS: Ways = _TALK["chatter_words"].split()
QUESTIONS: Ways = _TALK["questions"]
REMARKS: Ways = _TALK["remarks"]
CHAT: dict[str, Ways] = {_TALK["answers"][name]: ways for name, ways in _TALK["chat"].items()}  # by answer
THANKED: str = _TALK["answers"]["thanks"]
FAILED: str = _TALK["answers"]["failed"]
UNKNOWN: str = _TALK["answers"]["unknown"]
NOTHING: str = _TALK["answers"]["nothing"]
SILENT: str = _TALK["answers"]["silent"]
