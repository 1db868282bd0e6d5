"""The metrics: what they run, what they note of each reply, and the numbers that come of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from orchestrator.errors import nearest
from orchestrator.evaluation import answers, flows, keywords, text
from orchestrator.evaluation.answers import Values
from orchestrator.evaluation.judge import Judge
from orchestrator.evaluation.requests import TEXT, Asked
from orchestrator.flow.plan import Plan
from orchestrator.flow.spec import FlowSpec

if TYPE_CHECKING:
    from orchestrator.engine.flow import Flow
    from orchestrator.models.bundle import Bundle
    from orchestrator.nodes.ports import Reply

Case = dict[str, Any]  # what is noted of one reply; plain values
Noted = Sequence[tuple[Asked, Case]]
KEYWORDS = "keywords"  # the way of the baseline
POINTS = frozenset({"CIDEr", "BLEU"})  # the numbers that are no shares


@dataclass(frozen=True)
class Score:
    """A number and how many samples it is of. A share is from 0 to 1."""

    value: float
    of: int


class Metric(ABC):
    """A kind of measure. It sees batches of replies, and keeps plain values only."""

    ways: tuple[str, ...] = ("",)  # variants of the flow that are compared
    baselines: ClassVar[tuple[str, ...]] = ()  # ways for which no flow runs
    merges: ClassVar[bool] = False  # whether samples that ask the same are one, with all their references
    total: ClassVar[bool] = False  # whether there is a number over all modalities

    @abstractmethod
    def flow(self, inputs: tuple[str, ...], requests: Sequence[Asked], bundle: Bundle) -> FlowSpec:
        """The flow for requests with these inputs, where the evaluation names none. Raises UserError if none does."""

    def way(self, spec: FlowSpec, way: str) -> FlowSpec:
        """A variant of a flow."""
        return spec

    @abstractmethod
    def lacks(self, plan: Plan, requests: Sequence[Asked]) -> str | None:
        """What a flow lacks for this metric, if anything."""

    def misfits(self, requests: Sequence[Asked]) -> list[str]:
        """What is wrong with samples, for this metric, beside their form."""
        return []

    @abstractmethod
    def groups(self, asked: Asked) -> Sequence[str]:
        """The modalities under which a request counts; none: there is nothing to measure in it."""

    @abstractmethod
    def see(self, flow: Flow, asked: Sequence[Asked], made: Sequence[Values], group: str) -> list[Case]:
        """What there is to note of a batch."""

    def baseline(self, way: str, asked: Asked) -> Case:
        """What there is to note of a request in a way for which no flow runs; nothing without such ways."""
        return {}

    @abstractmethod
    def scores(self, noted: Noted) -> dict[str, Score]:
        """Name -> number, over what was noted for one modality, way and seed."""


class Captions(Metric):
    """Media to text."""

    merges = True

    def flow(self, inputs: tuple[str, ...], requests: Sequence[Asked], bundle: Bundle) -> FlowSpec:
        return flows.one_turn(inputs)

    def lacks(self, plan: Plan, requests: Sequence[Asked]) -> str | None:
        return None if flows.output(plan, TEXT) else "no text among its outputs"

    def groups(self, asked: Asked) -> Sequence[str]:
        return (asked.seen,) if asked.references or asked.labels else ()

    def see(self, flow: Flow, asked: Sequence[Asked], made: Sequence[Values], group: str) -> list[Case]:
        source = str(flows.output(flow.plan, TEXT))
        return [
            _said(request, values[source].text if source in values else "")
            for request, values in zip(asked, made, strict=True)
        ]

    def scores(self, noted: Noted) -> dict[str, Score]:
        pairs = [(case["said"], asked.references) for asked, case in noted if asked.references]
        found = {"exact match": share(case["exact"] for _, case in noted if "exact" in case)}
        found |= {f"names the {group}": score for group, score in by_group(noted, "names").items()}
        if pairs:
            said, references = zip(*pairs, strict=True)
            found["CIDEr"] = Score(text.cider(said, references), len(pairs))
            found["BLEU"] = Score(text.bleu(said, references), len(pairs))
        return found


def _said(asked: Asked, said: str) -> Case:
    right = {"exact": text.exact(said, asked.references)} if asked.references else {}
    return {"said": said} | right | {"names": {g: text.names(said, words) for g, words in asked.labels.items()}}


class Media(Metric):
    """Text to media, by each bridge."""

    def __init__(self, judges: Sequence[Judge], bridges: Sequence[str]) -> None:
        self.judges, self.ways = judges, tuple(bridges)

    def flow(self, inputs: tuple[str, ...], requests: Sequence[Asked], bundle: Bundle) -> FlowSpec:
        return flows.one_turn(inputs, made=sorted({modality for asked in requests for modality in asked.expected}))

    def way(self, spec: FlowSpec, way: str) -> FlowSpec:
        return flows.bridged(spec, way)

    def lacks(self, plan: Plan, requests: Sequence[Asked]) -> str | None:
        wanted = dict.fromkeys(modality for asked in requests for modality in asked.expected)
        missing = [modality for modality in wanted if not flows.output(plan, modality)]
        return f"no {' and no '.join(missing)} among its outputs" if missing else None

    def misfits(self, requests: Sequence[Asked]) -> list[str]:
        problems: dict[str, None] = {}
        for asked in requests:
            for modality in self.groups(asked):
                problems |= dict.fromkeys(self._unknown(asked, modality))
        return list(problems)

    def groups(self, asked: Asked) -> Sequence[str]:
        return tuple(dict.fromkeys(asked.expected))

    def see(self, flow: Flow, asked: Sequence[Asked], made: Sequence[Values], group: str) -> list[Case]:
        source = str(flows.output(flow.plan, group))
        media = {i: _first(values[source]) for i, values in enumerate(made) if source in values}
        seen: list[dict[str, str]] = [{} for _ in made]
        for judge in self._judging(group) if media else ():
            for i, found in zip(media, judge(list(media.values())), strict=True):
                seen[i] |= found
        counts = [answers.called(flow.plan, values).count(group) for values in made]
        known = self._words(group)
        return [
            {"seen": found, "signals": count, "shows": _right(request, found, known)}
            for request, found, count in zip(asked, seen, counts, strict=True)
        ]

    def scores(self, noted: Noted) -> dict[str, Score]:
        found = {f"shows the {group}": score for group, score in by_group(noted, "shows").items()}
        return found | {"one signal": share(case["signals"] == 1 for _, case in noted)}

    def _judging(self, modality: str) -> list[Judge]:
        """The judges of a modality; what a later one says of a group goes before what an earlier one says."""
        return [judge for judge in reversed(self.judges) if modality in judge.kind.modalities]

    def _words(self, modality: str) -> dict[str, list[str]]:
        """The groups that are judged in a modality, and their words."""
        judging = self._judging(modality)
        return {group: list(words.values()) for judge in judging for group, words in judge.groups.items()}

    def _unknown(self, asked: Asked, modality: str) -> Iterator[str]:
        """What no judge can say of a sample."""
        known = self._words(modality)
        if not known:
            yield f"no judge for {modality}; give `judge` a checkpoint that classifies {modality}"
        elif not known.keys() & asked.labels.keys():
            has = ", ".join(asked.labels) or "none"
            yield f"{asked.where}: nothing to judge: its labels are {has}, the judges know {', '.join(known)}"
        for group in known.keys() & asked.labels.keys():
            if not {text.plain(word) for word in asked.labels[group]} & {text.plain(word) for word in known[group]}:
                word = asked.labels[group][0]
                yield f"{asked.where}: no judge knows the {group} '{word}'.{nearest(word, known[group])}"


def _right(asked: Asked, seen: Mapping[str, str], known: Iterable[str]) -> dict[str, bool]:
    """Group -> whether a judge saw one of the right words; nothing was made: no."""
    return {
        group: text.plain(seen.get(group, "")) in {text.plain(word) for word in words}
        for group, words in asked.labels.items()
        if group in known
    }


class _Replies(Metric):
    """What the LLM asks for, with every signal of the bundle allowed and none required."""

    total = True

    def flow(self, inputs: tuple[str, ...], requests: Sequence[Asked], bundle: Bundle) -> FlowSpec:
        return flows.one_turn(inputs, allowed=list(bundle.spec.signals))

    def lacks(self, plan: Plan, requests: Sequence[Asked]) -> str | None:
        follows = flows.sources(plan, "Signals") or answers.acting(plan)
        return None if follows else "no decode, route or agent node, so no signals"

    def groups(self, asked: Asked) -> Sequence[str]:
        return (asked.route,)


class SignalCounts(_Replies):
    """Whether signals are well-formed and complete."""

    def __init__(self, device: str = "auto") -> None:
        self.device = device

    def see(self, flow: Flow, asked: Sequence[Asked], made: Sequence[Values], group: str) -> list[Case]:
        found = [Counter(answers.called(flow.plan, values)) for values in made]
        broken = self._broken(flow, [answers.replies(flow.plan, values) for values in made])
        return [
            {"signals": dict(count), "broken": loose, "asked": dict(Counter(request.expected))}
            for request, count, loose in zip(asked, found, broken, strict=True)
        ]

    def scores(self, noted: Noted) -> dict[str, Score]:
        cases = [case for _, case in noted]
        return {
            "well-formed signals": share(not case["broken"] for case in cases),
            "the signals asked for": share(not case["broken"] and case["signals"] == case["asked"] for case in cases),
        }

    def _broken(self, flow: Flow, replies: Sequence[Sequence[Reply]]) -> list[int]:
        """How many signal tokens of each run's replies belong to no whole signal; none if the LLM gives text only."""
        if all(reply.ids is None for some in replies for reply in some):
            return [0] * len(replies)
        with flow.lend("llm", self.device) as llm:
            where = llm.signals.where
        return [sum(_loose(reply, where) for reply in some) for some in replies]


