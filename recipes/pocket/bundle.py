"""The bundle's files around the weights: `bundle.yaml` at once, and the finished folder with hashes and card.

python -m recipes.pocket.bundle --out build/pocket --into orchestrator/models/pocket
"""

from __future__ import annotations

import argparse
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from safetensors.torch import load_file, save_file

from orchestrator.models import weights
from orchestrator.models.bundle import BUNDLE_FILE, SUMS_FILE, Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.models.weights import write_sums
from recipes.pocket import tokens

LOOKS = {"steps": 12, "guidance": 2.5, "width": 64, "height": 64}
SPEC: dict[str, Any] = {
    "name": "pocket",
    "doc": "A tiny trained MM-LLM: text, drawings, sounds and short films, in and out. About a hundred concepts.",
    "licence": "Apache-2.0; see README.md for the drawings and sounds that it was trained on",
    "llm": {
        "path": "llm",
        "chat": "pocket",
        "media": {modality: f"<{modality}>{{}}</{modality}>" for modality in tokens.SLOTS},
    },
    "encoders": {
        "image": {"path": "encoders/image", "select": "pooled"},
        "audio": {"path": "encoders/audio", "select": "pooled"},
        "video": {"path": "encoders/image", "select": "pooled"},
    },
    "input_projectors": {modality: {"path": f"projectors/{modality}_in"} for modality in tokens.SLOTS},
    "output_projectors": {modality: {"path": f"projectors/{modality}_out"} for modality in tokens.SIGNALS},
    "generators": {
        "image": {"path": "generators/image", "settings": LOOKS},
        "audio": {"path": "generators/audio", "settings": {"steps": 12, "guidance": 2.5, "seconds": 2.048, "peak": 0}},
        "video": {"path": "generators/video", "settings": {**LOOKS, "frames": 8, "fps": 8}},
    },
    "signals": {
        modality: {"count": count, "token": f"[{prefix}{{}}]"} for modality, (prefix, count) in tokens.SIGNALS.items()
    },
}
TUNED = "tuned"  # the folder of what MM-IT made of the parts
CARD, NUMBERS, STAGES = (Path(__file__).with_name(name) for name in ("CARD.md", "NUMBERS.md", "STAGES.md"))


def write_spec(out: Path) -> Bundle:
    """Write `bundle.yaml`; the parts may follow, but projectors that are still to be trained are not in it."""
    out.mkdir(parents=True, exist_ok=True)
    spec = dict(SPEC)
    for group in ("input_projectors", "output_projectors"):
        spec[group] = {name: part for name, part in SPEC[group].items() if (out / part["path"]).is_dir()}
    (out / BUNDLE_FILE).write_text(yaml.safe_dump(spec, sort_keys=False, width=120))
    return Bundle.open(out)


def place(part: str) -> str:
    """Where a part stands within the bundle: `input_projectors.image` -> its folder."""
    group, _, modality = part.partition(".")
    return str(SPEC[group][modality]["path"])


def assemble(out: Path, into: Path) -> None:
    """Copy the parts of `out` into a finished bundle, those of MM-IT first: weights in half precision, card, hashes.
    What stands in `into` is replaced only if all parts are there."""
    places = dict.fromkeys(folders())
    if missing := [folder for folder in places if not list((out / folder).rglob("*.safetensors"))]:
        raise SystemExit(f"{into} stays as it is: {out} lacks {', '.join(missing)}; run the stages that make them")
    shutil.rmtree(into, ignore_errors=True)
    into.mkdir(parents=True)
    shutil.copy(write_spec(out).root / BUNDLE_FILE, into)
    for folder in places:
        tuned = out / TUNED / folder
        shutil.copytree(tuned if tuned.exists() else out / folder, into / folder)
    for file in into.rglob("*.safetensors"):
        halves = {name: t.half() if t.is_floating_point() else t for name, t in load_file(file).items()}
        save_file(halves, file, metadata={"format": "pt"})
    (into / "README.md").write_text(card(Bundle.open(into)))
    write_sums(into, SUMS_FILE)
    size = sum(f.stat().st_size for f in into.rglob("*") if f.is_file())
    print(f"{into}: {size / 1e6:.1f} MB; problems: {verify(Bundle.open(into)) or 'none'}")


def folders() -> Iterator[str]:
    """The folders of all parts of the specification."""
    groups = (group for group in SPEC.values() if isinstance(group, dict))
    parts = (part for group in groups for part in (group, *group.values()) if isinstance(part, dict))
    yield from (part["path"] for part in parts if "path" in part)


def card(bundle: Bundle) -> str:
    """The model card, with the parts' parameters and the numbers that `evaluate` last wrote."""
    text = CARD.read_text()
    for part in bundle.names():
        shapes = [t["shape"] for file in weights.files(bundle.path(part)) for t in weights.tensors(file).values()]
        text = text.replace(f"{{{part}}}", f"{sum(map(math.prod, shapes)) / 1e6:.2f} M")
    for place, file in {"{numbers}": NUMBERS, "{stages}": STAGES}.items():
        text = text.replace(place, file.read_text().strip() if file.exists() else "Not measured yet.")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("build/pocket"))
    parser.add_argument("--into", type=Path, default=Path("orchestrator/models/pocket"))
    args = parser.parse_args()
    assemble(args.out, args.into)


if __name__ == "__main__":
    main()
