"""MM-PT of the pocket bundle: its projectors, trained by `orch train` with the recipes that ship. All else is frozen.

python -m recipes.pocket.mm_pt --out build/pocket
"""

from __future__ import annotations

import shutil
from pathlib import Path

from orchestrator.models.bundle import Bundle
from orchestrator.train.recipe import Recipe
from orchestrator.train.trainer import train
from recipes.pocket import options
from recipes.pocket.bundle import place, write_spec

RECIPES = {"mm_pt_input": "mm_pt_input", "mm_pt_output": "mm_pt_output"}  # recipe -> its data


def trained(name: str, data: str, bundle: Path, out: Path) -> Bundle:
    """What a recipe makes of a bundle, with the data of that name. Goes on where it stopped."""
    file, lines = Path(__file__).parents[1] / f"{name}.yaml", out / "data" / f"{data}.jsonl"
    recipe = Recipe.load(file, {"bundle": f'"{bundle}"', "data": f'[{{reader: manifest, path: "{lines}"}}]'})
    made = train(recipe, out / "train" / name, on_event=lambda event: print(event, flush=True))
    return Bundle.open(str(made.bundle))


def run(name: str, data: str, out: Path) -> None:
    """Train the projectors of a recipe and take them over; nothing if all are there."""
    file = Path(__file__).parents[1] / f"{name}.yaml"
    places = {part: out / place(part) for part in Recipe.load(file).tunings()}
    if all(folder.exists() for folder in places.values()):
        return
    made = trained(name, data, write_spec(out).root, out)
    for part, folder in places.items():
        shutil.copytree(made.path(part), folder, dirs_exist_ok=True)


def main() -> None:
    args = options.parse(__doc__)
    for name, data in RECIPES.items():
        run(name, data, args.out.resolve())


if __name__ == "__main__":
    main()
