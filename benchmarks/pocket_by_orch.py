"""`image -> text -> video` by Orch, twice; prints the CPU seconds of the second, the text and a hash of the film."""

from __future__ import annotations

import hashlib
import json
import sys
import time

from orchestrator import Flow


def main() -> None:
    """Arguments: the bundle and the picture."""
    bundle, picture = sys.argv[1:]
    flow = Flow.arrow("image -> text -> video", bundle=bundle)
    for _ in range(2):
        begun = time.process_time()
        result = flow.run(image=picture, cache=False)
        seconds = time.process_time() - begun
    film = hashlib.sha256(result["video"].video.frames.tobytes()).hexdigest()
    print(json.dumps({"seconds": seconds, "text": result["text"].text, "film": film}))


if __name__ == "__main__":
    main()
