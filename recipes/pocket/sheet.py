"""The pictures of README and the model card: what the bundle makes of random captions, good and bad.

python -m recipes.pocket.sheet --bundle pocket --into docs/media                    a sheet of each modality
python -m recipes.pocket.sheet --bundle pocket --into docs/media --made audio       of some
python -m recipes.pocket.sheet --film runs/ID/video.mp4 --into docs/media           the film strip of one run

The sheets are `samples-image.png` (pictures), `samples-audio.png` (spectrograms, low notes below) and
`samples-video.png` (film strips).
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from orchestrator.engine.flow import Flow
from orchestrator.models.bundle import Bundle
from orchestrator.nodes.media import Media
from recipes.pocket import mel, sounds, world
from recipes.pocket.eval_media import draw

GAP, LINE, LETTER = 4, 18, 13  # pixels between pictures; height of a caption, and of its letters
SPAN = 8.0  # logarithms of magnitude from white to black: 70 dB
Frame = np.ndarray  # uint8 [h, w, 3]


def frames(medium: Media) -> list[Frame]:
    """A picture, a film's frames, or a sound's spectrogram."""
    if medium.modality == "audio":
        return [spectrogram(medium)]
    return [np.asarray(medium.image)] if medium.modality == "image" else list(medium.video.frames)


def spectrogram(medium: Media) -> Frame:
    """A sound as a picture: time to the right, pitch upwards, the darker the louder."""
    wave = medium.audio.mono().resample(sounds.RATE).samples
    logs = mel.log_mel(torch.tensor(wave)[None])[0]
    level = ((logs - logs.max()) / SPAN + 1).clamp(0, 1)  # t bands
    grey = (255 * (1 - level.T.flip(0))).round().to(torch.uint8).numpy()
    return np.repeat(grey[..., None], 3, 2)


def strip(views: Sequence[Frame], zoom: int = 2) -> Image.Image:
    """Frames side by side, enlarged without smoothing."""
    height, width = views[0].shape[0] * zoom, views[0].shape[1] * zoom
    out = Image.new("RGB", ((width + GAP) * len(views) - GAP, height), "white")
    for i, frame in enumerate(views):
        out.paste(Image.fromarray(frame).resize((width, height), Image.Resampling.NEAREST), (i * (width + GAP), 0))
    return out


def sheet(rows: Sequence[tuple[str, Sequence[Frame]]], columns: int = 1, zoom: int = 2) -> Image.Image:
    """Captions with what was made of them below, `columns` beside each other."""
    strips = [(caption, strip(views, zoom)) for caption, views in rows]
    width, height = max(s.width for _, s in strips) + GAP, max(s.height for _, s in strips) + LINE + GAP
    lines = -(-len(strips) // columns)
    out = Image.new("RGB", (width * columns - GAP, height * lines), "white")
    pen, font = ImageDraw.Draw(out), ImageFont.load_default(LETTER)
    for i, (caption, picture) in enumerate(strips):
        x, y = i % columns * width, i // columns * height
        pen.text((x + 2, y), fitted(caption, width - GAP, lambda text: pen.textlength(text, font)), "black", font)
        out.paste(picture, (x, y + LINE))
    return out


def fitted(caption: str, width: int, measure: Callable[[str], float]) -> str:
    """As much of a caption as is not wider than `width`."""
    shorter = caption
    while measure(shorter) > width:
        shorter = shorter.removesuffix("...")[:-1] + "..."
    return shorter


@dataclass(frozen=True)
class Form:
    """How many samples a sheet has, in how many columns, how much enlarged."""

    count: int
    columns: int
    zoom: int


FORMS = {"image": Form(24, 4, 3), "audio": Form(18, 3, 2), "video": Form(12, 1, 2)}


def samples(flow: Flow, modality: str, count: int) -> list[tuple[str, list[Frame]]]:
    """Random captions, and what the flow makes of them."""
    rng = random.Random(7)  # the first draw: nothing was picked by hand
    concepts = list(world.SOUNDS if modality == "audio" else world.CONCEPTS)
    captions = [draw(modality, rng.choice(concepts), rng).caption() for _ in range(count)]
    made = [flow.run(text=caption, seed=7000 + i).outputs.get(modality) for i, caption in enumerate(captions)]
    return [(caption, frames(medium)) for caption, medium in zip(captions, made, strict=True) if medium]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", default="pocket", help="name or folder")
    parser.add_argument("--film", type=Path, help="a film of a run")
    parser.add_argument("--into", type=Path, default=Path("docs/media"))
    parser.add_argument("--made", nargs="+", choices=list(FORMS), help="modalities; default: all that the bundle makes")
    parser.add_argument("--count", type=int, help="samples a sheet")
    args = parser.parse_args()
    args.into.mkdir(parents=True, exist_ok=True)
    if args.film:
        strip(list(Media.load(args.film).video.frames)).save(args.into / "film.png")
        return
    for modality in args.made or [m for m in FORMS if m in Bundle.open(args.bundle).spec.generators]:
        form, flow = FORMS[modality], Flow.arrow(f"text -> {modality}", args.bundle)
        made = samples(flow, modality, args.count or form.count)
        sheet(made, form.columns, form.zoom).save(args.into / f"samples-{modality}.png")


if __name__ == "__main__":
    main()
