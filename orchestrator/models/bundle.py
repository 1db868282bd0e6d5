"""A bundle: a folder that names one MM-LLM.

`bundle.yaml` names the LLM, the encoders, the projectors, the signal tokens and the generators, each by a path within
the folder (weights are safetensors in the layout of transformers and diffusers). Opening a bundle reads small files
only; `verify` reads everything. No torch here.
"""

from __future__ import annotations

import hashlib
from functools import cached_property
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from orchestrator.errors import BundleError, nearest
from orchestrator.models import facts, weights

BUNDLE_FILE = "bundle.yaml"
SUMS_FILE = "SHA256SUMS"


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LlmSpec(_Spec):
    """The LLM and how it is spoken to."""

    path: str
    id: str = Field("", description="What projectors know it by; default: bundle name/path.")
    chat: str = Field("", description="A chat template of prompts/chat; default: the tokenizer's own.")
    media: dict[str, str] = Field({}, description="Text around P_X, e.g. {image: '<image>{}</image>'}.")


class EncoderSpec(_Spec):
    """An encoder, and which of its outputs are F_X."""

    path: str
    id: str = ""
    select: Literal["pooled", "patches", "all"] = Field("pooled", description="One vector, the patch tokens, or all.")
    layer: int = Field(-1, description="Which hidden layer the tokens come from; LLaVA takes -2.")


class ProjectorSpec(_Spec):
    """A projector: `projector.json` (manifest) and `model.safetensors`."""

    path: str


class GeneratorSpec(_Spec):
    """A generator, and its settings where a flow gives none (steps, guidance, frames, width, height, fps, negative)."""

    path: str
    id: str = ""
    settings: dict[str, int | float | str] = {}


class SignalSpec(_Spec):
    """The signal tokens of a modality: `count` tokens named `token` with `{}` for the index."""

    count: int = Field(ge=1)
    token: str = Field(pattern=r"^[^{}]*\{\}[^{}]*$", description="With {} for the index, e.g. '[VID{}]'.")


class BundleSpec(_Spec):
    """The content of `bundle.yaml`."""

    name: str
    doc: str = ""
    licence: str = ""
    llm: LlmSpec
    encoders: dict[str, EncoderSpec] = {}
    input_projectors: dict[str, ProjectorSpec] = {}
    output_projectors: dict[str, ProjectorSpec] = {}
    generators: dict[str, GeneratorSpec] = {}
    signals: dict[str, SignalSpec] = {}


SETTINGS_FILES = ("*.json", "*.txt", "*.jinja")  # configs, vocabularies and merges, chat templates
GROUPS = ("encoders", "input_projectors", "output_projectors", "generators")


class Bundle:
    """An opened bundle. Parts are named `llm` or `group.modality`, e.g. `encoders.image`."""

    def __init__(self, root: Path, spec: BundleSpec) -> None:
        self.root, self.spec = root, spec

    @classmethod
    def open(cls, name_or_path: str | Path) -> Bundle:
        """Open a bundle by the name of one that ships, or by its folder.

        Raises: BundleError if there is none, or its `bundle.yaml` is wrong (all problems at once).
        """
        path = Path(name_or_path)
        if not (path / BUNDLE_FILE).is_file() and str(name_or_path) in cls.known():
            path = _shipped() / str(name_or_path)  # a folder that is no bundle does not hide one that ships
        if not path.is_dir():
            hint = nearest(str(name_or_path), cls.known())
            raise BundleError(f"unknown bundle '{name_or_path}': neither a folder nor a bundle that ships.{hint}")
        file = path / BUNDLE_FILE
        if not file.is_file():
            raise BundleError(f"{path} is no bundle: it has no {BUNDLE_FILE}")
        try:
            return cls(path, BundleSpec.model_validate(yaml.safe_load(file.read_text("utf-8"))))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise BundleError(f"{file}: not valid YAML: {error}") from None
        except ValidationError as error:
            lines = [f"{file}: {'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
            raise BundleError("\n".join(lines)) from None

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
            has = ", ".join(table) or "none"
            raise BundleError(f"bundle '{self.name}' has no {part}; its {group} are: {has}")
        return table[modality]

    def names(self) -> list[str]:
        """All parts, the LLM first."""
        return ["llm", *(f"{group}.{modality}" for group in GROUPS for modality in getattr(self.spec, group))]

    def path(self, part: str) -> Path:
        """The folder of a part. Raises BundleError if it is missing or lies outside the bundle."""
        folder = (self.root / self.part(part).path).resolve()
        if not folder.is_relative_to(self.root.resolve()):
            raise BundleError(f"bundle '{self.name}': {part} points outside the bundle: {self.part(part).path}")
        if not folder.is_dir():
            raise BundleError(f"bundle '{self.name}': {part} is missing: there is no folder {folder}")
        return folder

    def id(self, part: str) -> str:
        """What projectors know a part by: its `id`, else bundle name/path."""
        spec = self.part(part)
        return spec.id or f"{self.name}/{spec.path}"

    def kind(self, part: str) -> str:
        """The class or kind of a part, as its config names it."""
        return facts.kind(self.path(part))

    def size(self, part: str) -> int:
        """Bytes of a part's weights on disk."""
        return sum(file.stat().st_size for file in weights.files(self.path(part)))

    def fingerprint(self, part: str) -> str:
        """Tells the weights and settings of a part apart from any other, without reading tensors."""
        if part not in self._fingerprints:
            settings = (self.part(part), self.spec.signals if part == "llm" else None)
            digest = hashlib.sha256(repr(settings).encode())
            for file in sorted(p for s in SETTINGS_FILES for p in self.path(part).rglob(s)):
                digest.update(f"{file.name} ".encode() + file.read_bytes())
            for file in weights.files(self.path(part)):
                stat = file.stat()
                digest.update(f"{file.name} {stat.st_size} {stat.st_mtime_ns}".encode() + weights.header(file))
            self._fingerprints[part] = digest.hexdigest()
        return self._fingerprints[part]

    @cached_property
    def _fingerprints(self) -> dict[str, str]:
        return {}


def _shipped() -> Path:
    """The folder of the bundles in the package."""
    return Path(str(resources.files("orchestrator.models")))
