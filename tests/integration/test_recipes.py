"""The recipes that ship: each is read, fits its papers' numbers, and trains for two steps on tiny real classes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from PIL import Image

from orchestrator.engine.flow import Flow
from orchestrator.models.bundle import BUNDLE_FILE, Bundle
from orchestrator.nodes.media import Media
from orchestrator.projectors import build, num_tokens_for
from orchestrator.train.graph.nodes import Nodes
from orchestrator.train.recipe import Recipe
from orchestrator.train.trainer import train
from orchestrator.train.tuning import LoraTuning, ProjectorTuning
from recipes.pocket import bundle as recipe_bundle
from recipes.pocket import mm_it
from tests import tiny
from tests.training import medium

FOLDER = Path(__file__).parents[2] / "recipes"
RECIPES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
SMALL: Mapping[str, Mapping[str, Any]] = {  # sizes of new projectors, by kind
    "grouping": {"concepts": [4], "num_tokens": 2, "hidden_dim": 16, "layers": 1, "heads": 2, "ffn_dim": 32},
    "linear": {},
    "mlp": {},
    "qformer": {"num_tokens": 4, "hidden_dim": 16, "layers": 2, "heads": 2, "ffn_dim": 32, "vocab_size": 500},
    "query": {"layers": 1},
    "resampler": {"layers": 1, "heads": 2, "head_dim": 8, "ffn_dim": 32},
    "transformer": {"hidden_dim": 32, "layers": 1, "heads": 2, "ffn_dim": 32},
}
SUFFIX = {"image": ".png", "audio": ".wav", "video": ".mp4"}


def load(name: str, **changes: Any) -> Recipe:
    return Recipe.load(FOLDER / f"{name}.yaml", {key: json.dumps(value) for key, value in changes.items()})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_says_what_it_is_and_what_it_needs(name: str) -> None:
    recipe = load(name)
    first, second, *_ = (FOLDER / f"{name}.yaml").read_text().splitlines()
    assert recipe.recipe == name.replace("_", "-")
    assert len(recipe.doc) > 50
    assert first.startswith("# Bundle: ")
    assert "Data" in first + second
    assert "arXiv" in recipe.doc
    parts = set(Nodes.of(recipe).parts())
    assert {part.replace("llm.lora", "llm").replace("llm.signals", "llm") for part in recipe.tunings()} <= parts


# --- parameters, against the papers


SIZES = {  # bundle -> d of the encoder's features and of the LLM, signal tokens, [L, d] of the condition; by modality
    "nextgpt": (1024, 4096, {"image": (4, 77, 768), "audio": (8, 1, 512), "video": (24, 77, 1024)}),
    "llava15": (1024, 4096, {}),
    "gill": (1024, 4096, {"image": (8, 77, 768)}),
    "minigpt5": (1408, 4096, {"image": (8, 77, 1024)}),
    "metaquery": (1152, 896, {"image": (64, 64, 2304)}),  # as in the paper, with Sana
    "blip2": (1408, 2560, {}),
}


def parameters(bundle: str, part: str, how: ProjectorTuning) -> int:
    group, _, modality = part.partition(".")
    seen, llm, made = SIZES[bundle]
    dims: dict[str, Any] = {"in_dim": seen, "out_dim": llm}
    if group == "output_projectors":
        signals, length, width = made[modality]
        tokens = num_tokens_for(str(how.kind), signals, length)
        dims = {"in_dim": llm, "out_dim": width, "num_tokens": tokens}
    with torch.device("meta"):
        module = build(str(how.kind), **{**how.config, **dims})
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(
    ("name", "bundle", "part", "millions", "within"),
    [
        ("nextgpt_1_encoding", "nextgpt", "input_projectors.image", 28, 0.05),  # figure 2 of v3
        ("nextgpt_1_encoding", "nextgpt", "input_projectors.audio", 28, 0.05),
        ("nextgpt_1_encoding", "nextgpt", "input_projectors.video", 28, 0.05),
        ("nextgpt_2_decoding", "nextgpt", "output_projectors.image", 31, 0.04),
        ("nextgpt_2_decoding", "nextgpt", "output_projectors.audio", 31, 0.04),
        ("nextgpt_2_decoding", "nextgpt", "output_projectors.video", 32, 0.01),
        ("llava15_pretrain", "llava15", "input_projectors.image", 20.98, 0.001),  # 1024 -> 4096 -> 4096
        ("gill", "gill", "input_projectors.image", 16.79, 0.001),  # 1024 -> 4 x 4096
        ("gill", "gill", "output_projectors.image", 31.96, 0.001),
        ("minigpt5_1_pairs", "minigpt5", "output_projectors.image", 123, 0.01),
        ("metaquery", "metaquery", "output_projectors.image", 316, 0.02),
        ("qformer_pretrain", "blip2", "input_projectors.image", 203, 0.03),  # 188M with BERT's 30522 tokens
    ],
)
def test_projectors_have_the_papers_numbers_of_parameters(
    name: str, bundle: str, part: str, millions: float, within: float
) -> None:
    how = load(name).tunings()[part]
    assert isinstance(how, ProjectorTuning)
    assert parameters(bundle, part, how) / 1e6 == pytest.approx(millions, rel=within)


@pytest.mark.parametrize(
    ("name", "parameters"), [("nextgpt_3_instruction", 33_554_432), ("minigpt5_2_dialogues", 4_194_304)]
)
def test_lora_has_the_papers_number_of_parameters(name: str, parameters: int) -> None:
    """In a Vicuna-7B: 32 layers, 4096 wide. NExT-GPT says 33M."""
    from transformers import LlamaConfig, LlamaForCausalLM

    lora = load(name).tunings()["llm.lora"]
    assert isinstance(lora, LoraTuning)
    with torch.device("meta"):
        llm = LlamaForCausalLM(LlamaConfig())
    shapes = [m.weight.shape for n, m in llm.named_modules() if n.rpartition(".")[2] in lora.targets]
    assert sum(lora.r * sum(shape) for shape in shapes) == parameters


# --- two steps of each


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Media to see and to make."""
    folder = tmp_path_factory.mktemp("data")
    for modality, suffix in SUFFIX.items():
        for i in range(4):
            made = medium(modality, i)
            if modality == "image":
                Image.fromarray(made).save(folder / f"{i}.png")
            else:
                Media.load(made, modality).save(folder / f"{i}{suffix}")
    return folder


