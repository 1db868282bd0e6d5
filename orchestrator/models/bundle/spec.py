"""What a `bundle.yaml` may say, field by field.

A part says where it is by exactly one of `path`, `checkpoint`, `hub` and, the LLM only, `url`. Fields that a spec's
`repr` leaves out were added later: they count in fingerprints only where they are given, so that the older ones hold.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import PurePath
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from orchestrator.models.placement.spec import PlacementSpec

COMMIT = re.compile(r"[0-9a-f]{40}")
REPOSITORY = r"^[\w.-]+/[\w.-]+$"
Trust = Literal["pickle", "remote_code"]


class _Spec(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Place(_Spec):
    """Where a checkpoint is, which of its weights are taken, and what the user has to trust it with."""

    PLACES: ClassVar[tuple[str, ...]] = ("path", "checkpoint", "hub")
    ONLY_OF: ClassVar[dict[str, str]] = {"revision": "hub", "subfolder": "hub"}
    WHERE: ClassVar[tuple[str, ...]] = ("path", "checkpoint", "hub", "revision", "subfolder")
    SAME_RESULT: ClassVar[tuple[str, ...]] = ()  # fields that do not change what a part gives

    path: str = Field("", description="A folder within the bundle.")
    checkpoint: str = Field("", repr=False, description="A folder elsewhere: absolute, with ~, or from the bundle.")
    hub: str = Field("", repr=False, pattern=rf"{REPOSITORY}|^$", description="A repository of the hub: org/name.")
    revision: str = Field("", repr=False, description="Its commit, 40 hex digits; a branch or tag is not pinned.")
    subfolder: str = Field("", repr=False, description="Where in the repository.")
    variant: str = Field("", repr=False, description="The weights' variant where there are several, e.g. fp16.")
    trust: tuple[Trust, ...] = Field((), repr=False, description="What it needs beyond safetensors and own code.")

    @property
    def place(self) -> str:
        """Which of `path`, `checkpoint`, `hub` and `url` says where it is."""
        return next(name for name in self.PLACES if getattr(self, name))

    @property
    def where(self) -> str:
        """What that says."""
        return str(getattr(self, self.place))

    @property
    def pinned(self) -> bool:
        """Whether it is always the same: no repository, or one at a commit."""
        return self.place != "hub" or COMMIT.fullmatch(self.revision) is not None

    @property
    def name(self) -> str:
        """What projectors know it by, within its bundle, if it has no `id`."""
        where = PurePath(self.checkpoint).name or self.where
        return "/".join(filter(None, (where, self.subfolder)))

    def later(self) -> dict[str, Any]:
        """The fields that `repr` leaves out and that were given, by name."""
        fields = type(self).model_fields.items()
        given = {name: getattr(self, name) for name, field in fields if not field.repr and name not in self.SAME_RESULT}
        return {name: value for name, value in given.items() if value != type(self).model_fields[name].default}

    @model_validator(mode="after")
    def _one_place(self) -> Place:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))
        return self

    def _problems(self) -> Iterator[str]:
        given = [name for name in self.PLACES if getattr(self, name)]
        if len(given) != 1:
            said = f"gives {' and '.join(given)}" if given else "does not say where it is"
            yield f"{said}; give one of {', '.join(self.PLACES)}"
        for name, place in self.ONLY_OF.items():
            if getattr(self, name) != type(self).model_fields[name].default and place not in given:
                yield f"{name} goes with {place}, which is not given"


class LlmSpec(Place):
    """The LLM and how it is spoken to."""

    PLACES: ClassVar[tuple[str, ...]] = ("path", "checkpoint", "hub", "url")
    OF_URL: ClassVar[tuple[str, ...]] = ("model", "key", "timeout", "retries", "sees")
    ONLY_OF: ClassVar[dict[str, str]] = Place.ONLY_OF | dict.fromkeys(OF_URL, "url")
    WHERE: ClassVar[tuple[str, ...]] = (*Place.WHERE, "url", *OF_URL)
    SAME_RESULT: ClassVar[tuple[str, ...]] = ("key", "timeout", "retries", "sees")

    id: str = Field("", description="What projectors know it by; default: bundle name/path.")
    chat: str = Field("", description="A chat template of prompts/chat; default: the tokenizer's own.")
    media: dict[str, str] = Field({}, description="Text around P_X, e.g. {image: '<image>{}</image>'}.")
    adapter: str = Field("", description="A PEFT adapter (LoRA, token rows), merged into the LLM when it is loaded.")
    quantize: Literal["", "4bit", "8bit"] = Field("", repr=False, description="Weights by bitsandbytes, on CUDA.")
    url: str = Field("", repr=False, description="An OpenAI-compatible endpoint, e.g. http://localhost:8000/v1.")
    model: str = Field("", repr=False, description="The endpoint's name for the model.")
    key: str = Field("", repr=False, description="The environment variable that holds the key.")
    timeout: float = Field(120.0, repr=False, gt=0, description="Seconds to wait for the next word.")
    retries: int = Field(4, repr=False, ge=0, le=10, description="How often a failed request is sent again.")
    sees: tuple[Literal["image", "audio", "video"], ...] = Field(
        (), repr=False, description="What the model behind the url takes beside text, as parts of messages."
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        if url and not re.match(r"https?://[^/@\s]+(/[^@\s]*)?$", url):
            raise ValueError("no http(s) address without user and password; write e.g. http://localhost:8000/v1")
        return url

    @field_validator("key")
    @classmethod
    def _variable(cls, key: str) -> str:
        if key and not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", key):
            raise ValueError("the name of an environment variable, never the key itself; write e.g. OPENAI_API_KEY")
        return key

    def _problems(self) -> Iterator[str]:
        yield from super()._problems()
        if not self.url:
            return
        if not self.model:
            yield "url needs a model: its name at the endpoint"
        local = ("chat", "media", "adapter", "variant", "trust", "quantize")
        if given := [name for name in local if getattr(self, name)]:
            yield f"{', '.join(given)}: of an LLM that runs here, not of one at a url"


class EncoderSpec(Place):
    """An encoder, and which of its outputs are F_X."""

    id: str = ""
    select: Literal["pooled", "patches", "all", "cls"] = Field(
        "pooled", description="One vector, the patch tokens, all, or the cls token."
    )
    layer: int = Field(-1, description="Which hidden layer the tokens come from; LLaVA takes -2.")


class ProjectorSpec(_Spec):
    """A projector: `projector.json` (manifest) and `model.safetensors`."""

    place: ClassVar[str] = "path"
    pinned: ClassVar[bool] = True
    trust: ClassVar[tuple[Trust, ...]] = ()
    path: str

    @property
    def where(self) -> str:
        return self.path

    def later(self) -> dict[str, Any]:
        """Nothing was added."""
        return {}


class GeneratorSpec(Place):
    """A generator, and its settings where a flow gives none: steps, guidance, negative; width, height, frames, fps;
    seconds, peak (how loud the sounds were that it learnt from; 0: as they are)."""

    id: str = ""
    settings: dict[str, int | float | str] = {}


class SignalSpec(_Spec):
    """The signal tokens of a modality: `count` tokens named `token` with `{}` for the index."""

    count: int = Field(ge=1)
    token: str = Field(pattern=r"^[^{}]*\{\}[^{}]*$", description="With {} for the index, e.g. '[VID{}]'.")


class BundleSpec(_Spec):
    """The content of `bundle.yaml`."""

    name: str
    base: str = Field("", description="A bundle, by name or path from here, that has the parts not named here.")
    doc: str = ""
    licence: str = ""
    recipes: dict[str, str] = Field({}, description="Group of parts -> the recipe that trains those it lacks.")
    llm: LlmSpec
    encoders: dict[str, EncoderSpec] = {}
    input_projectors: dict[str, ProjectorSpec] = {}
    output_projectors: dict[str, ProjectorSpec] = {}
    generators: dict[str, GeneratorSpec] = {}
    signals: dict[str, SignalSpec] = {}
    placement: dict[str, PlacementSpec] = Field({}, description="Part, or * for the others -> where it runs, and how.")
