"""Evaluations over the tiny any-to-any bundle, with tiny judges: random weights, so only the counting is right."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from orchestrator.cli.main import main
from orchestrator.errors import BundleError, DataError, RecipeError
from orchestrator.evaluation import Evaluated, Evaluation, evaluate
from orchestrator.evaluation.judge import Judge
from orchestrator.flow import FlowBuilder, dumps
from orchestrator.nodes.media import Audio, Media, Video
from orchestrator.train.data import manifest
from orchestrator.train.data.sample import MediaRef, Sample, Turn
from tests import tiny

WORDS = ("dog", "cat", "motion: left", "motion: right")
LABELS = {"id2label": dict(enumerate(WORDS)), "label2id": {word: i for i, word in enumerate(WORDS)}}
NOISE = np.random.default_rng(0)


def picture_judge(folder: Path) -> Path:
    from transformers import ConvNextImageProcessorPil, ResNetConfig, ResNetForImageClassification

    tiny.seeded()
    config = ResNetConfig(embedding_size=8, hidden_sizes=[8, 8], depths=[1, 1], layer_type="basic", **LABELS)
    ResNetForImageClassification(config).save_pretrained(folder)
    ConvNextImageProcessorPil(size={"shortest_edge": 32}, crop_pct=1.0).save_pretrained(folder)
    return folder


def sound_judge(folder: Path) -> Path:
    from transformers import ASTConfig, ASTFeatureExtractor, ASTForAudioClassification

    tiny.seeded()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    mel = {"num_mel_bins": 32, "max_length": 64}
    ASTForAudioClassification(ASTConfig(**sizes, **mel, **LABELS)).save_pretrained(folder)
    ASTFeatureExtractor(**mel).save_pretrained(folder)
    return folder


def film_judge(folder: Path) -> Path:
    from transformers import VideoMAEConfig, VideoMAEForVideoClassification, VideoMAEImageProcessorPil

    tiny.seeded()
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    config = VideoMAEConfig(image_size=32, patch_size=16, num_frames=4, **sizes, **LABELS)
    VideoMAEForVideoClassification(config).save_pretrained(folder)
    size = {"height": 32, "width": 32}
    VideoMAEImageProcessorPil(size={"shortest_edge": 32}, crop_size=size).save_pretrained(folder)
    return folder


JUDGES: dict[str, Callable[[Path], Path]] = {"picture": picture_judge, "sound": sound_judge, "film": film_judge}


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("judges")
    return {name: make(folder / name) for name, make in JUDGES.items()}


def medium(modality: str, seed: int = 0) -> Media:
    noise = np.random.default_rng(seed)
    values: dict[str, Callable[[], Any]] = {
        "image": lambda: noise.integers(0, 256, (40, 40, 3), np.uint8),
        "audio": lambda: Audio(noise.uniform(-1, 1, 8000), 16000),
        "video": lambda: Video(noise.integers(0, 256, (6, 32, 32, 3), np.uint8)),
    }
    return Media(modality, values[modality]())


@pytest.mark.parametrize(
    ("name", "modality"), [("picture", "image"), ("picture", "video"), ("sound", "audio"), ("film", "video")]
)
def test_judges(name: str, modality: str, judges: dict[str, Path]) -> None:
    judge = Judge(judges[name])
    media = [medium(modality, seed) for seed in range(3)]
    seen = judge(media)
    assert seen == [judge([one])[0] for one in media]
    assert all(found["concept"] in ("dog", "cat") and found["motion"] in ("left", "right") for found in seen)


def test_a_film_is_the_mean_of_its_frames(judges: dict[str, Path]) -> None:
    judge, film = Judge(judges["picture"]), medium("video")
    frames = [Media("image", frame) for frame in film.video.frames]
    each = judge.kind.logits(judge, frames)
    assert torch.allclose(judge.kind.logits(judge, [film])[0], each.mean(0), atol=1e-5)


MADE = ("image", "audio", "video")


def sets(folder: Path, count: int = 2) -> None:
    """Manifests: pictures, sounds and films with captions; requests for all three."""
    seen, asked = [], []
    for i in range(count):
        for modality in MADE:
            suffix = {"image": "png", "audio": "wav", "video": "mp4"}[modality]
            path = medium(modality, i).save(folder / f"{i}.{suffix}")
            turns = (Turn("user", (MediaRef(modality, path), "describe")), Turn("assistant", ("a red dog on grass",)))
            seen.append(Sample(turns, labels={"concept": ("dog",)}))
        wanted = tuple(MediaRef(modality, None, "a dog") for modality in MADE)
        turns = (Turn("user", (f"a dog {i}",)), Turn("assistant", ("a dog", *wanted)))
        asked.append(Sample(turns, labels={"concept": ("dog",), "motion": ("left",)}))
    manifest.write(folder / "seen.jsonl", seen)
    manifest.write(folder / "asked.jsonl", asked)
    all_three(folder)


def all_three(folder: Path) -> None:
    """A flow file: one signal of each modality, for there is no room for more, and one step a medium."""
    flow = FlowBuilder("all-three")
    tokens = sum(tiny.ALL_SIGNALS.values())
    reply = flow.add("reason", prompt=flow.input("text", "text"), require=list(MADE), max_new_tokens=tokens)
    split = flow.add("decode", reply=reply)
    for modality in MADE:
        condition = flow.add("output_project", signal=split[modality])
        flow.output(modality, flow.add("generate", condition=condition, steps=1))
    (folder / "all_three.yaml").write_text(dumps(flow.build()))


def measures(judges: dict[str, Path]) -> dict[str, Any]:
    asked = {"data": [{"reader": "manifest", "path": "asked.jsonl"}]}
    judge = [str(judges["film"]), str(judges["picture"]), str(judges["sound"])]
    return {
        "captions": {"metric": "captions", "data": [{"reader": "manifest", "path": "seen.jsonl"}]},
        "media": {"metric": "media", "judge": judge, "flow": "all_three.yaml", **asked},
        "signals": {"metric": "signals", **asked},
        "routes": {"metric": "routes", **asked},
    }


def written(folder: Path, judges: dict[str, Path], **changes: Any) -> Path:
    content = {"evaluation": "tiny", "seeds": [0, 1], "measures": measures(judges)} | changes
    (folder / "eval.yaml").write_text(json.dumps(content))  # JSON is YAML
    return folder / "eval.yaml"


@pytest.fixture
def found(tmp_path: Path, judges: dict[str, Path], tiny_any_bundle: Path) -> Evaluated:
    sets(tmp_path)
    return evaluate(written(tmp_path, judges), bundle=tiny_any_bundle)


def test_every_modality_is_counted(
    found: Evaluated, tmp_path: Path, judges: dict[str, Path], tiny_any_bundle: Path
) -> None:
    named = {number.modality: number for number in found["captions"]["names the concept"]}
    assert {modality: (number.of, number.spread) for modality, number in named.items()} == dict.fromkeys(
        MADE, (2, None)
    )
    for name in ("shows the concept", "shows the motion"):
        shown = {(number.modality, number.way): number for number in found["media"][name]}
        assert shown.keys() == {(m, way) for m in MADE for way in ("caption", "signal", "signal - caption")}
        assert {(number.of, number.count, len(number.seeds)) for number in shown.values()} == {(2, 4, 2)}
        for modality in MADE:
            signal, caption, both = (shown[modality, w] for w in ("signal", "caption", "signal - caption"))
            assert both.mean == pytest.approx(signal.mean - caption.mean)
            assert both.spread is not None
    assert {number.mean for number in found["media"]["one signal"]} == {1.0}
    assert [number.mean for number in found["signals"]["well-formed signals"]] == [1.0]
    assert [number.of for number in found["routes"]["right route"]] == [2, 2]
    alone = evaluate(written(tmp_path, judges, batch=1, seeds=[1]), bundle=tiny_any_bundle)["media"]
    assert [n.seeds[1] for n in alone.numbers] == pytest.approx([n.seeds[1] for n in found["media"].numbers])
    assert alone.cases == tuple(case for case in found["media"].cases if case["seed"] == 1)


def test_a_limit_and_progress(tmp_path: Path, judges: dict[str, Path], tiny_any_bundle: Path) -> None:
    sets(tmp_path)
    told: list[tuple[str, int, int]] = []
    found = evaluate(
        written(tmp_path, judges, measures={"routes": measures(judges)["routes"]}),
        bundle=tiny_any_bundle,
        limit=1,
        on_progress=lambda event: told.append((event.measure, event.done, event.total)),
    )
    assert found["routes"]["right route"][0].of == 1
    assert told == [("routes", 0, 1), ("routes", 1, 1)]


def test_samples_of_each_seed(tmp_path: Path, judges: dict[str, Path], tiny_any_bundle: Path) -> None:
    sets(tmp_path)
    for seed in (0, 1):
        (tmp_path / f"asked-{seed}.jsonl").write_text(
            (tmp_path / "asked.jsonl").read_text().replace("a dog", f"{seed}")
        )
    one = {"metric": "routes", "data": [{"reader": "manifest", "path": "asked-{seed}.jsonl"}]}
    found = evaluate(written(tmp_path, judges, measures={"routes": one}), bundle=tiny_any_bundle)
    assert set(found["routes"]["right route"][0].seeds) == {0, 1}


def test_broken_samples_are_left_out_up_to_a_limit(
    tmp_path: Path, judges: dict[str, Path], tiny_any_bundle: Path
) -> None:
    sets(tmp_path, 3)
    (tmp_path / "0.png").write_bytes(b"no picture")
    (tmp_path / "1.png").unlink()
    chosen = {"captions": measures(judges)["captions"]}
    found = evaluate(written(tmp_path, judges, measures=chosen, limits={"broken": 2}), bundle=tiny_any_bundle)
    assert {number.modality: number.of for number in found["captions"]["exact match"]} == {
        "image": 1,
        "audio": 3,
        "video": 3,
    }
    assert found["captions"].broken["broken"] == 2
    with pytest.raises(DataError, match=r"samples are broken, and limits.broken allows 1"):
        evaluate(written(tmp_path, judges, measures=chosen, limits={"broken": 1}), bundle=tiny_any_bundle)


def test_all_problems_before_anything_is_loaded(
    tmp_path: Path, judges: dict[str, Path], tiny_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(*_: object) -> None:
        raise AssertionError("nothing is to be loaded")

    monkeypatch.setattr("orchestrator.engine.pool.load_part", load)
    sets(tmp_path)
    chosen = measures(judges)
    chosen["media"] |= {"judge": [str(tmp_path / "nobody")]}
    chosen["signals"] |= {"data": [{"reader": "manifest", "path": "nothing.jsonl"}]}
    chosen["routes"] |= {"flow": "text -> audio"}
    with pytest.raises(RecipeError) as raised:
        evaluate(written(tmp_path, judges, measures=chosen), bundle=tiny_bundle)
    said = [str(problem) for problem in raised.value.problems]
    wanted = ("'captions': ", "has no encoders.audio"), ("'media': ", "no folder"), ("'signals': ", "nothing.jsonl")
    for measure, message in (*wanted, ("'routes': ", "has no generators.audio")):
        assert any(measure in line and message in line for line in said), (measure, message, said)


def test_a_judge_of_other_words(tmp_path: Path, judges: dict[str, Path], tiny_any_bundle: Path) -> None:
    sets(tmp_path)
    lines = (tmp_path / "asked.jsonl").read_text().replace('["dog"]', '["dogg"]')
    (tmp_path / "asked.jsonl").write_text(lines)
    path = written(tmp_path, judges, measures={"media": measures(judges)["media"]})
    with pytest.raises(RecipeError, match=r"asked.jsonl:1: no judge knows the concept 'dogg'. Did you mean 'dog'\?"):
        evaluate(path, bundle=tiny_any_bundle)


def test_an_evaluation_in_python(tmp_path: Path, tiny_any_bundle: Path) -> None:
    sets(tmp_path)
    data = [{"reader": "manifest", "path": str(tmp_path / "asked.jsonl")}]
    made = Evaluation.model_validate({"evaluation": "x", "measures": {"routes": {"metric": "routes", "data": data}}})
    assert evaluate(made, bundle=tiny_any_bundle, limit=1).bundle == "tiny-any"
    with pytest.raises(BundleError, match="unknown bundle"):
        evaluate(made, bundle="nowhere")


def test_a_picture_without_a_word(tmp_path: Path, tiny_any_bundle: Path) -> None:
    path = medium("image").save(tmp_path / "a.png")
    sample = Sample((Turn("user", (MediaRef("image", path),)), Turn("assistant", ("a dog",))))
    data = [{"reader": "manifest", "path": str(manifest.write(tmp_path / "a.jsonl", [sample]))}]
    made = Evaluation.model_validate({"evaluation": "x", "measures": {"a": {"metric": "captions", "data": data}}})
    assert evaluate(made, bundle=tiny_any_bundle)["a"]["exact match"][0].of == 1


def test_the_command(
    tmp_path: Path, judges: dict[str, Path], tiny_any_bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sets(tmp_path)
    path = written(tmp_path, judges, measures={"routes": measures(judges)["routes"]})
    out = tmp_path / "numbers.json"
    command = ["eval", str(path), "--bundle", str(tiny_any_bundle), "--limit", "1"]
    assert main([*command, "--out", str(out)]) == 0
    shown = capsys.readouterr()
    assert "right route" in shown.out
    assert "routes: 1 of 1" in shown.err
    assert main([*command, "--json", "--quiet"]) == 0
    told = capsys.readouterr()
    assert (json.loads(told.out) | {"seconds": 0}) == (json.loads(out.read_text()) | {"seconds": 0})
    assert told.err == ""
