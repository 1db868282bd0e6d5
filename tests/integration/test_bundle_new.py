"""A bundle of one's own, from the parts of the tiny ones: made, trained for two steps, verified, run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import constants

from orchestrator.cli.main import main
from orchestrator.models.bundle import Bundle
from orchestrator.models.bundle.verify import verify
from orchestrator.train.recipe import Recipe
from tests import tiny
from tests.hub import FIRST, Hub

MEDIA = Path(__file__).parents[2] / "flows" / "media"
Captured = pytest.CaptureFixture[str]


@pytest.fixture(scope="module")
def silent_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An LLM that has no signal tokens."""
    return tiny.llm(tmp_path_factory.mktemp("silent") / "llm", signals={})


@pytest.fixture
def parts(tiny_any_bundle: Path, silent_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to work in, with the parts at hand: `any` (a bundle) and `llm`."""
    (tmp_path / "any").symlink_to(tiny_any_bundle)
    (tmp_path / "llm").symlink_to(silent_llm)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def new(*words: str) -> int:
    return main(["bundle", "new", "mine", *words])


def spec(folder: str = "mine") -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(Path(folder, "bundle.yaml").read_text())
    return found


FROM_PARTS = ["--llm", "llm", "--encoder", "image=any/encoders/image", "--generator", "audio=any/generators/audio",
              "--set", "generators.audio.settings.steps=2"]  # fmt: skip


def test_from_parts_to_a_sound(parts: Path, capsys: Captured) -> None:
    """Every command that `orch bundle new` says to type next works, and at the end all ways run."""
    assert new(*FROM_PARTS) == 0
    told = capsys.readouterr().out
    assert "The LLM is a copy with 8 new signal tokens" in told
    assert "To be trained: input_projectors.image (mlp), output_projectors.audio (transformer)" in told
    assert main(["bundle", "verify", "mine", "--json"]) == 0
    ways = {(way["line"], way["bridge"]): way for way in json.loads(capsys.readouterr().out)["ways"]}
    assert {key: way["status"] for key, way in ways.items()} == {
        ("image -> text", ""): "lacks",
        ("text -> audio", "signal"): "lacks",
        ("text -> audio", "caption"): "ran",
    }
    for way, group in (("image -> text", "input_projectors"), ("text -> audio", "output_projectors")):
        (said,) = (w["said"] for (line, bridge), w in ways.items() if line == way and bridge != "caption")
        assert f"this trains one: orch train mine/recipes/{group}.yaml" in said
    (parts / "mine/data").mkdir()
    for modality, file in (("image", "guitar.png"), ("audio", "note.wav")):
        shutil.copy(MEDIA / file, parts / "mine/data")
        (parts / f"mine/data/{modality}.tsv").write_text(f"a guitar\t{file}\n")
    lines = [line.split() for line in told.splitlines() if line.startswith("  orch ")]
    for command, *words in (line[1:] for line in lines if line[1] == "train"):
        small = ["--set", "train.output_projectors.audio.config={hidden_dim: 16, layers: 1, ffn_dim: 16}"]
        assert main([command, *words, "--steps", "2", "--quiet", *(small if "output" in words[0] else [])]) == 0
    (verified,) = (line[1:] for line in lines if line[1:3] == ["bundle", "verify"])
    capsys.readouterr()
    assert main(verified) == 0
    shown = capsys.readouterr().out.splitlines()
    assert [line.split("  ")[0] for line in shown[1:]] == ["✓ image -> text", "✓ text -> audio", "✓ text -> audio"]
    assert 'orch run "image -> audio" --bundle mine/train/output_projectors/bundle' in told


def test_the_copied_llm_has_the_tokens_and_the_same_weights(parts: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    assert new(*FROM_PARTS, "--set", "signals.audio.count=3", "--set", "signals.audio.token='[AUD{}]'") == 0
    assert spec()["llm"] == {"path": "llm", "chat": "pocket"}, "its tokenizer has no chat template"
    words = AutoTokenizer.from_pretrained("mine/llm")
    assert len(words(" [AUD0][AUD1][AUD2]").input_ids) == 4
    before, after = (AutoModelForCausalLM.from_pretrained(f).get_input_embeddings().weight for f in ("llm", "mine/llm"))
    assert len(after) == len(words) == len(before) + 3
    assert after[: len(before)].equal(before)


def test_recipes_are_sound_and_follow_each_other(parts: Path) -> None:
    assert new(*FROM_PARTS) == 0
    read, make = (Recipe.load(f"mine/recipes/{group}.yaml") for group in ("input_projectors", "output_projectors"))
    assert (read.flow, make.flow) == ("image -> text", "text -> audio")
    assert (read.bundle, make.bundle) == ("..", "../train/input_projectors/bundle")
    assert list(make.tunings()) == ["llm.signals", "output_projectors.audio"]
    assert set(make.weights()) == {"txt_gen", "mse", "x_gen"}


def test_another_encoder_for_a_bundle(parts: Path, tiny_convnet_encoder: Path) -> None:
    """All that still fits is taken over; the projector that does not is left out until one is trained."""
    assert new("--from", "any", "--encoder", f"image={tiny_convnet_encoder}", "--projector", "image=linear") == 0
    assert spec() == {
        "name": "mine",
        "base": "../any",
        "encoders": {"image": {"checkpoint": str(tiny_convnet_encoder)}},
        "input_projectors": {"image": None},
        "recipes": {"input_projectors": "recipes/input_projectors.yaml"},
    } | {"base": spec()["base"]}
    made = Bundle.open("mine")
    assert verify(made) == []
    assert set(Bundle.open("any").names()) - set(made.names()) == {"input_projectors.image"}
    assert Recipe.load("mine/recipes/input_projectors.yaml").tunings().keys() == {"input_projectors.image"}


def test_another_llm_for_a_bundle(parts: Path, tiny_any_bundle: Path) -> None:
    """Nothing that was trained for the LLM fits another, and it gets the signal tokens of the bundle."""
    assert new("--from", "any", "--llm", "llm") == 0
    made = Bundle.open("mine")
    assert verify(made) == []
    assert {part.partition(".")[0] for part in made.names()} == {"llm", "encoders", "generators"}
    assert made.spec.signals == Bundle.open("any").spec.signals
    files = ("input_projectors", "output_projectors")
    assert [len(Recipe.load(f"mine/recipes/{file}.yaml").data) for file in files] == [3, 3]


def test_the_same_parts_need_no_training(parts: Path, capsys: Captured) -> None:
    """An encoder that was only moved is another to a projector, unless it has the id that it was trained with."""
    same = ["--from", "any", "--encoder", "audio=any/encoders/audio"]
    assert new(*same, "--set", "encoders.audio.id=tiny-any/encoders/audio") == 0
    assert "Nothing is to be trained" in capsys.readouterr().out
    assert main(["bundle", "new", "other", *same]) == 0
    assert "To be trained: input_projectors.audio (mlp)" in capsys.readouterr().out


def test_copied_parts_stand_in_the_bundle_once(parts: Path) -> None:
    both = ["--encoder", "image=any/encoders/image", "--encoder", "video=any/encoders/image"]
    assert new("--llm", "llm", *both, "--set", "encoders.video.select=patches", "--copy") == 0
    assert spec()["encoders"] == {
        "image": {"path": "encoders/image"},
        "video": {"path": "encoders/image", "select": "patches"},
    }
    assert spec()["llm"]["path"] == "llm"
    assert {p.name for p in Path("mine/encoders").iterdir()} == {"image"}
    assert verify(Bundle.open("mine")) == []


def test_a_part_of_the_hub_is_fetched_and_pinned(
    parts: Path, tiny_any_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Captured
) -> None:
    words = ["--from", "any", "--encoder", "image=hub:org/clip"]
    with Hub(org__clip=tiny_any_bundle / "encoders/image") as served:
        monkeypatch.setattr(constants, "ENDPOINT", served.url)
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants._HF_DEFAULT_ENDPOINT, served.url)
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_PROGRESS_BARS", True)
        assert new(*words) == 2
        assert "encoders.image: org/clip of the hub is not on this machine; add --fetch" in capsys.readouterr().err
        assert new(*words, "--fetch") == 0
    assert spec()["encoders"]["image"] == {"hub": "org/clip", "revision": FIRST}
    assert verify(Bundle.open("mine")) == []


PROBLEMS = [
    ([], ["nothing is given: name parts, as in --llm PATH"]),
    (["--encoder", "image=any/encoders/image"], ["a bundle needs an LLM: give --llm PATH, or --from BUNDLE"]),
    (["--llm", "llm", "--encoder", "picture=x"], ["--encoder picture=...: unknown modality 'picture'. Known: audio,"]),
    (["--llm", "llm", "--encoder", "vdeo=x"], ["unknown modality 'vdeo'. Did you mean 'video'?"]),
    (["--llm", "llm", "--set", "encoders.image.selct=all"], ["encoders.image.selct: Extra inputs are not permitted"]),
    (
        ["--llm", "gone", "--encoder", "image=any/generators/image", "--encoder", "audio=any/encoders/image",
         "--generator", "video=any/generators/image", "--generator", "audio=any/encoders/audio"],
        ["llm is missing: there is no folder ", "/gone",
         "encoders.image: ", "any/generators/image",
         "encoders.audio: an encoder of type 'clip_vision_model' reads image, not audio",
         "generators.video: a StableDiffusionPipeline makes image, not video",
         "generators.audio: ", "encoders/audio/model_index.json: No such file"],
    ),
    (["--llm", "any/encoders/image"], ["llm: ", "is a 'CLIPVisionModel', no causal language model"]),
    (
        ["--llm", "llm", "--encoder", "image=any/encoders/image", "--generator", "image=any/generators/image",
         "--projector", "image=mpl", "--output-projector", "image=query", "--projector", "audio=mlp"],
        ["input_projectors.audio: there is no encoders.audio to train it for. Known: image."],
    ),
    (
        ["--llm", "llm", "--encoder", "image=any/encoders/image", "--generator", "image=any/generators/image",
         "--projector", "image=mpl", "--output-projector", "image=query"],
        ["input_projectors.image: ", "'mpl'", "Did you mean 'mlp'?", "output_projectors.image: ", "the signal has 8"],
    ),
    (
        ["--llm", "hub:some/llm@0123456789012345678901234567890123456789"],
        ["llm: some/llm of the hub is not on this machine; add --fetch to bring it here"],
    ),
    (["--llm", "llm", "--set", "name.x=1"], ["cannot set a field of 'name': 'name' is 'mine'"]),
    (["--from", "any", "--llm", "llm", "--out", "any"], ["any is there already: choose another --out"]),
    (["--from", "pokcet", "--llm", "llm"], ["unknown bundle 'pokcet'"]),
]  # fmt: skip


def test_a_name_is_no_path(parts: Path, capsys: Captured) -> None:
    assert main(["bundle", "new", "my/own", "--llm", "llm"]) == 2
    assert "'my/own' is no name: " in capsys.readouterr().err


@pytest.mark.parametrize(("words", "told"), PROBLEMS, ids=[told[0][:40] for _, told in PROBLEMS])
def test_all_problems_at_once_and_nothing_written(
    words: list[str], told: list[str], parts: Path, capsys: Captured
) -> None:
    before = sorted(parts.iterdir())
    assert new(*words) == 2
    said = capsys.readouterr().err
    assert [part for part in told if part not in said] == [], said
    assert sorted(parts.iterdir()) == before
