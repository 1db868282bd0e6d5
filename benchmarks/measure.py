"""How the benchmarks measure: candidates side by side in one run, ratios paired by round.

Machines are noisy, and a second on one is not a second on another. So every round runs every candidate, in rotated
order; a figure is the median over the rounds of the ratio within a round; and a control that compares a candidate with
itself tells how far to trust it. The clock is the process's CPU time unless waiting is what is measured. No torch here:
the peak memory of a child includes what its parent held when it was started.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median, quantiles

Times = dict[str, list[float]]  # candidate -> seconds a round


@dataclass(frozen=True)
class Figure:
    """A ratio of medians' worth: `low` and `high` are the quartiles over the rounds, `goal` the most it should be."""

    name: str
    ratio: float
    low: float
    high: float
    goal: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Child:
    """What a child process used: CPU seconds, the most memory in MB, and what it wrote to stdout."""

    cpu: float
    peak: float
    stdout: str


def rounds(
    candidates: Mapping[str, Callable[[], object]], count: int, clock: Callable[[], float] = time.process_time
) -> Times:
    """Run all candidates `count` times, each round beginning with another one; one round before is not counted."""
    names = list(candidates)
    times: Times = {name: [] for name in names}
    for i in range(-1, count):
        for name in names[i % len(names) :] + names[: i % len(names)]:
            begun = clock()
            candidates[name]()
            if i >= 0:
                times[name].append(clock() - begun)
    return times


def figure(name: str, times: Times, of: str, over: str, goal: float | None = None, note: str = "") -> Figure:
    """The median ratio of two candidates within a round."""
    return from_ratios(name, [a / b for a, b in zip(times[of], times[over], strict=True)], goal, note)


def from_ratios(name: str, ratios: Sequence[float], goal: float | None = None, note: str = "") -> Figure:
    """The figure of ratios that are there."""
    low, _, high = quantiles(ratios, n=4, method="inclusive") if len(ratios) > 1 else [ratios[0]] * 3
    return Figure(name, median(ratios), low, high, goal, note)


def child(command: Sequence[str | Path]) -> Child:
    """Run a command; its CPU time and memory are those of the process alone, and of children that it waited for."""
    process = subprocess.Popen([str(word) for word in command], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        stdout = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed with exit code {process.returncode}")
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return Child(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / unit, stdout)


def parser(doc: str | None) -> argparse.ArgumentParser:
    """The arguments that all benchmarks take."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    return made


def report(title: str, figures: Sequence[Figure], as_json: bool = False, heading: str = "ratio") -> None:
    """Print figures as a table, or as JSON; `heading` says what they are, if no ratios."""
    load = f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores"
    if as_json:
        print(json.dumps({"title": title, "load": load, "figures": [asdict(f) for f in figures]}))
        return
    width = max(len(f.name) for f in figures)
    print(f"\n{title} ({load})\n\n{'':<{width}} {heading:>7}  quartiles      goal")
    for f in figures:
        goal = "" if f.goal is None else f"<= {f.goal:g}{'' if f.ratio <= f.goal else '  missed'}"
        print(f"{f.name:<{width}}  {f.ratio:6.3f}  {f.low:.3f}-{f.high:.3f}  {goal:<15} {f.note}".rstrip())
