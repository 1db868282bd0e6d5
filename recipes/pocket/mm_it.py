"""MM-IT of the pocket bundle, by the recipes that ship: SFT on dialogues, DPO on preferences, and the projectors once
more, by equations 2 and 4, under the LLM that these have changed.

    python -m recipes.pocket.mm_it --out build/pocket

What it makes of the LLM and the projectors goes into `tuned`, whose parts take the places of those before it in the
bundle that ships.
"""

from __future__ import annotations

import shutil

import torch

from orchestrator.models.llm.adapter import save_weights
from orchestrator.models.loading import load_part
from recipes.pocket import options
from recipes.pocket.bundle import TUNED, place, write_spec
from recipes.pocket.mm_pt import trained

RECIPES = ("mm_it_sft", "mm_it_dpo", "mm_it_input", "mm_it_output")


def main() -> None:
    args = options.parse(__doc__)
    out = args.out.resolve()
    tuned, bundle = out / TUNED, write_spec(out)
    if tuned.exists():
        return
    for name in RECIPES:
        bundle = trained(name, bundle.root, out)
    fresh = tuned.with_suffix(".tmp")
    shutil.rmtree(fresh, ignore_errors=True)
    save_weights(load_part(bundle, "llm", "cpu", torch.float32), fresh / "llm", bundle.path("llm"))
    for part in bundle.names():
        if "projectors" in part:
            shutil.copytree(bundle.path(part), fresh / place(part))
    fresh.rename(tuned)


if __name__ == "__main__":
    main()
