"""MM-PT of the pocket bundle: its projectors, trained by `orch train` with the recipes that ship. All else is frozen.

python -m recipes.pocket.mm_pt --out build/pocket
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import yaml

from orchestrator.models.bundle import Bundle
from orchestrator.train.recipe import Recipe
from orchestrator.train.trainer import train
from recipes.pocket import options
from recipes.pocket.bundle import place, write_spec

RECIPES = ("mm_pt_input", "mm_pt_output")


def trained(name: str, bundle: Path, out: Path) -> Bundle:
    """What a recipe makes of a bundle, with the data in `out`. Goes on where it stopped."""
    file = Path(__file__).parents[1] / f"{name}.yaml"
    entries = yaml.safe_load(file.read_text())["data"]
    data = [{**entry, "path": str(out / "data" / Path(entry["path"]).name)} for entry in entries]
    recipe = Recipe.load(file, {"bundle": json.dumps(str(bundle)), "data": json.dumps(data)})
    made = train(recipe, out / "train" / name, on_event=lambda event: print(event, flush=True))
    return Bundle.open(str(made.bundle))


def run(name: str, out: Path) -> None:
    """Train the projectors of a recipe and take them over; nothing if all are there."""
    file = Path(__file__).parents[1] / f"{name}.yaml"
    places = {part: out / place(part) for part in Recipe.load(file).tunings()}
    if all(folder.exists() for folder in places.values()):
        return
    made = trained(name, write_spec(out).root, out)
    for part, folder in places.items():
        shutil.copytree(made.path(part), folder, dirs_exist_ok=True)


def main() -> None:
    args = options.parse(__doc__)
    for name in RECIPES:
        run(name, args.out.resolve())


if __name__ == "__main__":
    main()
