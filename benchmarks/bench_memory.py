"""The peak memory of a flow: with a limit under which parts take turns, and with all of them loaded.

An encoder, an LLM and a generator, one after the other, on the CPU (see large_bundle.py). Every run is a fresh process;
what one takes that imports the same and loads nothing is subtracted. What remains is weights and activations, over the
bytes of the largest part.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from measure import Figure, child, from_ratios, parser, report

HERE = Path(__file__).parent
SLACK = 1.05  # of the limit over the largest part


def sizes(folder: Path) -> dict[str, int]:
    """Bytes of the weights of each part."""
    from orchestrator.models.bundle import Bundle

    bundle = Bundle.open(folder)
    return {part: bundle.size(part) for part in bundle.names()}


def compare(folder: Path, count: int) -> list[Figure]:
    """All ways in fresh processes, round by round."""
    bytes_of = sizes(folder)
    largest = max(bytes_of.values())
    ways = {"none": "none", "limit": str(int(largest * SLACK)), "all": "all"}
    peaks: dict[str, list[float]] = {way: [] for way in ways}
    for i in range(count):
        for way in list(ways)[:: 1 if i % 2 else -1]:
            peaks[way].append(child([sys.executable, HERE / "memory_by_orch.py", folder, ways[way]]).peak)
    more = {way: [peak - min(peaks["none"]) for peak in peaks[way]] for way in ("limit", "all")}
    over = largest / 2**20
    note = f"the largest part has {over:.0f} MB, all {sum(bytes_of.values()) / 2**20:.0f}"
    return [
        from_ratios("peak under --memory / largest part", [m / over for m in more["limit"]], 1.2, note),
        from_ratios("peak with all loaded / largest part", [m / over for m in more["all"]]),
        from_ratios("the one / the other", [a / b for a, b in zip(more["limit"], more["all"], strict=True)]),
    ]


def main() -> None:
    """Make the bundle, and run it."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    arguments = parser(__doc__)
    arguments.add_argument("--rounds", type=int, default=3, metavar="N")
    args = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        child([sys.executable, HERE / "large_bundle.py", folder])
        figures = compare(Path(folder), args.rounds)
    report("encoder, LLM and generator in turns", figures, args.json)


if __name__ == "__main__":
    main()
