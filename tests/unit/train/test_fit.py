"""Whether a recipe fits its flow and its bundle: told before any weight is loaded, all at once, with its place."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.errors import BundleError, RecipeError
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.manifest import new_projector, save_projector
from orchestrator.train.data.report import Report
from orchestrator.train.fit import check
from orchestrator.train.graph.flow_task import FlowTask
from orchestrator.train.graph.nodes import Nodes
from orchestrator.train.recipe import Recipe
from tests.training import written

SEEN, FILMED = "input_projectors.image", "output_projectors.video"
MLP = {"kind": "mlp", "config": {"num_tokens": 4}}
FILM = {"kind": "transformer", "config": {"hidden_dim": 16, "layers": 1, "heads": 2, "ffn_dim": 16}}


@pytest.fixture(scope="module")
def sketch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of configs without weights: it sees pictures and films."""
    folder = tmp_path_factory.mktemp("sketch")
    files: dict[str, Any] = {
        "llm/config.json": {"hidden_size": 4096},
        "llm/tokenizer.json": {},
        "encoders/image/config.json": {"model_type": "clip_vision_model", "hidden_size": 160},
        "generators/video/model_index.json": {"_class_name": "TextToVideoSDPipeline"},
        "generators/video/text_encoder/config.json": {"max_position_embeddings": 16, "hidden_size": 64},
    }
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(json.dumps(content))
    spec = {
        "name": "sketch",
        "llm": {"path": "llm"},
        "encoders": {"image": {"path": "encoders/image"}},
        "input_projectors": {"image": {"path": "in"}},
        "output_projectors": {"video": {"path": "out"}},
        "generators": {"video": {"path": "generators/video"}},
        "signals": {"video": {"count": 24, "token": "[VID{}]"}},
    }
    (folder / "bundle.yaml").write_text(yaml.safe_dump(spec))
    bundle = Bundle.open(folder)
    for part, (kind, config) in {SEEN: ("linear", {}), FILMED: ("transformer", FILM["config"])}.items():
        made: Any = new_projector(bundle, part, kind, **config)
        save_projector(made, made.manifest, folder / bundle.part(part).path)
    return folder


def checked(folder: Path, bundle: Path, **fields: Any) -> list[str]:
    """The problems, without the name of the file."""
    recipe = Recipe.load(written(folder, bundle=str(bundle), **fields))
    try:
        check(recipe, Nodes.of(recipe), Bundle.open(bundle))
    except RecipeError as error:
        return [str(problem).removeprefix(f"{folder / 'recipe.yaml'}:") for problem in error.problems]
    return []


@pytest.mark.parametrize(
    ("flow", "objectives", "train"),
    [
        ("image -> text", ["txt_gen"], {SEEN: MLP}),
        ("image -> text", ["txt_gen"], {SEEN: {}, "llm.lora": {}}),
        ("image -> text", ["itc", "itm"], {SEEN: {"kind": "qformer", "config": {"vocab_size": 2000}}}),
        ("text -> video", ["mse", "x_gen"], {FILMED: FILM, "llm.signals": {}}),
        ("image -> video", ["x_gen"], {SEEN: MLP, FILMED: {}}),
        ("image + text -> text + video", ["dpo"], {"llm.lora": {}}),
        ("image -> text + video", ["txt_gen"], {"llm": {}}),
    ],
)
def test_what_fits(sketch: Path, tmp_path: Path, flow: str, objectives: list[str], train: Any) -> None:
    assert checked(tmp_path, sketch, flow=flow, objectives=dict.fromkeys(objectives, 1), train=train) == []


