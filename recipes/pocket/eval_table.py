"""The numbers of the pocket bundle as tables of README and the model card, with the goals that they are held to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from orchestrator.evaluation import Evaluated, Number
from orchestrator.evaluation.report import DIFFERENCE

NONE = "–"
FILMS = "text to film"  # takes longer to measure than all else
BEHIND = -2.0  # points that the signal may be behind the caption


@dataclass(frozen=True)
class Row:
    """A line of a table: a number of a measure, for all its ways; `goal` in per cent."""

    name: str
    measure: str
    number: str
    goal: float | None = None
    ways: tuple[str, ...] = ("",)
    modality: str | None = None  # any
    behind: float | None = None  # points that the difference may reach: signal minus caption

    def of(self, found: Evaluated, way: str) -> Number | None:
        """Its number in a way, if it was measured and there was anything to count."""
        known = (measure for measure in found.measures if measure.name == self.measure)
        fitting = (n for measure in known for n in measure[self.number] if n.way == way)
        return next((n for n in fitting if self.modality in (None, n.modality)), None)


def _understood(measure: str, goals: dict[str, float | None]) -> list[Row]:
    return [Row(f"{measure}: {group}", measure, f"names the {group}", goal) for group, goal in goals.items()]


def _made(measure: str, goal: float, groups: Sequence[str]) -> list[Row]:
    ways = ("signal", "caption", DIFFERENCE)
    concept = Row(f"{measure}: concept", measure, "shows the concept", goal, ways, behind=BEHIND)
    others = [Row(f"{measure}: {group}", measure, f"shows the {group}", 85, ways) for group in groups]
    return [concept, *others, Row(f"{measure}: one whole signal", measure, "one signal", 100, ways)]


UNDERSTOOD = [
    *_understood("picture to text, plain", {"concept": 90}),
    *_understood("picture to text, random scenes", {"concept": None, "ground": None, "place": None}),
    *_understood("sound to text", {"concept": 85, "pitch": None, "loudness": None, "rhythm": None}),
    *_understood("film to text", {"concept": 85, "motion": 80}),
]
MADE = [
    *_made("text to picture", 90, ("ground", "place")),
    *_made("text to sound", 85, ("pitch", "loudness", "rhythm")),
    *_made(FILMS, 85, ("ground", "place", "motion")),
]
ASKED, SIGNALS, STEPS, ALL = "instructions", "signals of instructions", "two steps", "all"
FOLLOWED = [
    Row("the media asked for, and only they", ASKED, "right route", 99, modality=ALL),
    Row("the same, by a router that looks for words", ASKED, "right route", None, ("keywords",), ALL),
    Row("replies whose signals are all well-formed", SIGNALS, "well-formed signals", 100, modality=ALL),
    Row("as many of each as were asked for", SIGNALS, "the signals asked for", modality=ALL),
    Row("in two steps: the media asked for, in order", STEPS, "the media asked for, in order", modality=ALL),
    Row("in two steps: the last answer names the concept", STEPS, "names the concept", modality=ALL),
]

STAGED = [row for row in (*UNDERSTOOD, *MADE) if row.number.endswith("the concept") and row.measure != FILMS]
STAGED += [FOLLOWED[0], *(row for row in FOLLOWED if row.measure == STEPS)]


def tables(found: Evaluated) -> str:
    """The numbers in Markdown: what is understood, what is made, how instructions are followed."""
    made = ("made, as the judge sees it", "signal bridge", "caption bridge", "signal - caption")
    measured = {measure.name for measure in found.measures}
    return "\n\n".join(
        "\n".join(_table(found, heads, rows))
        for heads, rows in (
            (("understood: the text names", "right"), UNDERSTOOD),
            (made, MADE),
            (("instructions in unseen words", "right"), FOLLOWED),
        )
        if any(row.measure in measured for row in rows)
    )


def staged(found: Mapping[str, Evaluated]) -> str:
    """A few of the numbers after each stage of training, by the signal bridge, as a table in Markdown."""
    rows = [(row, [row.of(stage, row.ways[0]) for stage in found.values()]) for row in STAGED]
    heads = [_line("after", *found), _line(*["---"] * (1 + len(found)))]
    return "\n".join([*heads, *(_line(row.name, *(str(n or NONE) for n in numbers)) for row, numbers in rows)])


def unmet(found: Evaluated) -> list[str]:
    """The lines that miss their goals."""
    return [row.name for row in (*UNDERSTOOD, *MADE, *FOLLOWED) if _met(row, found) is False]


def _table(found: Evaluated, heads: Sequence[str], rows: Sequence[Row]) -> Iterator[str]:
    yield _line(*heads, "of", "goal", "")
    yield _line(*["---"] * (len(heads) + 3))
    for row in rows:
        numbers = [row.of(found, way) for way in row.ways]
        values = [NONE if number is None else str(number) for number in numbers]
        count = next((str(number.count) for number in numbers if number), NONE)
        met = {True: "met", False: "missed", None: ""}[_met(row, found)]
        yield _line(row.name, *values, count, _goal(row), met)


def _met(row: Row, found: Evaluated) -> bool | None:
    """Whether a row meets its goals; None if it has none, or nothing was counted."""
    numbers = {way: number for way in row.ways if (number := row.of(found, way))}
    if row.goal is None or not numbers:
        return None
    behind = numbers.pop(DIFFERENCE, None)
    enough = all(round(100 * number.mean, 1) >= row.goal for number in numbers.values())
    return enough and (row.behind is None or behind is None or round(100 * behind.mean, 1) >= row.behind)


def _goal(row: Row) -> str:
    if row.goal is None:
        return ""
    return f"{row.goal:g} %" + (f", {row.behind:+g} points" if row.behind is not None else "")


def _line(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
