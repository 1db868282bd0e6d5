"""Whether a bundle is sound: every file looked at, nothing loaded."""

from __future__ import annotations

from collections.abc import Iterator

from orchestrator.errors import BundleError
from orchestrator.models import weights
from orchestrator.models.bundle import SUMS_FILE, Bundle
from orchestrator.models.manifest import projector_problems


def verify(bundle: Bundle) -> list[str]:
    """What is wrong: missing or damaged parts, unfit projectors, files that differ from `SHA256SUMS`; [] if sound."""
    return [*_parts(bundle), *weights.sum_problems(bundle.root, SUMS_FILE)]


def _parts(bundle: Bundle) -> Iterator[str]:
    for part in bundle.names():
        try:
            found = [problem for file in weights.files(bundle.path(part)) if (problem := weights.damage(file))]
            yield from found or projector_problems(bundle, part)
        except BundleError as error:
            yield str(error)
