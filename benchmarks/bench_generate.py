"""Seconds for a picture, a sound and a film: `text -> X` on the pocket bundle, once it is loaded.

The stock path: the flow of the arrow line with the bundle's own settings, one request at a time, on one core, nothing
from a cache. The clock is the process's CPU time, which on one core is what a quiet machine's clock shows.
"""

from __future__ import annotations

import os
import time

from measure import from_ratios, parser, report

from orchestrator.engine.flow import Flow
from orchestrator.models.bundle import Bundle

GOALS = {"image": 5.0, "audio": 5.0, "video": 10.0}  # seconds
CAPTIONS = ("a guitar", "a low bell, two notes", "a bird")  # of things that are seen and heard


def seconds(modality: str, bundle: Bundle, rounds: int) -> list[float]:
    """Of each round; one before loads everything, and is not counted. Raises SystemExit where nothing is made."""
    flow, times = Flow.arrow(f"text -> {modality}", bundle.root), []
    for i in range(-1, rounds):
        begun = time.process_time()
        made = flow.run(text=CAPTIONS[i % len(CAPTIONS)], seed=i + 1, cache=False)
        if modality not in made.outputs:
            raise SystemExit(f"bench_generate: {bundle.name} made no {modality} of '{CAPTIONS[i % len(CAPTIONS)]}'")
        times.append(time.process_time() - begun)
    return times[1:]


def main() -> None:
    """Measure every modality that a bundle makes."""
    arguments = parser(__doc__)
    arguments.add_argument("--bundle", default="pocket", metavar="NAME|PATH")
    arguments.add_argument("--rounds", type=int, default=5, metavar="N")
    args = arguments.parse_args()
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    bundle = Bundle.open(args.bundle)
    made = [modality for modality in GOALS if modality in bundle.spec.generators]
    figures = [from_ratios(f"text -> {m}", seconds(m, bundle, args.rounds), GOALS[m]) for m in made]
    report(f"seconds on one core, {bundle.name}, loaded", figures, args.json, heading="seconds")


if __name__ == "__main__":
    main()
