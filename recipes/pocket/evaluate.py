"""The numbers of the pocket bundle, as README and the model card print them.

    python -m recipes.pocket.evaluate --bundle pocket --cache .pocket --write
    python -m recipes.pocket.evaluate --cache .pocket --fixed tests/media
    python -m recipes.pocket.evaluate --cache .pocket --stages MM-PT=build/pocket SFT=FOLDER

The first makes the test sets (eval_sets.py) and runs `eval.yaml` on them; judges that were trained anew are taken to
where `eval.yaml` names them. The bundle is an assembled one: in build/pocket itself the parts are still those before
MM-IT. The second makes the small fixed sample of the test suite. The third measures bundles after stages of training,
with the first seed only and without films, and writes STAGES.md.
"""

from __future__ import annotations

import argparse
import shutil
from collections.abc import Mapping
from pathlib import Path

from orchestrator.evaluation import Advanced, Evaluated, Evaluation, evaluate
from recipes.pocket.bundle import NUMBERS, STAGES
from recipes.pocket.eval_sets import SETS, make_fixed, make_sets
from recipes.pocket.eval_table import STAGED, staged, tables, unmet

FILE = Path(__file__).with_name("eval.yaml")
JUDGES = {"judge": "pictures", "motion_judge": "motions", "sound_judge": "sounds"}  # as trained -> as `eval.yaml` says


def take_judges(trained: Path, into: Path) -> list[Path]:
    """Copy the judges that stand in a folder; returns the copies."""
    found = {into / place: trained / name for name, place in JUDGES.items() if (trained / name).is_dir()}
    for copy, judge in found.items():
        shutil.copytree(judge, copy, dirs_exist_ok=True)
    return list(found)


def with_judges(evaluation: Evaluation) -> Evaluation:
    """The measures whose judges are there; the others are told, and what trains their judges."""
    judges = {name: getattr(measure, "judge", ()) for name, measure in evaluation.measures.items()}
    lacking = {name for name, folders in judges.items() if not all((evaluation.folder / f).is_dir() for f in folders)}
    if lacking:
        stages = " ".join(JUDGES)
        print(f"without a judge: {', '.join(sorted(lacking))}; train them by `python -m recipes.pocket {stages}`")
    kept = {name: measure for name, measure in evaluation.measures.items() if name not in lacking}
    return evaluation.model_copy(update={"measures": kept})


def measured(evaluation: Evaluation, bundle: str, limit: int | None = None) -> Evaluated:
    """Run an evaluation, and tell how far it is."""

    def tell(event: Advanced) -> None:
        print(f"{event.measure}: {event.done} of {event.total}", flush=True)

    return evaluate(evaluation, bundle=bundle, limit=limit, on_progress=tell)


def by_stage(evaluation: Evaluation, bundles: Mapping[str, str]) -> str:
    """A table of some numbers of each bundle, with the first seed."""
    names = {row.measure for row in STAGED}
    kept = {name: measure for name, measure in evaluation.measures.items() if name in names}
    short = evaluation.model_copy(update={"measures": kept, "seeds": evaluation.seeds[:1]})
    return staged({stage: measured(short, bundle) for stage, bundle in bundles.items()})


def wrong(found: Evaluated, measure: str) -> list[str]:
    """What was named wrongly, for a look at it."""
    return [f"{case['where']}: {case['said']}" for case in found[measure].cases if not case["names"]["concept"]]


def misrouted(found: Evaluated) -> list[str]:
    """The instructions that were answered with other media than those asked for."""
    cases = [case for case in found["instructions"].cases if case["way"] == ""]
    return [
        f"{case['where']}: {case['route']}, not {case['modality']}"
        for case in cases
        if case["route"] != case["modality"]
    ]


def _stage(text: str) -> tuple[str, str]:
    name, found, bundle = text.partition("=")
    if not (name and found and bundle):
        raise argparse.ArgumentTypeError(f"'{text}' is not NAME=BUNDLE, e.g. SFT=build/pocket/train/mm_it_sft/bundle")
    return name, bundle


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="pocket", help="name or folder")
    parser.add_argument("--cache", type=Path, default=Path(".pocket"))
    parser.add_argument(
        "--judges", type=Path, default=Path("build/pocket"), help="where judges were trained, if they were"
    )
    parser.add_argument("--limit", type=int, help="only so many samples of each, for a quick look")
    parser.add_argument("--write", action="store_true", help=f"also write {NUMBERS.name}, which the card takes in")
    parser.add_argument("--fixed", type=Path, metavar="DIR", help="only make the fixed sample of the test suite")
    parser.add_argument("--stages", nargs="+", type=_stage, metavar="NAME=BUNDLE", help=f"write {STAGES.name} of these")
    args = parser.parse_args()
    if args.fixed:
        make_fixed(args.cache, args.fixed)
        return
    for option, file in (("write", NUMBERS), ("stages", STAGES)):
        if getattr(args, option) and args.limit:
            parser.error(f"{file.name} takes whole numbers: give --{option} or --limit")
    take_judges(args.judges, FILE.parent / "judges")
    evaluation = with_judges(Evaluation.load(FILE))
    make_sets(args.cache, SETS, evaluation.seeds)
    if args.stages:
        STAGES.write_text(f"{by_stage(evaluation, dict(args.stages))}\n")
        print(STAGES.read_text())
        return
    found = measured(evaluation, args.bundle, args.limit)
    found.write(SETS / "numbers.json")
    told = tables(found)
    print("\n".join([told, "", *wrong(found, "picture to text, plain"), *misrouted(found)]))
    print(f"{found.seconds / 60:.0f} minutes; goals that are missed: {', '.join(unmet(found)) or 'none'}")
    if args.write:
        NUMBERS.write_text(f"{told}\n")


if __name__ == "__main__":
    main()
