"""A program of twenty lines that captions pictures: python examples/embed.py PICTURE ..."""

import sys
from pathlib import Path

from orchestrator import Flow, InputError

DOG = Path(__file__).parents[1] / "flows" / "media" / "dog.png"


def captions(pictures: list[str]) -> dict[str, str]:
    flow = Flow.arrow("image -> text")
    found = {}
    for picture in pictures:
        try:
            found[picture] = flow.run(image=picture)["text"].text
        except InputError as error:
            found[picture] = f"({error})"
    return found


if __name__ == "__main__":
    for picture, caption in captions(sys.argv[1:] or [str(DOG)]).items():
        print(f"{picture}: {caption}")