@pytest.fixture(scope="module")
def bare(tiny_any_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny bundle without projectors: what one begins with."""
    folder = tmp_path_factory.mktemp("bare") / "bundle"
    shutil.copytree(
        tiny_any_bundle, folder, copy_function=os.link, ignore=shutil.ignore_patterns("projectors", "*.yaml")
    )
    spec = yaml.safe_load((tiny_any_bundle / BUNDLE_FILE).read_text())
    kept = {name: value for name, value in spec.items() if not name.endswith("projectors")}
    (folder / BUNDLE_FILE).write_text(yaml.safe_dump(kept))
    return folder


@pytest.fixture(scope="module")
def queries(bare: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bare bundle with as many signal tokens as its generator has positions."""
    folder = tmp_path_factory.mktemp("queries")
    signals = tiny.ALL_SIGNALS | {"image": tiny.LENGTH}
    tiny.llm(folder / "llm", signals)
    signal = {"count": tiny.LENGTH, "token": tiny.TOKEN["image"]}
    llm = {"path": "llm", "chat": "pocket", "id": "tiny-any/llm"}
    spec = {"name": "queries", "base": str(bare), "llm": llm, "signals": {"image": signal}}
    (folder / BUNDLE_FILE).write_text(yaml.safe_dump(spec))
    return folder


def rows(recipe: Recipe) -> list[dict[str, Any]]:
    """Dialogues for what a recipe's flow sees and makes, two of each kind."""
    nodes, found = Nodes.of(recipe), []
    seen, made = nodes.modalities("encode"), nodes.modalities("generate")
    for i, said in enumerate(("a dog", "a cat on grass")):
        for modality in seen:
            asked = [{modality: f"{i}{SUFFIX[modality]}"}, "what is this?"]
            found.append([{"role": "user", "content": asked}, {"role": "assistant", "content": said}])
        for modality in made:
            reply = [said, {modality: f"{i + 2}{SUFFIX[modality]}"}]
            found.append([{"role": "user", "content": f"make {said}"}, {"role": "assistant", "content": reply}])
        if seen and made:
            found.append([*found[-len(made) - 1], *found[-1]])
    worse = {"rejected": {"role": "assistant", "content": "red snow"}} if "dpo" in recipe.weights() else {}
    return [{"turns": turns, **worse} for turns in found]


def tiny_recipe(name: str, bundle: Path, data: Path, **changes: Any) -> Recipe:
    """A recipe that ships, for a tiny bundle and two steps."""
    given = load(name)
    sizes = {
        f"train.{part}.config": {**how.config, **SMALL[how.kind]}
        for part, how in given.tunings().items()
        if isinstance(how, ProjectorTuning) and how.kind
    }
    file = data / f"{name}.jsonl"
    file.write_text("\n".join(map(json.dumps, rows(given))))
    entries = [{"reader": "manifest", "path": str(file)}]
    length = {"batch_size": 3, "accumulate": 1, "steps": 2, "epochs": None, "sample.count": 0}
    other = {"bundle": str(bundle), "data": entries, "precision": "fp32"}
    return load(name, **{**sizes, **length, **other, **changes})


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_trains(name: str, request: Any, data: Path, tmp_path: Path) -> None:
    """Those that begin a model, on a bundle without projectors."""
    given = load(name)
    goes_on = any(not how.kind for how in given.tunings().values() if isinstance(how, ProjectorTuning))
    later = goes_on or name == "mm_it_dpo"
    bundle = "queries" if name == "metaquery" else "tiny_any_bundle" if later else "bare"
    cache = str(tmp_path / "frozen") if given.cache else False
    recipe = tiny_recipe(name, request.getfixturevalue(bundle), data, cache=cache)
    assert set(recipe.tunings()) == set(given.tunings())
    result = train(recipe, tmp_path / "run", device="cpu")
    assert (result.status, result.step) == ("done", 2)
    assert result.losses.keys() == recipe.weights().keys()
    made = Bundle.open(tmp_path / "run" / "bundle")
    assert made.own == {"llm.adapter" if part.startswith("llm") else part for part in recipe.tunings()}


def test_stages_build_on_each_other(tiny_any_bundle: Path, data: Path, tmp_path: Path) -> None:
    """Each stage of the pocket recipes trains on the bundle that the one before wrote; the last one runs."""
    bundle = tiny_any_bundle
    for name in ("mm_pt_input", "mm_pt_output", "mm_it_sft", "mm_it_dpo", "mm_it_input", "mm_it_output"):
        shown = {"sample.count": 2} if name == "mm_it_sft" else {}
        recipe = tiny_recipe(name, bundle, data, **shown)
        result = train(recipe, tmp_path / name, device="cpu")
        bundle = tmp_path / name / "bundle"
        assert result.status == "done"
    assert len(list((tmp_path / "mm_it_sft/samples/step-2").glob("*.txt"))) == 2
    made = Bundle.open(bundle)
    owners = {part: made.owner(part).name for part in ("input_projectors.image", "output_projectors.video", "llm")}
    assert owners == {
        "input_projectors.image": "mm-it-input",
        "output_projectors.video": "mm-it-output",
        "llm": "tiny-any",
    }
    assert [folder.parent.parent.name for folder in made.adapters] == ["mm_it_sft", "mm_it_dpo"]
    flow = Flow.of("image -> text + video", bundle=bundle).with_fields({"generate.steps": 1})
    assert flow.run(image=medium("image"), cache=False, device="cpu")["video"].modality == "video"


def test_what_mm_it_made_stands_where_the_bundle_is_assembled(
    tiny_any_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of MM-IT that are not found would leave its LLM with the projectors of MM-PT."""
    asked: list[tuple[str, Path]] = []

    def trained(name: str, bundle: Path, out: Path) -> Bundle:
        asked.append((name, bundle))
        return Bundle.open(tiny_any_bundle)

    monkeypatch.setattr(mm_it, "trained", trained)
    monkeypatch.setattr(mm_it, "write_spec", lambda out: Bundle.open(tiny_any_bundle))
    monkeypatch.setattr("sys.argv", ["mm_it", "--out", str(tmp_path)])
    mm_it.main()
    assert [name for name, _ in asked] == ["mm_it_sft", "mm_it_dpo", "mm_it_input", "mm_it_output"]
    looked_for = {folder for folder in recipe_bundle.folders() if folder.startswith(("llm", "projectors"))}
    made = {str(file.parent.relative_to(tmp_path / "tuned")) for file in tmp_path.rglob("*.safetensors")}
    assert made == looked_for
