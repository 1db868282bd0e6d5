"""Parts from the hub: which files of a repository, how large, and fetching them into the cache of huggingface_hub.

Nothing is fetched but by `fetch`. A snapshot is addressed by its commit; a revision that is none is resolved by the
cache, or by the hub when it is asked. No torch here.
"""

from __future__ import annotations

import glob
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from orchestrator.errors import BundleError, RetryError
from orchestrator.models import weights
from orchestrator.models.bundle import checkpoint
from orchestrator.models.bundle.spec import COMMIT, Place

if TYPE_CHECKING:
    from huggingface_hub import HfApi

    from orchestrator.models.bundle import Bundle

MAIN = "main"


@dataclass(frozen=True)
class Wanted:
    """What a part needs of a repository: the files there, with their bytes, at a commit."""

    spec: Place
    commit: str
    files: Mapping[str, int]

    @property
    def missing(self) -> dict[str, int]:
        """The files that are not in the cache yet; one that was begun counts in full."""
        root = _snapshot(self.spec, self.commit)
        return {name: size for name, size in self.files.items() if not (root / name).is_file()}

    @property
    def bytes(self) -> int:
        """What is to be fetched."""
        return sum(self.missing.values())


def cache() -> Path:
    """The local cache of huggingface_hub (`HF_HUB_CACHE`)."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE).expanduser()


def commit(spec: Place) -> str | None:
    """The commit that a part's revision stands for here: itself, or what the cache knows of a branch or tag."""
    if COMMIT.fullmatch(spec.revision):
        return spec.revision
    known = _repository(spec) / "refs" / (spec.revision or MAIN)
    return known.read_text().strip() if known.is_file() else None


def folder(spec: Place) -> Path | None:
    """The folder of a part in the cache, if it was fetched."""
    found = commit(spec)
    place = _snapshot(spec, found) / spec.subfolder if found else None
    return place if place and place.is_dir() else None


def shared(bundle: Bundle) -> list[tuple[list[str], Place]]:
    """The parts of a bundle that are on the hub; parts of one checkpoint together."""
    found: dict[tuple[Any, ...], tuple[list[str], Place]] = {}
    for part in bundle.names():
        spec = bundle.part(part)
        if spec.place == "hub":
            key = tuple(getattr(spec, name) for name in (*Place.WHERE, "variant", "trust"))
            found.setdefault(key, ([], spec))[0].append(part)
    return list(found.values())


def want(spec: Place) -> Wanted:
    """Ask the hub what a part needs. Fetches nothing but a pipeline's index. Raises BundleError for what the hub has
    not or does not give, RetryError if it can't be reached."""
    with _named(spec):
        api = _api()
        found = commit(spec) if spec.pinned else api.model_info(spec.hub, revision=spec.revision or MAIN).sha
        listed = api.list_repo_tree(spec.hub, recursive=True, revision=found)
        sizes = {entry.path: int(entry.size) for entry in listed if hasattr(entry, "size")}
        before = f"{spec.subfolder}/" if spec.subfolder else ""
        names = [name.removeprefix(before) for name in sizes if name.startswith(before)]
        index = _index(spec, str(found), before) if checkpoint.INDEX in names else None
    chosen = checkpoint.needed(names, spec, index)
    if problem := checkpoint.lacking(chosen, names, spec, index):
        raise BundleError(f"{spec.name} at {str(found)[:12]} {problem}")
    return Wanted(spec, str(found), {before + name: sizes[before + name] for name in chosen})


def fetch(wanted: Wanted) -> Path:
    """Bring the files that are missing into the cache; what an earlier try began is gone on with. Returns the folder.
    Raises BundleError for a full disk or files that are not as the hub said, RetryError for what may pass."""
    from huggingface_hub import constants, snapshot_download

    _check_room(wanted)
    with _named(wanted.spec):
        names = [glob.escape(name) for name in wanted.files]
        root = snapshot_download(
            wanted.spec.hub,
            revision=wanted.commit if wanted.spec.pinned else wanted.spec.revision or MAIN,  # so the cache knows both
            allow_patterns=names,
            cache_dir=cache(),
            endpoint=constants.ENDPOINT,
        )
    if Path(root).name != wanted.commit:
        raise RetryError(f"{wanted.spec.hub} has just changed, from {wanted.commit} to {Path(root).name}; try again")
    for name, size in wanted.files.items():
        file = Path(root, name)
        has = file.stat().st_size if file.is_file() else 0
        if has != size:
            file.unlink(missing_ok=True)
            raise BundleError(f"{wanted.spec.hub}: {name} came with {has} bytes, the hub says {size}; fetch it again")
    return Path(root, wanted.spec.subfolder)


def damage(file: Path) -> str | None:
    """What is wrong with a file of the cache, whose name there is its SHA-256; nothing of other files."""
    blob = file.resolve()
    if not (file.is_symlink() and blob.parent.name == "blobs" and len(blob.name) == 64):
        return None
    return None if weights.sha256(blob) == blob.name else f"{file} is damaged: its SHA-256 is not {blob.name}"


def _repository(spec: Place) -> Path:
    return cache() / f"models--{spec.hub.replace('/', '--')}"


def _snapshot(spec: Place, commit: str) -> Path:
    return _repository(spec) / "snapshots" / commit


def _api() -> HfApi:
    from huggingface_hub import HfApi, constants

    return HfApi(endpoint=constants.ENDPOINT)


def _index(spec: Place, commit: str, before: str) -> dict[str, Any]:
    name = before + checkpoint.INDEX
    file = _api().hf_hub_download(spec.hub, name, revision=commit, cache_dir=cache())
    content: dict[str, Any] = json.loads(Path(file).read_text("utf-8"))
    return content


def _check_room(wanted: Wanted) -> None:
    cache().mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache()).free
    if wanted.bytes > free:
        raise BundleError(
            f"{wanted.spec.hub} needs {wanted.bytes} bytes more, and {cache()} has {free} free; "
            "make room, or set HF_HUB_CACHE to another folder"
        )


@contextmanager
def _named(spec: Place) -> Iterator[None]:
    """Errors of huggingface_hub as ours: what is wrong with the part, and what to type."""
    import huggingface_hub.errors as hub

    network: type[Exception] = hub.HfHubHTTPError.__mro__[1]  # of httpx, or of its successor in later versions
    at = f"{spec.hub} at {spec.revision or MAIN}"
    try:
        yield
    except hub.GatedRepoError:
        raise BundleError(f"{at} is gated: accept its terms on its page, then `hf auth login`") from None
    except hub.RepositoryNotFoundError:
        raise BundleError(f"the hub has no {spec.hub}, or it is private; check the name, or `hf auth login`") from None
    except hub.RevisionNotFoundError:
        raise BundleError(f"{spec.hub} has no revision '{spec.revision}'; write one of its commits, or none") from None
    except hub.OfflineModeIsEnabled:
        raise BundleError(f"{at} can't be fetched: HF_HUB_OFFLINE is set; unset it to fetch") from None
    except (network, OSError) as error:
        told = (str(error).strip() or type(error).__name__).splitlines()[0]
        if 400 <= getattr(getattr(error, "response", None), "status_code", 500) < 500:
            raise BundleError(f"{at}: the hub refuses: {told}") from error
        raise RetryError(f"{at} could not be fetched: {told}; what is there is kept, so try again") from error
