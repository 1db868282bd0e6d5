"""Whether a bundle is sound: every file looked at, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import BundleError
from orchestrator.models import weights
from orchestrator.models.bundle import SUMS_FILE, Bundle, hub
from orchestrator.models.bundle.manifest import projector_problems
from orchestrator.models.encoder_facts import encoder_problems
from orchestrator.models.llm.adapter_file import adapter_problems


def verify(bundle: Bundle) -> list[str]:
    """What is wrong: missing or damaged parts, unfit projectors and adapters, files that differ from `SHA256SUMS` (of
    its bases as well); [] if sound."""
    return [*_parts(bundle), *_sums(bundle)]


def _sums(bundle: Bundle) -> Iterator[str]:
    if bundle.base:
        yield from _sums(bundle.base)
    yield from weights.sum_problems(bundle.root, SUMS_FILE)


def _parts(bundle: Bundle) -> Iterator[str]:
    for part in bundle.names():
        try:
            files = bundle.weights(part)
            found = [told for file in files if (told := weights.damage(file) or hub.damage(file))]
            yield from found or [*projector_problems(bundle, part), *encoder_problems(bundle, part)]
            if part == "llm" and not found:
                yield from adapter_problems(bundle)
        except BundleError as error:
            yield str(error)
