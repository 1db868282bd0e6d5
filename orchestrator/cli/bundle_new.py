"""`orch bundle new`: a bundle of one's own from parts.

orch bundle new mine --llm ~/models/qwen --encoder image=~/models/clip --generator video=~/models/zeroscope
orch bundle new mine --from pocket --encoder image=hub:openai/clip-vit-base-patch32 --fetch
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.cli.options import pairs
from orchestrator.cli.tables import plain_table
from orchestrator.errors import UserError, nearest

if TYPE_CHECKING:
    from orchestrator.models.bundle.new import Made, Wish

# option -> the group of parts that it names
PARTS = {"--encoder": "encoders", "--generator": "generators"}
KINDS = {"--projector": "input_projectors", "--output-projector": "output_projectors"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of `orch bundle new`."""
    where = "WHERE is a folder, or hub:org/name@revision"
    parser.add_argument("name", metavar="NAME", help="its name; its folder too, unless --out says another")
    parser.add_argument("--out", type=Path, metavar="DIR", help="its folder (default: ./NAME)")
    parser.add_argument("--from", dest="base", default="", metavar="BUNDLE", help="takes the other parts from this one")
    parser.add_argument("--llm", metavar="WHERE", help=f"a causal LM of transformers; {where}")
    for option, text in (("--encoder", "of transformers"), ("--generator", "a pipeline of diffusers")):
        parser.add_argument(option, action="append", default=[], metavar="MODALITY=WHERE", help=text)
    for option, text in (("--projector", "kind of a new input projector (default: mlp)"),
                         ("--output-projector", "and of an output projector (default: transformer)")):  # fmt: skip
        parser.add_argument(option, action="append", default=[], metavar="MODALITY=KIND", help=text)
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE",
        help="another field of the file, e.g. encoders.image.select=patches, signals.video.count=24",
    )  # fmt: skip
    parser.add_argument("--copy", action="store_true", help="copy the parts into the folder, instead of naming them")
    parser.add_argument("--fetch", action="store_true", help="fetch parts of the hub that are not on this machine")


def main(args: argparse.Namespace) -> int:
    """Make the bundle, and say what to type next."""
    from rich.console import Console

    from orchestrator.models.bundle.new import make

    wish = wanted(args)
    made = make(wish)
    console = Console()
    bundle = made.bundle
    rows = ((part, bundle.kind(part), str(bundle.path(part))) for part in bundle.names())
    console.print(plain_table(("part", "kind", "folder"), rows))
    for line in _told(wish, made):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return 0


def wanted(args: argparse.Namespace) -> Wish:
    """What the arguments ask for. Raises UserError with all that is wrong with their words."""
    from orchestrator.flow.yaml_read import value
    from orchestrator.models.bundle.new import Wish

    parts = {"llm": args.llm} if args.llm else {}
    parts |= _by_part(args, PARTS)
    fields = {key: value(text) for key, text in pairs(args.set, "--set").items()}
    folder = args.out or Path(args.name)
    return Wish(args.name, folder, parts, args.base, _by_part(args, KINDS), fields, args.copy, args.fetch)


def _by_part(args: argparse.Namespace, options: Mapping[str, str]) -> dict[str, str]:
    """`--encoder image=PATH` as `encoders.image` -> PATH, for these options."""
    from orchestrator.nodes.modality import MODALITIES

    given: dict[str, Sequence[str]] = {option: getattr(args, option[2:].replace("-", "_")) for option in options}
    found = {option: pairs(words, option) for option, words in given.items()}
    known = [modality for modality in MODALITIES if modality != "text"]
    wrong = [(option, m) for option, table in found.items() for m in table if m not in known]
    if wrong:
        lines = (f"{option} {m}=...: unknown modality '{m}'.{nearest(m, known)}" for option, m in wrong)
        raise UserError("\n".join(lines))
    return {f"{options[option]}.{m}": text for option, table in found.items() for m, text in table.items()}


def _told(wish: Wish, made: Made) -> Iterator[str]:
    """What was made, and what to type next."""
    folder, begun = wish.folder, made.bundle
    if made.new_tokens:
        yield f"The LLM is a copy with {made.new_tokens} new signal tokens, which train with the output projectors."
    if not made.untrained:
        yield f"Nothing is to be trained. See whether it works: orch bundle verify {folder}"
        return
    yield f"To be trained: {', '.join(f'{part} ({kind})' for part, kind in made.untrained.items())}"
    yield f"Put captions and files into {folder}/data, or name yours in the recipes; then type:"
    outs = [folder / "train" / recipe.stem for recipe in made.recipes]
    for recipe, out in zip(made.recipes, outs, strict=True):
        yield f"  orch train {recipe} --out {out}"
    yield f"  orch bundle verify {outs[-1] / 'bundle'}"
    yield f'  orch run "{_line(begun.spec)}" --bundle {outs[-1] / "bundle"} ...'


def _line(spec: Any) -> str:
    """An arrow line that such a bundle can run."""
    return f"{next(iter(spec.encoders), 'text')} -> {next(iter(spec.generators), 'text')}"
