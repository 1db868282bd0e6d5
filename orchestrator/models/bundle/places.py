"""Where the parts of a bundle are: within its folder, elsewhere on this machine, or in the local cache of the hub."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BundleError
from orchestrator.models.bundle import hub

if TYPE_CHECKING:
    from orchestrator.models.bundle import Bundle


def folder(bundle: Bundle, part: str, spec: Any) -> Path:
    """The folder of a part that `bundle` itself names. Raises BundleError if there is none, telling what to type."""
    return WHERE[spec.place](bundle, part, spec)


def within(bundle: Bundle, part: str, path: str) -> Path:
    """A folder in that of the bundle. Raises BundleError if it is missing or lies outside."""
    found = (bundle.root / path).resolve()
    if not found.is_relative_to(bundle.root.resolve()):
        raise BundleError(
            f"bundle '{bundle.name}': {part} points outside the bundle: {path}; "
            f"name a folder elsewhere by `checkpoint: {path}`"
        )
    return _there(bundle, part, found)


def warnings(bundle: Bundle) -> Iterator[str]:
    """What may be another thing tomorrow: repositories that are not pinned to a commit."""
    for part in bundle.names():
        spec = bundle.part(part)
        if not spec.pinned:
            now = hub.commit(spec)
            line = f"write `revision: {now}`" if now else "`orch bundle fetch` tells the commit to write as `revision:`"
            yield f"bundle '{bundle.name}': {part}: {spec.where} is not pinned, so it may change; {line}"


def _elsewhere(bundle: Bundle, part: str, spec: Any) -> Path:
    return _there(bundle, part, (bundle.root / Path(spec.checkpoint).expanduser()).resolve())


def _in_cache(bundle: Bundle, part: str, spec: Any) -> Path:
    if found := hub.folder(spec):
        return found
    at = f" at {spec.revision[:12]}" if spec.revision else ""
    raise BundleError(
        f"bundle '{bundle.name}': {part} is not on this machine: {spec.hub}{at} of the hub; "
        f"see its size and fetch it: orch bundle fetch {bundle.typed}"
    )


def _nowhere(bundle: Bundle, part: str, spec: Any) -> Path:
    raise BundleError(
        f"bundle '{bundle.name}': the {part} is remote ({spec.model} at {spec.url}): it has no weights, and no hidden "
        "states to project or train; name one that runs here by path, checkpoint or hub"
    )


def _there(bundle: Bundle, part: str, found: Path) -> Path:
    if not found.is_dir():
        raise BundleError(f"bundle '{bundle.name}': {part} is missing: there is no folder {found}")
    return found


WHERE: dict[str, Callable[[Bundle, str, Any], Path]] = {
    "path": lambda bundle, part, spec: within(bundle, part, spec.path),
    "checkpoint": _elsewhere,
    "hub": _in_cache,
    "url": _nowhere,
}
