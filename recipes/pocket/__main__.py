"""Rebuild the pocket bundle from the open drawing sets: every stage in order, each resumable.

python -m recipes.pocket --cache .pocket --out build/pocket
"""

from __future__ import annotations

import argparse
import subprocess
import sys

STAGES = {  # stage -> the options that it takes
    "sources": ("cache",),
    "judge": ("cache", "out"),
    "autoencoder": ("cache", "out"),
    "picture": ("cache", "out"),
    "video": ("cache", "out"),
    "encoder": ("cache", "out"),
    "llm": ("cache", "out"),
    "mm_pt": ("cache", "out"),
    "bundle": ("out",),
}


def main() -> None:
    """Each stage is a process of its own: what one leaves in memory, the next does not carry."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", default=".pocket", help="drawings and packages")
    parser.add_argument("--out", default="build/pocket", help="checkpoints and parts")
    given = vars(parser.parse_args())
    for stage, takes in STAGES.items():
        print(f"== {stage}", flush=True)
        options = [word for name in takes for word in (f"--{name}", given[name])]
        subprocess.run([sys.executable, "-m", f"recipes.pocket.{stage}", *options], check=True)


if __name__ == "__main__":
    main()