@pytest.mark.parametrize(
    ("flow", "objectives", "train", "problem"),
    [
        ("image -> text", {}, {SEEN: MLP}, "there is no objective. Known: dpo, itc, itg, itm, mse, txt_gen, x_gen."),
        ("image -> text", {"txt_gen": 1}, {}, "nothing trains; name a part: `train: {input_projectors.image: {}}`"),
        (
            "image -> text",
            {"txt_gen": 1, "mse": 1},
            {SEEN: MLP},
            "objective mse is of output_project nodes, and flow 'image -> text' has none; name a flow that has one",
        ),
        (
            "image -> text",
            {"txt_gen": 1},
            {SEEN: MLP, FILMED: {}},
            "output_projectors.video: flow 'image -> text' does not use it; it uses: encoders.image, "
            "input_projectors.image, llm",
        ),
        (
            "image -> text + video",
            {"txt_gen": 1},
            {SEEN: MLP, FILMED: {}},
            "output_projectors.video: none of the objectives (txt_gen) reaches it; those that do: mse, x_gen",
        ),
        (
            "image -> text",
            {"itc": 1},
            {SEEN: {"kind": "qformer"}, "llm.lora": {}},
            "llm.lora: none of the objectives (itc) reaches it; those that do: txt_gen, mse, x_gen, dpo",
        ),
        (
            "image -> text",
            {"itc": 1},
            {SEEN: MLP},
            "input_projectors.image: itc are objectives of a Q-Former, and a 'mlp' has none",
        ),
        (
            "image -> text",
            {"dpo": 1},
            {SEEN: MLP},
            "objective dpo compares the LLM with what it was, by disabling its adapter, and none trains; "
            "train one: `train: {llm.lora: {r: 32}}`",
        ),
        (
            "image -> text",
            {"txt_gen": 1},
            {SEEN: {"config": {"num_tokens": 4}}},
            "input_projectors.image: config is for a new projector; give its `kind`, or leave config out to train the "
            "bundle's on",
        ),
        (
            "image -> text",
            {"txt_gen": 1},
            {SEEN: {"kind": "mlp", "config": {"num_token": 4}}},
            "input_projectors.image: projector 'mlp' has no option 'num_token'. Did you mean 'num_tokens'?",
        ),
        (
            "image -> text",
            {"txt_gen": 1},
            {SEEN: {"kind": "mlp", "config": {"in_dim": 4}}},
            "input_projectors.image: leave out in_dim: it follows from the bundle's parts (in_dim is 160)",
        ),
        (
            "text -> video",
            {"mse": 1},
            {FILMED: {"kind": "query"}},
            "output_projectors.video: projector 'query' makes as many tokens as it reads: 16 cannot come of 24 "
            "(the signal has 24 tokens, 'sketch/generators/video' takes 16)",
        ),
        (
            "text -> image",
            {"mse": 1},
            {"output_projectors.image": FILM},
            "node 'reason': bundle 'sketch' has no signal for image; it has: video",
        ),
        (
            "audio -> text",
            {"txt_gen": 1},
            {"input_projectors.audio": MLP},
            "node 'encode': bundle 'sketch' has no encoders.audio; its encoders are: image",
        ),
    ],
)
def test_what_does_not_fit(sketch: Path, tmp_path: Path, flow: str, objectives: Any, train: Any, problem: str) -> None:
    found = checked(tmp_path, sketch, flow=flow, objectives=objectives, train=train)
    assert problem in [told.partition(": ")[2] for told in found]
    assert all(told[0].isdigit() for told in found)  # line and column


def test_problems_have_their_places_and_come_at_once(sketch: Path, tmp_path: Path) -> None:
    train = {SEEN: {"kind": "mlp", "config": {"tokens": 1}}, FILMED: {"kind": "query"}}
    found = checked(tmp_path, sketch, flow="image -> text", objectives={"txt_gen": 1, "x_gen": 1}, train=train)
    lines = (tmp_path / "recipe.yaml").read_text().splitlines()
    assert [lines[int(told.partition(":")[0]) - 1].strip().partition(":")[0] for told in found] == [
        "x_gen",
        FILMED,
        SEEN,
    ]


def other_eyes(folder: Path, base: Path, width: int) -> Path:
    """A bundle with another encoder, of which there is only a config."""
    (folder / "eyes").mkdir()
    config = {"model_type": "clip_vision_model", "hidden_size": width, "architectures": ["CLIPVisionModel"]}
    (folder / "eyes/config.json").write_text(json.dumps(config))
    spec = {"name": "owl", "base": str(base), "encoders": {"image": {"path": "eyes"}}}
    (folder / "bundle.yaml").write_text(yaml.safe_dump(spec))
    return folder


def test_a_projector_that_was_trained_against_another_encoder(sketch: Path, tmp_path: Path) -> None:
    owl = other_eyes(tmp_path, sketch, 1024)
    [problem] = checked(tmp_path, owl, flow="image -> text", train={"llm.lora": {}})
    assert problem.endswith(
        "node 'project': bundle 'owl': input_projectors.image was trained against encoder 'sketch/encoders/image' "
        "(160 wide), the bundle has 'owl/eyes' (1024 wide)"
    )
    assert checked(tmp_path, owl, flow="image -> text", train={SEEN: MLP}) == []  # a new one fits


def test_a_bundle_is_named_or_lies_beside_the_recipe(sketch: Path, tmp_path: Path) -> None:
    (tmp_path / "pocket").mkdir()  # a folder of that name, and no bundle
    (tmp_path / "owl").mkdir()
    other_eyes(tmp_path / "owl", sketch, 64)
    fields: dict[str, Any] = {"flow": "image -> text", "train": {SEEN: MLP}}
    for name in ("pocket", "owl"):
        recipe = Recipe.load(written(tmp_path, bundle=name, **fields))
        assert FlowTask(recipe, Report(), tmp_path).parts.bundle.name == name
    recipe = Recipe.load(written(tmp_path, bundle="pocked", **fields))
    with pytest.raises(BundleError, match=r"unknown bundle 'pocked': .*Did you mean 'pocket'\?"):
        FlowTask(recipe, Report(), tmp_path)
