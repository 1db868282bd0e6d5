"""Whether the parts of a new bundle are there, known and fit each other: all problems at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from orchestrator.errors import BundleError, UserError, nearest
from orchestrator.models import facts, weights
from orchestrator.models.bundle import Bundle, hub, trust
from orchestrator.models.bundle.manifest import new_projector, projector_problems
from orchestrator.models.bundle.new import recipes, tokens
from orchestrator.models.bundle.new.wish import NAME, SIDES, Wish, token_names
from orchestrator.models.encoder_facts import encoder_problems

TELLING = {"audio": "seconds", "video": "frames"}  # the setting by which one knows what a generator makes


def check_words(wish: Wish, base: Bundle | None) -> None:
    """Raise BundleError for what can be told before parts are looked for."""
    problems = []
    if not NAME.fullmatch(wish.name):
        problems.append(f"'{wish.name}' is no name: letters, digits, - _ and . only; its folder is given by --out DIR")
    if not wish.parts:
        problems.append("nothing is given: name parts, as in --llm PATH --encoder image=PATH --generator video=PATH")
    elif not base and "llm" not in wish.parts:
        problems.append("a bundle needs an LLM: give --llm PATH, or --from BUNDLE to take that of another")
    if problems:
        raise BundleError("\n".join(problems))


def check(wish: Wish, sketch: Bundle) -> list[str]:
    """Raise BundleError with all that is wrong; returns the signal tokens that the LLM lacks."""
    found = {part: _named(part, _problems(sketch, part)) for part in wish.parts}
    found |= {part: _named(part, _misnamed(sketch, part)) for part in wish.kinds}
    problems = [told for each in found.values() for told in each]
    lacking: list[str] = []
    if not found.get("llm"):
        try:
            lacking = tokens.lacking(sketch.path("llm"), token_names(sketch.spec.signals))
        except BundleError as error:
            problems.append(str(error))
    if lacking and sketch.adapters:
        problems.append("llm: the base's has an adapter and lacks signal tokens; give one by --llm")
    if not problems:
        wanted = [(part, kind) for part, kind in _wanted(wish, sketch) if part in wish.kinds or not _fits(sketch, part)]
        problems = [told for part, kind in wanted for told in _named(part, _unbuilt(sketch, part, kind))]
    if problems:
        raise BundleError("\n".join(dict.fromkeys(problems)))
    return lacking


def untrained(wish: Wish, sketch: Bundle, all_of_them: bool) -> dict[str, str]:
    """The projectors that have to be trained, with their kinds: those that are not there, were trained for other parts,
    or are wanted anew."""
    return {
        part: kind
        for part, kind in _wanted(wish, sketch)
        if all_of_them or part in wish.kinds or not _fits(sketch, part)
    }


def config(sketch: Bundle, part: str, kind: str) -> dict[str, Any]:
    """What a new projector of this kind needs to be told."""
    group, _, modality = part.partition(".")
    return recipes.config(kind, group, sketch.spec.encoders.get(modality))


def _wanted(wish: Wish, sketch: Bundle) -> Iterator[tuple[str, str]]:
    """Every projector that the bundle's encoders and generators ask for, and its kind if it is new."""
    for group, side in SIDES.items():
        for modality in getattr(sketch.spec, side):
            part = f"{group}.{modality}"
            yield part, wish.kinds.get(part, recipes.KINDS[group])


def _fits(sketch: Bundle, part: str) -> bool:
    group, _, modality = part.partition(".")
    return modality in getattr(sketch.spec, group) and not projector_problems(sketch, part)


def _named(part: str, problems: Iterable[str]) -> list[str]:
    """Problems that say which part they are of."""
    return [told if part in told else f"{part}: {told}" for told in problems]


def _misnamed(sketch: Bundle, part: str) -> Iterator[str]:
    """A projector that nothing asks for."""
    group, _, modality = part.partition(".")
    has = getattr(sketch.spec, SIDES[group])
    if modality not in has:
        yield f"there is no {SIDES[group]}.{modality} to train it for.{nearest(modality, has)}"


def _unbuilt(sketch: Bundle, part: str, kind: str) -> Iterator[str]:
    """Why a projector of this kind can't be built between the bundle's parts, without memory for its weights."""
    import torch

    try:
        with torch.device("meta"):
            new_projector(sketch, part, kind, **config(sketch, part, kind))
    except UserError as error:
        yield from str(error).splitlines()


def _problems(sketch: Bundle, part: str) -> Iterator[str]:
    """What is wrong with a part: its place, its files, its class, its modality."""
    spec = sketch.part(part)
    if spec.place == "hub" and hub.folder(spec) is None:
        yield f"{part}: {spec.name} of the hub is not on this machine; add --fetch to bring it here"
        return
    try:
        yield from CHECKS[part.partition(".")[0]](sketch, part)
        yield from trust.refusals(sketch, part)
        yield from (told for file in sketch.weights(part) if (told := weights.damage(file)))
    except BundleError as error:
        yield str(error)


def _llm(sketch: Bundle, part: str) -> list[str]:
    folder = sketch.path(part)
    facts.llm_dim(folder)
    kind = facts.kind(folder)
    if kind.endswith("ForCausalLM") or kind.endswith("LMHeadModel"):
        return []
    return [f"{folder} is a '{kind}', no causal language model"]


def _generator(sketch: Bundle, part: str) -> list[str]:
    from orchestrator.models.generators import FAMILIES

    folder, modality = sketch.path(part), part.partition(".")[2]
    facts.condition(folder)
    kind = facts.pipeline_class(folder)
    settings = FAMILIES[kind].output.settings
    makes = next((m for m, setting in TELLING.items() if setting in settings), "image")
    return [] if makes == modality else [f"a {kind} makes {makes}, not {modality}"]


CHECKS: dict[str, Callable[[Bundle, str], list[str]]] = {
    "llm": _llm,
    "encoders": encoder_problems,
    "generators": _generator,
}
