"""Rebuild the pocket bundle from the open sets of drawings and sounds: every stage in order, each resumable.

python -m recipes.pocket --cache .pocket --out build/pocket               all stages
python -m recipes.pocket llm encoder --cache .pocket --out build/pocket   some, for instance in a second process

A stage that has its result does nothing.
"""

from __future__ import annotations

import argparse
import subprocess
import sys

BOTH = ("cache", "out")
STAGES = {  # stage -> the options that it takes; what others wait for, and what takes longest, comes early
    "sources": ("cache",),
    "sounds": ("cache",),
    "recorded_effects": ("cache",),
    "autoencoder": BOTH,
    "picture": BOTH,
    "llm": BOTH,
    "encoder": BOTH,
    "sound_encoder": BOTH,
    "video": BOTH,
    "sound_judge": BOTH,
    "sound_autoencoder": BOTH,
    "vocoder": BOTH,
    "sound": BOTH,
    "judge": BOTH,
    "motion_judge": BOTH,
    "data": BOTH,
    "instructions": BOTH,
    "mm_pt": BOTH,
    "mm_it": BOTH,
    "bundle": ("out",),
}


def main() -> None:
    """Each stage is a process of its own: what one leaves in memory, the next does not carry."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stages", nargs="*", metavar="stage", help=f"of: {', '.join(STAGES)}; all if none is named")
    parser.add_argument("--cache", default=".pocket", help="drawings and packages")
    parser.add_argument("--out", default="build/pocket", help="checkpoints and parts")
    given = vars(parser.parse_args())
    if unknown := [stage for stage in given["stages"] if stage not in STAGES]:
        parser.error(f"no stage is named {', '.join(unknown)}; there are: {', '.join(STAGES)}")
    for stage in given["stages"] or STAGES:
        print(f"== {stage}", flush=True)
        options = [word for name in STAGES[stage] for word in (f"--{name}", given[name])]
        subprocess.run([sys.executable, "-m", f"recipes.pocket.{stage}", *options], check=True)


if __name__ == "__main__":
    main()