class Routes(_Replies):
    """Whether the modalities asked for are there, and only they, beside what a router by keywords would make."""

    baselines = (KEYWORDS,)

    def see(self, flow: Flow, asked: Sequence[Asked], made: Sequence[Values], group: str) -> list[Case]:
        return [{"route": "+".join(sorted(set(answers.made(flow.plan, values)))) or TEXT} for values in made]

    def baseline(self, way: str, asked: Asked) -> Case:
        return {"route": keywords.route(asked.text)}

    def scores(self, noted: Noted) -> dict[str, Score]:
        return {"right route": share(case["route"] == asked.route for asked, case in noted)}


def share(right: Iterable[bool]) -> Score:
    """The share of those that are right."""
    counted = list(right)
    return Score(sum(counted) / max(1, len(counted)), len(counted))


def by_group(noted: Noted, key: str) -> dict[str, Score]:
    """The share of right ones for each group of labels, over the samples that have it."""
    groups = dict.fromkeys(group for _, case in noted for group in case[key])
    return {group: share(case[key][group] for _, case in noted if group in case[key]) for group in groups}


def _loose(reply: Reply, where: Mapping[int, Any]) -> int:
    ids = [] if reply.ids is None else reply.ids.tolist()
    return sum(token in where for token in ids) - sum(span.stop - span.start for span in reply.spans)


def _first(made: Any) -> Any:
    return made[0] if isinstance(made, tuple) else made
