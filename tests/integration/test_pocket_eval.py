"""The evaluation of the pocket bundle: its sets, judges, numbers and pictures, on models and drawings made here."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from orchestrator.evaluation import Evaluated, Evaluation, Measured, evaluate
from orchestrator.evaluation.job import prepare
from orchestrator.evaluation.metrics import Score
from orchestrator.evaluation.report import number
from orchestrator.models.bundle import Bundle
from orchestrator.nodes.media import Audio, Media
from recipes.pocket import eval_table, hearing, judge, motion_judge, sheet, sound_judge, sounds, world
from recipes.pocket import evaluate as recipe
from recipes.pocket.eval_media import said, shown, wanted
from recipes.pocket.eval_sets import make_fixed, make_sets
from tests import tiny

SECOND = np.arange(sounds.SAMPLES) / sounds.RATE


class Every(dict[Any, Any]):
    """A pure tone for each note that there may be."""

    def __contains__(self, key: object) -> bool:
        return True

    def __missing__(self, key: tuple[str, int, int, str]) -> np.ndarray:
        return (32_000 * np.sin(2 * np.pi * 440 * 2 ** ((key[2] - 69) / 12) * SECOND)).astype(np.int16)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A cache with a drawing of every concept, a square of some colour, and with notes."""
    folder = tmp_path_factory.mktemp("cache")
    dice = np.random.default_rng(0)
    squares = np.zeros((len(world.CONCEPTS), 96, 96, 4), np.uint8)
    squares[:, 16:-16, 16:-16] = dice.integers(0, 255, (len(squares), 1, 1, 4), np.uint8) | [[[0, 0, 0, 255]]]
    np.savez_compressed(folder / "twemoji.npz", names=np.array(list(world.CONCEPTS.values())), pixels=squares)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sounds, "notes", lambda font, cache: sounds.Notes(font, Every()))
        yield folder


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The judges' own classes and labels, untrained, as their recipes leave them."""
    from transformers import VideoMAEImageProcessorPil, ViTImageProcessorPil

    folder = tmp_path_factory.mktemp("judges")
    tiny.seeded()
    size = {"height": 64, "width": 64}
    judge.model().save_pretrained(folder / "judge")
    ViTImageProcessorPil(size=size).save_pretrained(folder / "judge")
    motion_judge.model().save_pretrained(folder / "motion_judge")
    VideoMAEImageProcessorPil(size=size, do_center_crop=False).save_pretrained(folder / "motion_judge")
    sound_judge.model().save_pretrained(folder / "sound_judge")
    hearing.extractor().save_pretrained(folder / "sound_judge")
    return folder


