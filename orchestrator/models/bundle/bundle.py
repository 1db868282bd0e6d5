"""A bundle: a folder that names one MM-LLM.

`bundle.yaml` names the LLM, the encoders, the projectors, the signal tokens and the generators, and where each is (see
`bundle_spec`; weights are safetensors in the layout of transformers and diffusers). Opening a bundle reads small files
only; `verify` reads everything. `base:` makes it a derived one (see `derive`). No torch here.
"""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from orchestrator.errors import BundleError, nearest
from orchestrator.models import facts, weights
from orchestrator.models.bundle import checkpoint, derive, places
from orchestrator.models.bundle.spec import BundleSpec, EncoderSpec, LlmSpec, Place, SignalSpec

__all__ = [
    "BUNDLE_FILE",
    "GROUPS",
    "SUMS_FILE",
    "Bundle",
    "BundleSpec",
    "EncoderSpec",
    "LlmSpec",
    "SignalSpec",
]

BUNDLE_FILE = "bundle.yaml"
SUMS_FILE = "SHA256SUMS"


GROUPS = ("encoders", "input_projectors", "output_projectors", "generators")


class Bundle:
    """An opened bundle. Parts are named `llm` or `group.modality`, e.g. `encoders.image`."""

    def __init__(
        self, root: Path, spec: BundleSpec, base: Bundle | None = None, own: frozenset[str] | None = None
    ) -> None:
        self.root, self.spec, self.base = root, spec, base
        self.own = derive.named(spec.model_dump()) if own is None else own  # parts whose paths are in this folder

    @classmethod
    def open(cls, name_or_path: str | Path) -> Bundle:
        """Open a bundle by the name of one that ships, or by its folder.

        Raises: BundleError if there is none, or its `bundle.yaml` is wrong (all problems at once).
        """
        return cls._open(cls._locate(Path(), name_or_path), ())

    @classmethod
    def _locate(cls, beside: Path, name_or_path: str | Path) -> Path:
        """The folder of a bundle; a path is relative to `beside`."""
        path = beside / name_or_path
        if not (path / BUNDLE_FILE).is_file() and str(name_or_path) in cls.known():
            path = _shipped() / str(name_or_path)  # a folder that is no bundle does not hide one that ships
        if not path.is_dir():
            hint = nearest(str(name_or_path), cls.known())
            raise BundleError(f"unknown bundle '{name_or_path}': neither a folder nor a bundle that ships.{hint}")
        return path

    @classmethod
    def _open(cls, path: Path, derived: tuple[Path, ...]) -> Bundle:
        """`derived` are the bundles that lead here by their `base`."""
        file = path / BUNDLE_FILE
        if not file.is_file():
            raise BundleError(f"{path} is no bundle: it has no {BUNDLE_FILE}")
        try:
            own = yaml.safe_load(file.read_text("utf-8"))
            base = cls._base(path, own["base"], derived) if isinstance(own, dict) and own.get("base") else None
            spec = BundleSpec.model_validate(derive.merged(own, base.spec.model_dump()) if base else own)
            return cls(path, spec, base, derive.named(own))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BundleError(f"{file}: not valid YAML: {error}") from None
        except ValidationError as error:
            raise BundleError("\n".join(f"{file}: {told}" for told in misfits(error))) from None

    @classmethod
    def _base(cls, path: Path, base: Any, derived: tuple[Path, ...]) -> Bundle:
        file, chain = path / BUNDLE_FILE, (*derived, path.resolve())
        if not isinstance(base, str):
            raise BundleError(f"{file}: base: a bundle's name or path, not {base!r}")
        try:
            found = cls._locate(path, base)
        except BundleError as error:
            raise BundleError(f"{file}: base: {error}") from None
        if found.resolve() in chain:
            way = " -> ".join(str(p) for p in (*chain, found.resolve()))
            raise BundleError(f"{file}: base: a bundle can't be its own base: {way}")
        return cls._open(found, chain)

    @staticmethod
    def known() -> list[str]:
        """The names of the bundles that ship with the package."""
        return sorted(p.parent.name for p in _shipped().glob(f"*/{BUNDLE_FILE}"))

    @property
    def name(self) -> str:
        return self.spec.name

    def part(self, part: str) -> Any:
        """The spec of a part. Raises BundleError naming what the bundle has."""
        if part == "llm":
            return self.spec.llm
        group, _, modality = part.partition(".")
        table: dict[str, Any] = getattr(self.spec, group)
        if modality not in table:
            has, recipe = ", ".join(table) or "none", self._recipe(group)
            file = self.root / recipe if recipe and (self.root / recipe).is_file() else recipe
            train = f"; this trains one: orch train {file} --set bundle={self.typed}" if recipe else ""
            raise BundleError(f"bundle '{self.name}' has no {part}; its {group} are: {has}{train}")
        return table[modality]

    def _recipe(self, group: str) -> str:
        """The recipe that trains what a group lacks: in the folder of the bundle or a base, or as it is written."""
        recipe, bundle = self.spec.recipes.get(group, ""), self
        while bundle.base and not (bundle.root / recipe).is_file():
            bundle = bundle.base
        return str(bundle.root / recipe) if (bundle.root / recipe).is_file() else recipe

    def names(self) -> list[str]:
        """All parts, the LLM first."""
        return ["llm", *(f"{group}.{modality}" for group in GROUPS for modality in getattr(self.spec, group))]

    def owner(self, part: str) -> Bundle:
        """The bundle in whose folder a part is: this one, or a base."""
        return self if self.base is None or part in self.own else self.base.owner(part)

    def path(self, part: str) -> Path:
        """The folder of a part. Raises BundleError if it is not on this machine, with what to type."""
        spec = self.part(part)
        return places.folder(self.owner(part), part, spec)

    def absent(self) -> list[str]:
        """The parts that are on the hub, and not on this machine, or not all of their files."""
        return [part for part in self.names() if self.part(part).place == "hub" and not self._fetched(part)]

    def _fetched(self, part: str) -> bool:
        try:
            return bool(self.files(part))
        except BundleError:
            return False

    @property
    def typed(self) -> str:
        """What a user types for this bundle: the name of one that ships, or its folder."""
        return self.root.name if self._ships else str(self.root)

    @property
    def remote(self) -> bool:
        """Whether the LLM is an endpoint: it gives texts and captions, no hidden states."""
        return self.spec.llm.place == "url"

    @property
    def sees(self) -> tuple[str, ...]:
        """The modalities that a remote LLM takes as they are; none of one that runs here: it takes soft prompts."""
        return self.spec.llm.sees

    @property
    def understands(self) -> frozenset[str]:
        """The modalities beside text that its LLM can be shown: as they are, or by an encoder and a projector."""
        return frozenset(self.sees if self.remote else self.spec.encoders.keys() & self.spec.input_projectors.keys())

    @property
    def adapters(self) -> list[Path]:
        """The folders of the LLM's adapters, each trained on what those before it made of the LLM."""
        before = self.base.adapters if self.base and "llm" not in self.own else []
        own = [self.spec.llm.adapter] if "llm.adapter" in self.own else []
        return [*before, *(places.within(self, "llm.adapter", path) for path in own)]

    def folders(self, part: str) -> list[Path]:
        """The folders that a part is loaded from; none of a remote LLM."""
        if part == "llm" and self.remote:
            return []
        return [self.path(part), *(self.adapters if part == "llm" else [])]

    def files(self, part: str) -> list[Path]:
        """The files that a part is loaded from: of each of its folders settings, then weights. Raises BundleError if
        weights are missing."""
        spec, folders = self.part(part), self.folders(part)
        own = [checkpoint.local(folder, spec) for folder in folders[: isinstance(spec, Place)]]
        others = [checkpoint.everything(folder) for folder in folders[len(own) :]]
        return [file for found in (*own, *others) for file in found]

    def weights(self, part: str) -> list[Path]:
        """The files of a part's weights."""
        return [file for file in self.files(part) if facts.is_weights(file)]

    def reference(self, folder: Path) -> str:
        """How a bundle in `folder` names this one as its base: its name if it ships, else the way from there."""
        if self._ships:
            return self.root.name
        return Path(os.path.relpath(self.root.resolve(), folder.resolve())).as_posix()

    @property
    def _ships(self) -> bool:
        return self.root.resolve().parent == _shipped().resolve()

    def id(self, part: str) -> str:
        """What projectors know a part by: its `id`, else of a repository its name and of others bundle name/path (of a
        folder elsewhere its last name), of the bundle that it is from."""
        spec = self.part(part)
        return spec.id or (spec.name if spec.place == "hub" else f"{self.owner(part).name}/{spec.name}")

    def kind(self, part: str) -> str:
        """The class or kind of a part, as its config names it."""
        return f"remote {self.spec.llm.model}" if part == "llm" and self.remote else facts.kind(self.path(part))

    def size(self, part: str) -> int:
        """Bytes of a part's weights on disk."""
        return sum(file.stat().st_size for file in self.weights(part))

    def fingerprint(self, part: str) -> str:
        """Tells the weights and settings of a part apart from any other, without reading tensors."""
        if part not in self._fingerprints:
            self._fingerprints[part] = self._fingerprint(part)
        return self._fingerprints[part]

    def _fingerprint(self, part: str) -> str:
        spec = self.part(part)
        digest = hashlib.sha256(repr((spec, self.spec.signals if part == "llm" else None)).encode())
        if later := spec.later():
            digest.update(repr(later).encode())
        for file in self.files(part):
            if facts.is_weights(file):
                stat = file.stat()
                digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode() + weights.mark(file))
            else:
                digest.update(f"{file.name} ".encode() + file.read_bytes())
        return digest.hexdigest()

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {}


def misfits(error: ValidationError) -> list[str]:
    """What is wrong with the content of a `bundle.yaml`, a line each: where, and what."""
    told = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
    return [f"{where}: {what}" for where, what in told]


def _shipped() -> Path:
    """The folder of the bundles in the package."""
    return Path(str(resources.files("orchestrator.models")))
