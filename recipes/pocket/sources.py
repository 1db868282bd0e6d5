"""The open drawing sets: fetched from the npm registry, rendered once, kept as one .npz a set.

    python -m recipes.pocket.sources --cache .pocket

Needs `npm` and `rsvg-convert` (Debian: librsvg2-bin). Licences: see the model card (orchestrator/models/pocket).
"""

from __future__ import annotations

import argparse
import io
import json
import subprocess
import tarfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from recipes.pocket.world import CONCEPTS

SIDE = 96  # px; scenes are 64, so a drawing is only ever shrunk
TRAIN_SETS = ("noto", "noto-v1", "fluent-emoji", "fluent-emoji-flat", "emojione", "fxemoji", "streamline-emojis")
TEST_SET = "twemoji"  # the published test only: no recipe may train on it
GROUPS = ("Smileys & Emotion", "Animals & Nature", "Food & Drink", "Travel & Places", "Activities", "Objects")
FRAMES = 8


def fetch(package: str, cache: Path) -> Path:
    """`npm pack` a package into the cache, once; returns the unpacked folder."""
    folder = cache / "npm" / package.replace("/", "_").lstrip("@")
    if not folder.exists():
        (cache / "npm").mkdir(parents=True, exist_ok=True)
        name = subprocess.run(
            ["npm", "pack", package, "--silent"], cwd=cache / "npm", check=True, capture_output=True, text=True
        ).stdout.split()[-1]
        with tarfile.open(cache / "npm" / name) as archive:
            archive.extractall(folder, filter="data")
    return folder / "package"


def emoji_names(cache: Path) -> dict[str, str]:
    """Emoji name -> character, for the groups that show things, and the concepts of other groups."""
    table = json.loads((fetch("unicode-emoji-json", cache) / "data-by-emoji.json").read_text())
    wanted = set(CONCEPTS.values())
    return {v["name"]: k for k, v in table.items() if v["group"] in GROUPS or v["name"] in wanted}


def vocabulary(cache: Path) -> list[str]:
    """The words to copy: those of all emoji names."""
    return sorted({w for name in emoji_names(cache) for w in name.lower().split() if w.isalpha()})


def render_svg(body: str, box: tuple[float, float, float, float]) -> np.ndarray | None:
    """An SVG body -> uint8 [SIDE, SIDE, 4], fitted into the square; None where librsvg refuses it (huge filters)."""
    left, top, width, height = box
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}" width="{SIDE}" height="{SIDE}">{body}</svg>'
    )
    command = ["rsvg-convert", "--unlimited", "-w", str(SIDE), "-h", str(SIDE)]
    done = subprocess.run(command, input=svg.encode(), capture_output=True)
    return np.asarray(Image.open(io.BytesIO(done.stdout)).convert("RGBA")) if done.returncode == 0 else None


def svg_set(name: str, cache: Path) -> dict[str, np.ndarray]:
    """All named drawings of an Iconify set, by emoji name."""
    icons = json.loads((fetch(f"@iconify-json/{name}", cache) / "icons.json").read_text())
    aliases = {k: v["parent"] for k, v in icons.get("aliases", {}).items()}
    by_key = {k.replace("-", ""): k for k in [*aliases, *icons["icons"]]}

    def one(item: tuple[str, str]) -> tuple[str, np.ndarray | None]:
        key = by_key.get("".join(c for c in item[0].lower() if c.isalnum()))
        icon = icons["icons"].get(aliases.get(key or "", key or ""))
        if icon is None:
            return item[0], None
        box = [icon.get(k, icons.get(k, d)) for k, d in (("left", 0), ("top", 0), ("width", 16), ("height", 16))]
        return item[0], render_svg(icon["body"], (box[0], box[1], box[2], box[3]))

    with ThreadPoolExecutor(2) as pool:
        return {name: pixels for name, pixels in pool.map(one, emoji_names(cache).items()) if pixels is not None}


def webp_path(folder: Path, char: str) -> Path | None:
    """The file of an emoji in a Lobehub package (named by code points, with or without the variation selector)."""
    code = "-".join(f"{ord(c):04x}" for c in char)
    paths = (folder / "assets" / f"{c}.webp" for c in (code, code.replace("-fe0f", "")))
    return next((p for p in paths if p.exists()), None)


def render_webp(path: Path, frames: int = 1) -> np.ndarray:
    """`frames` frames of a webp, uniformly spaced over its loop -> uint8 [frames, SIDE, SIDE, 4]."""
    image = Image.open(path)
    total = getattr(image, "n_frames", 1)
    out = []
    for i in range(frames):
        image.seek(i * total // frames)
        out.append(np.asarray(image.convert("RGBA").resize((SIDE, SIDE), Image.Resampling.LANCZOS)))
    return np.stack(out)


def set_3d(cache: Path) -> dict[str, np.ndarray]:
    """The 3D drawings, by emoji name: the generator's style."""
    folder = fetch("@lobehub/fluent-emoji-3d", cache)
    paths = {name: webp_path(folder, char) for name, char in emoji_names(cache).items()}
    return {name: render_webp(path)[0] for name, path in paths.items() if path}


def set_animated(cache: Path) -> dict[str, np.ndarray]:
    """The animations with at least two different frames: name -> uint8 [FRAMES, SIDE, SIDE, 4]."""
    found: dict[str, np.ndarray] = {}
    for part in range(1, 5):
        folder = fetch(f"@lobehub/fluent-emoji-anim-{part}", cache)
        for name, char in emoji_names(cache).items():
            path = webp_path(folder, char)
            if path and getattr(Image.open(path), "n_frames", 1) > FRAMES:
                found[name] = render_webp(path, FRAMES)
    return found


def drawings(name: str, cache: Path) -> dict[str, np.ndarray]:
    """A set by name (`3d`, `animated`, or an Iconify set): rendered on the first call, then read from the cache."""
    path = cache / f"{name}.npz"
    if not path.exists():
        makers = {"3d": set_3d, "animated": set_animated}
        made = makers[name](cache) if name in makers else svg_set(name, cache)
        cache.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(path, names=np.array(list(made)), pixels=np.stack(list(made.values())))
    with np.load(path) as file:
        return dict(zip(file["names"].tolist(), file["pixels"], strict=True))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path, default=Path(".pocket"))
    cache = parser.parse_args().cache
    for name in ("3d", "animated", *TRAIN_SETS, TEST_SET):
        found = drawings(name, cache)
        print(
            f"{name:20s} {len(found):5d} drawings, {sum(c in found for c in CONCEPTS.values()):3d} concepts", flush=True
        )


if __name__ == "__main__":
    main()
