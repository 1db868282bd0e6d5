"""The whole of `image -> text -> video` by Orch, beside a script written by hand on transformers and diffusers.

Same weights, same steps, same seed, same film; each run in a fresh process (see pocket_by_orch.py, pocket_by_hand.py).
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from measure import Child, Figure, child, from_ratios, parser, report

from orchestrator.models.bundle import Bundle

HERE = Path(__file__).parent
SCRIPTS = {"orch": HERE / "pocket_by_orch.py", "hand": HERE / "pocket_by_hand.py"}


def compare(bundle: Path, picture: Path, rounds: int) -> list[Figure]:
    """Both scripts in fresh processes, round by round, the other one first each time."""
    os.environ |= {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    runs: dict[str, list[Child]] = {who: [] for who in SCRIPTS}
    for i in range(rounds):
        for who in list(SCRIPTS)[:: 1 if i % 2 else -1]:
            runs[who].append(child([sys.executable, SCRIPTS[who], bundle, picture]))
    said = {who: [json.loads(run.stdout) for run in runs[who]] for who in runs}
    made = {(s["text"], s["film"]) for lines in said.values() for s in lines}
    same = "the same text and film" if len(made) == 1 else "NOT the same text and film"

    def ratio(name: str, values: dict[str, list[float]], unit: str, more: str = "") -> Figure:
        note = f"{min(values['orch']):.1f} and {min(values['hand']):.1f} {unit} at best{more and f'; {more}'}"
        pairs = zip(values["orch"], values["hand"], strict=True)
        return from_ratios(f"{name}: Orch / by hand", [a / b for a, b in pairs], note=note)

    return [
        ratio("whole process, CPU", {w: [r.cpu for r in runs[w]] for w in runs}, "s"),
        ratio("second run, CPU", {w: [s["seconds"] for s in said[w]] for w in said}, "s", same),
        ratio("most memory", {w: [r.peak for r in runs[w]] for w in runs}, "MB"),
    ]


def main() -> None:
    """Compare on a bundle that ships, or on any other that reads pictures and makes videos."""
    arguments = parser(__doc__)
    arguments.add_argument("--bundle", default="pocket", metavar="NAME|PATH")
    arguments.add_argument("--picture", type=Path, default=HERE.parent / "flows/media/dog.png", metavar="FILE")
    arguments.add_argument("--rounds", type=int, default=3, metavar="N")
    args = arguments.parse_args()
    if not Path(args.bundle).is_dir() and args.bundle not in Bundle.known():
        print(f"bench_pocket: skipped, there is no bundle '{args.bundle}' (`make pocket` trains it)")
        return
    bundle = Bundle.open(args.bundle)
    figures = compare(bundle.root, args.picture, args.rounds)
    report(f"image -> text -> video on {bundle.name}", figures, args.json)


if __name__ == "__main__":
    main()
