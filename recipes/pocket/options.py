"""The options that the stages share."""

from __future__ import annotations

import argparse
from pathlib import Path


def parse(doc: str | None) -> argparse.Namespace:
    """`--cache`, the drawings and packages; `--out`, the checkpoints and parts. `doc` is the stage's own."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, default=Path(".pocket"), help="drawings and packages")
    parser.add_argument("--out", type=Path, default=Path("build/pocket"), help="checkpoints and parts")
    return parser.parse_args()
