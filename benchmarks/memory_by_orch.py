"""A picture of a picture by Orch: an encoder, an LLM and a generator, one after the other. Arguments: the bundle, and
the most memory for its parts, `all` for no limit, or `none` to import what a run does, and load nothing."""

from __future__ import annotations

import sys

import numpy as np

from orchestrator import Flow, FlowBuilder
from orchestrator.models import encoders, generators, llm  # noqa: F401


def flow(bundle: str) -> Flow:
    """The flow; what is random about the LLM's reply does not matter: it has to ask for a picture."""
    build = FlowBuilder("memory")
    seen = build.add("encode", media=build.input("image", "image"))
    asked = [build.add("project", features=seen)]
    reply = build.add("reason", prompt="abc", media=asked, max_new_tokens=12, require=["image"])
    split = build.add("decode", reply=reply)
    build.output("picture", build.add("generate", condition=build.add("output_project", signal=split.image), steps=2))
    return Flow(build, bundle)


def main() -> None:
    """Run once."""
    bundle, memory = sys.argv[1:]
    made, limit = flow(bundle), None if memory in ("all", "none") else memory
    plan = made.memory_plan(memory=limit)
    if memory != "none":
        made.run(image=np.zeros((64, 64, 3), np.uint8), memory=limit)
    print(plan.peak("cpu"))


if __name__ == "__main__":
    main()
