"""From a wish to a bundle on disk: everything is checked first, and written at once or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from orchestrator.errors import OutputError
from orchestrator.models.bundle import BUNDLE_FILE, Bundle, checkpoint, hub
from orchestrator.models.bundle.new import parts, tokens
from orchestrator.models.bundle.new.recipes import Skeleton
from orchestrator.models.bundle.new.wish import SIDES, Wish, opened

if TYPE_CHECKING:
    pass

RECIPES = "recipes"
CHAT = "pocket"  # the chat template of an LLM whose tokenizer has none


@dataclass(frozen=True)
class Made:
    """A new bundle: the projectors that it lacks (part -> kind), the recipes that train them, in order, and how many
    signal tokens its copy of the LLM has that the LLM had not."""

    bundle: Bundle
    untrained: Mapping[str, str]
    recipes: tuple[Path, ...]
    new_tokens: int


def make(wish: Wish) -> Made:
    """Make a bundle. Raises BundleError with everything that is wrong, before anything is written; OutputError for a
    place that is taken or cannot be written."""
    base = Bundle.open(wish.base) if wish.base else None
    _check_place(wish)
    parts.check_words(wish, base)
    content = wish.content(base)
    sketch = opened(content, wish.folder, base)
    if wish.fetch:
        _fetch(sketch, content)
        sketch = opened(content, wish.folder, base)
    lacking = parts.check(wish, sketch)
    if "llm" in wish.parts and not sketch.spec.llm.chat and not tokens.speaks(sketch.path("llm")):
        content["llm"]["chat"] = CHAT
        sketch = opened(content, wish.folder, base)
    untrained = parts.untrained(wish, sketch, all_of_them=bool(lacking))
    for part in untrained:  # the base has one, for other parts than these
        group, _, modality = part.partition(".")
        if base and modality in getattr(base.spec, group):
            content.setdefault(group, {})[modality] = None
    skeletons = _skeletons(wish, sketch, untrained, bool(lacking))
    if skeletons:
        content["recipes"] = {s.group: f"{RECIPES}/{s.group}.yaml" for s in skeletons}
    _write(wish, lambda draft: _fill(draft, wish, sketch, content, lacking, skeletons))
    written = tuple(wish.folder / RECIPES / f"{s.group}.yaml" for s in skeletons)
    return Made(Bundle.open(wish.folder), untrained, written, len(lacking))


def _check_place(wish: Wish) -> None:
    if wish.folder.exists():
        raise OutputError(f"{wish.folder} is there already: choose another --out, or remove it")


def _fetch(sketch: Bundle, content: dict[str, Any]) -> None:
    """Bring parts of the hub here, and pin them to the commits that they have today."""
    for part in _own(sketch):
        spec = sketch.part(part)
        if spec.place == "hub":
            wanted = hub.want(spec)
            hub.fetch(wanted)
            group, _, modality = part.partition(".")
            (content[group][modality] if modality else content[group])["revision"] = wanted.commit


def _skeletons(wish: Wish, sketch: Bundle, untrained: Mapping[str, str], tokens_too: bool) -> list[Skeleton]:
    found = []
    for group in SIDES:
        mine = {part.partition(".")[2]: kind for part, kind in untrained.items() if part.startswith(f"{group}.")}
        each = {m: (kind, parts.config(sketch, f"{group}.{m}", kind)) for m, kind in mine.items()}
        if each:
            found.append(Skeleton(group, each, tokens_too and group == "output_projectors"))
    return found


def _write(wish: Wish, fill: Callable[[Path], None]) -> None:
    """Fill a folder beside the place, and put it there when it is whole."""
    draft = wish.folder.with_name(f".{wish.folder.name}.part")
    try:
        draft.mkdir(parents=True)
        fill(draft)
        draft.rename(wish.folder)
    except OSError as error:
        raise OutputError(f"{wish.folder} cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _fill(
    draft: Path, wish: Wish, sketch: Bundle, content: dict[str, Any], lacking: list[str], skeletons: list[Skeleton]
) -> None:
    if lacking:
        tokens.grow(sketch.path("llm"), lacking, draft / "llm")
        own = sketch.owner("llm") is sketch
        content["llm"] = _moved(sketch.spec.llm, "llm", but=() if own else ("id",))  # another LLM than the base's
    if wish.copy:
        _copy(draft, sketch, content)
    (draft / BUNDLE_FILE).write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), "utf-8")
    begin = ".."
    for skeleton in skeletons:
        file = draft / RECIPES / f"{skeleton.group}.yaml"
        file.parent.mkdir(exist_ok=True)
        file.write_text(skeleton.text(wish.name, begin), "utf-8")
        begin = f"../train/{skeleton.group}/bundle"  # the next goes on from there


def _copy(draft: Path, sketch: Bundle, content: dict[str, Any]) -> None:
    """Copy what is elsewhere; parts of one place share a copy."""
    there: dict[Path, str] = {}
    for part in _own(sketch):
        spec, source = sketch.part(part), sketch.path(part)
        group, _, modality = part.partition(".")
        table = content[group] if modality else content
        if spec.place == "path" or table[modality or group].get("path"):
            continue
        path = there.setdefault(source, part.replace(".", "/"))
        for file in checkpoint.local(source, spec):
            to = draft / path / file.relative_to(source)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, to)
        table[modality or group] = _moved(spec, path)


def _own(sketch: Bundle) -> list[str]:
    """The parts that the new file names."""
    return [part for part in sketch.names() if part in sketch.own]


def _moved(spec: Any, path: str, but: Sequence[str] = ()) -> dict[str, Any]:
    """The fields of a part that is now in the bundle's folder."""
    return {"path": path} | spec.model_dump(mode="json", exclude_defaults=True, exclude={*type(spec).WHERE, *but})