@pytest.fixture(scope="module")
def evaluation(cache: Path, judges: Path, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """`eval.yaml` with sets of one seed."""
    folder = tmp_path_factory.mktemp("sets")
    make_sets(cache, folder, seeds=[0])
    assert len(recipe.take_judges(judges, folder / "judges")) == 3
    text = recipe.FILE.read_text().replace("../../build/pocket/eval/", "").replace("seeds: [0, 1, 2]", "seeds: [0]")
    (folder / "eval.yaml").write_text(text)
    return Evaluation.load(folder / "eval.yaml")


def test_all_sets_fit_the_judges_and_a_bundle_of_all_modalities(evaluation: Evaluation, tiny_any_bundle: Path) -> None:
    jobs = {job.name: job for job in prepare(evaluation, Bundle.open(tiny_any_bundle), None, "cpu")}
    counts = {name: len(job.requests[0]) for name, job in jobs.items()}
    concepts, heard = len(world.CONCEPTS), 3 * len(world.SOUNDS)
    assert counts == {
        "picture to text, plain": concepts,
        "picture to text, random scenes": concepts,
        "sound to text": heard,
        "film to text": concepts,
        "text to picture": concepts,
        "text to sound": heard,
        "text to film": concepts,
        "instructions": 200,
        "signals of instructions": 200,
        "two steps": 24,
    }
    assert {ref.modality for asked in jobs["instructions"].requests[0] for ref in asked.media} == {
        "image",
        "audio",
        "video",
    }


def test_the_numbers_of_a_bundle(evaluation: Evaluation, tiny_any_bundle: Path) -> None:
    found = evaluate(evaluation, bundle=tiny_any_bundle, limit=2)
    told = eval_table.tables(found)
    assert told.count("\n\n") == 2
    for row in (*eval_table.UNDERSTOOD, *eval_table.MADE, *eval_table.FOLLOWED):
        assert f"| {row.name} | " in told
        if row.modality is None and row.number in ("names the concept", "shows the concept", "one signal"):
            assert all(row.of(found, way) for way in row.ways if way != "signal - caption")
    assert "text to picture: concept" in eval_table.unmet(found)
    assert len(recipe.wrong(found, "picture to text, plain")) <= 2
    assert all("instructions.jsonl:" in line for line in recipe.misrouted(found))
    head, _, *rows = eval_table.staged({"MM-PT": found, "SFT": found}).splitlines()
    assert (head, len(rows)) == ("| after | MM-PT | SFT |", len(eval_table.STAGED))
    assert all(row.count(" | ") == 2 for row in rows)


def test_stages_are_measured_with_one_seed_and_without_films(
    evaluation: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    monkeypatch.setattr(recipe, "staged", lambda found: asked.extend(found) or "")
    monkeypatch.setattr(recipe, "measured", lambda job, bundle: asked.append((bundle, job.seeds, list(job.measures))))
    recipe.by_stage(evaluation.model_copy(update={"seeds": (0, 1, 2)}), {"SFT": "a", "DPO": "b"})
    (first, seeds, measures), (second, *_), *stages = asked
    assert (first, second, seeds, stages) == ("a", "b", (0,), ["SFT", "DPO"])
    assert "text to sound" in measures
    assert "text to film" not in measures


def shares(name: str, way: str, *values: float) -> Any:
    return number(f"shows the {name}", "image", way, {seed: Score(value, 50) for seed, value in enumerate(values)})


@pytest.mark.parametrize(
    ("signal", "caption", "met"), [(0.92, 0.93, "met"), (0.92, 0.95, "missed"), (0.88, 0.88, "missed")]
)
def test_goals(signal: float, caption: float, met: str) -> None:
    numbers = [shares("concept", "signal", signal, signal), shares("concept", "caption", caption, caption)]
    numbers.append(shares("concept", "signal - caption", signal - caption, signal - caption))
    measures = {row.measure: () for row in (*eval_table.UNDERSTOOD, *eval_table.MADE, *eval_table.FOLLOWED)}
    measured = [Measured(n, "", "", tuple(numbers) if n == "text to picture" else (), {}, ()) for n in measures]
    found = Evaluated("x", "x", "cpu", (0, 1), None, "", 0, tuple(measured))
    (line,) = (
        line for line in eval_table.tables(found).splitlines() if line.startswith("| text to picture: concept | ")
    )
    both = [f"{100 * value:.1f} ± 0.0 %" for value in (signal, caption)]
    behind = f"{100 * (signal - caption):+.1f} ± 0.0 points"
    assert line.split(" | ")[1:] == [*both, behind, "100", "90 %, -2 points", f"{met} |"]
    assert ("text to picture: concept" in eval_table.unmet(found)) == (met == "missed")


def test_labels_are_what_captions_say(tmp_path: Path) -> None:
    scene = world.Scene("cat", "blue", "left", "small", "left")
    assert said(scene) == {"concept": "cat", "ground": "blue", "place": "left", "motion": "left"}
    assert said(world.Scene("cat", size="small")) == {"concept": "cat", "size": "small"}
    assert said(world.Sound("bell", "low", rhythm="two")) == {"concept": "bell", "pitch": "low", "rhythm": "two"}
    labels = shown("video", scene, tmp_path / "x.mkv").labels
    assert labels["motion"] == ("moving left",)  # "at the left" is no motion
    assert all(words[0] in scene.caption() for words in labels.values())
    assert wanted("video", scene).labels["motion"] == ("left",)


def test_the_fixed_sample_is_small_and_the_same_each_time(cache: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        make_fixed(cache, tmp_path / name)
    one, two = (
        {f.relative_to(tmp_path / n): f.read_bytes() for f in sorted((tmp_path / n).rglob("*.*"))}
        for n in ("one", "two")
    )
    assert {f.suffix for f in one} == {".png", ".flac", ".mkv", ".jsonl"}
    assert one.keys() == two.keys()
    assert all(one[f] == two[f] for f in one if f.suffix != ".mkv")  # Matroska has an id of chance
    assert sum(map(len, one.values())) < 500e3


def test_judges_that_are_not_trained_yet_are_not_taken(tmp_path: Path) -> None:
    assert recipe.take_judges(tmp_path, tmp_path / "judges") == []
    assert not (tmp_path / "judges").exists()


def test_a_stage_is_a_name_and_a_bundle(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", "--stages", "MM-PT=build/pocket", "SFT"])
    with pytest.raises(SystemExit):
        recipe.main()
    assert "'SFT' is not NAME=BUNDLE, e.g. SFT=build/pocket/train/mm_it_sft/bundle" in capsys.readouterr().err


def test_numbers_of_a_part_are_not_for_the_card(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate", "--write", "--limit", "2"])
    with pytest.raises(SystemExit):
        recipe.main()
    assert "give --write or --limit" in capsys.readouterr().err


def tone(hertz: float) -> Media:
    return Media.load(Audio(0.5 * np.sin(2 * np.pi * hertz * SECOND), sounds.RATE), "audio")


def test_a_spectrogram_has_low_notes_below() -> None:
    low, high = (sheet.spectrogram(tone(hertz)) for hertz in (200, 2000))
    assert low.shape == (64, 128, 3)
    assert low[..., 0].mean(1).argmin() > high[..., 0].mean(1).argmin()


def test_a_sheet_has_all_samples(tiny_any_bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["sheet", "--bundle", str(tiny_any_bundle), "--into", "out", "--count", "2"])
    sheet.main()
    for modality, form in sheet.FORMS.items():
        with Image.open(tmp_path / "out" / f"samples-{modality}.png") as made:
            assert made.width >= 64 * min(2, form.columns)
    rows = [("a long caption about a dog", [np.zeros((8, 8, 3), np.uint8)])] * 3
    assert sheet.sheet(rows, columns=2).size == (2 * 20 - 4, 2 * (16 + 18 + 4))


def test_captions_are_cut_to_their_pictures() -> None:
    assert sheet.fitted("a dog", 5, len) == "a dog"
    assert sheet.fitted("a black dog", 8, len) == "a bla..."
