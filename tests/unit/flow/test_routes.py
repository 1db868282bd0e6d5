"""The ways through a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from orchestrator.flow.routes import BRIDGES, STEPS, WORDS, routes, short
from orchestrator.models.bundle import Bundle, BundleSpec
from orchestrator.nodes.modality import MODALITIES

MEDIA = [modality for modality in MODALITIES if modality != "text"]


def bundle(**groups: Any) -> Bundle:
    found = {group: {m: {"path": m} for m in modalities.split()} for group, modalities in groups.items()}
    signals = {m: {"count": 5, "token": f"[{m}{{}}]"} for m in found.get("generators", {})}
    return Bundle(Path(), BundleSpec.model_validate({"name": "b", "llm": {"path": "llm"}, **found, "signals": signals}))


@pytest.mark.parametrize(
    ("groups", "ways"),
    [
        ({}, []),
        ({"encoders": "image"}, ["image -> text"]),
        ({"encoders": "video audio"}, ["audio -> text", "video -> text"]),
        ({"generators": "audio"}, ["text -> audio (bridge signal)", "text -> audio (bridge caption)"]),
        (
            {"encoders": "image", "generators": "image"},
            ["image -> text", "text -> image (bridge signal)", "text -> image (bridge caption)"],
        ),
    ],
)
def test_every_part_is_on_a_way(groups: dict[str, str], ways: list[str]) -> None:
    assert [str(route) for route in routes(bundle(**groups))] == ways


def test_an_any_to_any_bundle_has_nine() -> None:
    everything = " ".join(MEDIA)
    assert len(routes(bundle(encoders=everything, generators=everything))) == len(MEDIA) * (1 + len(BRIDGES)) == 9


def test_they_are_short_and_have_room_for_their_signal() -> None:
    made = bundle(encoders="image", generators="video")
    see, *film = (short(route, made) for route in routes(made))
    assert see.nodes["reason"].fields["max_new_tokens"] == WORDS
    for spec, bridge in zip(film, BRIDGES, strict=True):
        assert spec.nodes["reason"].fields["max_new_tokens"] == WORDS + 5
        assert spec.nodes["generate"].fields["steps"] == STEPS
        assert spec.nodes["output_project"].fields["bridge"] == bridge
