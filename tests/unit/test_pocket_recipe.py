"""The pocket recipe's own rules: how sounds are tuned, what an agent's steps look like, which parts a bundle names."""

from __future__ import annotations

import io
import random
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from orchestrator.evaluation import Evaluation
from orchestrator.models.bundle import BUNDLE_FILE
from orchestrator.models.llm.calls import Call
from orchestrator.nodes.media import Media
from orchestrator.nodes.ports import Observation
from orchestrator.nodes.speech import told
from recipes.pocket import (
    bundle,
    corpus,
    dialogues,
    effects,
    mm_pt,
    playing,
    recorded_effects,
    recordings,
    sounds,
    steps,
    wordings,
    world,
)
from recipes.pocket.evaluate import FILE, with_judges

WORDS = ("pear", "nesting", "toilet")
TIME = np.arange(sounds.SAMPLES) / sounds.RATE


def tone(midi_note: int) -> np.ndarray:
    return np.sin(2 * np.pi * 440 * 2 ** ((midi_note - 69) / 12) * TIME)


def loudest(wave: np.ndarray) -> float:
    """The frequency that is loudest, in Hz."""
    return float(np.abs(np.fft.rfft(wave)).argmax() * sounds.RATE / len(wave))


@pytest.mark.parametrize(
    ("midi_note", "pitch", "hertz"),
    [(44, "low", 125), (52, "low", 125), (56, "middle", 250), (63, "middle", 312.5), (72, "high", 500)],
)
def test_tuned_notes_repeat_with_every_frame(midi_note: int, pitch: str, hertz: float) -> None:
    """The highest low note stays low, though it is nearer to a multiple of the middle."""
    made = playing.tune(tone(midi_note), midi_note, pitch)
    assert loudest(made[: sounds.SAMPLES // 2]) == pytest.approx(hertz, abs=1)
    frame = round(sounds.RATE / playing.FRAME_RATE)
    changes = [
        np.abs(w[frame : sounds.SAMPLES // 2] - w[: sounds.SAMPLES // 2 - frame]).max() for w in (made, tone(midi_note))
    ]
    assert changes[0] < 0.05 < changes[1]


@pytest.mark.parametrize(("rhythm", "count"), [("one", 1), ("two", 2), ("three", 3), ("fast", 7)])
@pytest.mark.parametrize("loudness", world.LOUDNESSES)
def test_notes_are_played_as_often_and_as_loud_as_is_said(rhythm: str, count: int, loudness: str) -> None:
    wave = playing.compose(tone(60), world.Sound("flute", loudness=loudness, rhythm=rhythm), random.Random(1))
    window = sounds.RATE // 50
    levels = np.sqrt((wave[: len(wave) // window * window].reshape(-1, window) ** 2).mean(1))
    heard = levels > levels.max() / 4
    assert np.count_nonzero(heard & ~np.insert(heard[:-1], 0, False)) == count
    assert levels.max() == pytest.approx(world.LOUDNESSES[loudness], rel=0.35)


def test_a_note_that_a_font_lacks_is_one_of_another_pitch_nearby() -> None:
    there = {("flute", 73, 48, "medium"): tone(48)}
    note, midi_note = sounds.Notes("recorded", there).draw(world.Sound("flute", "low"), random.Random(0), (-4,), False)
    assert midi_note == 48
    assert np.array_equal(note, tone(48))


@pytest.mark.parametrize("seed", range(40))
@pytest.mark.parametrize("midi_note", [44, 60, 76])
def test_a_loop_goes_on_at_the_pitch_of_its_note(midi_note: int, seed: int) -> None:
    note = 30_000 * tone(midi_note) * np.exp(-3 * TIME)
    made = playing.looped(note, playing.hertz(midi_note), random.Random(seed))
    begun = round(0.04 * sounds.RATE)
    assert np.array_equal(made[: begun // 2], note[: begun // 2])
    late = slice(sounds.SAMPLES // 2, None)
    assert loudest(made[late]) == pytest.approx(playing.hertz(midi_note), rel=0.02)
    assert np.abs(made[late]).max() < 30_000


def test_a_loop_of_a_dying_note_can_stay_as_loud_as_it_was() -> None:
    note, late = tone(60) * np.exp(-3 * TIME), slice(sounds.SAMPLES // 2, None)
    loops = [playing.looped(note, playing.hertz(60), random.Random(seed)) for seed in range(8)]
    assert max(np.abs(loop[late]).max() for loop in loops) > 5 * np.abs(note[late]).max()


def test_training_never_hears_the_font_of_the_test() -> None:
    assert sounds.TEST_FONT not in sounds.TRAIN_FONTS
    assert set(sounds.FONTS) == {*sounds.TRAIN_FONTS, sounds.TEST_FONT} - {sounds.RECORDED}
    for concept in world.SOUNDS:
        assert sum(bool(sounds.programs(font, concept)) for font in sounds.TRAIN_FONTS) >= 3, concept


@pytest.mark.parametrize(("font", "player"), [("a.sf2", "fluidsynth"), ("a.cfg", "wildmidi")])
def test_notes_are_cut_from_what_the_player_of_a_font_writes(
    font: str, player: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two notes, of which the second begins late in its slot; each is cut from where it is first heard."""
    slot = np.arange(round(sounds.SLOT * sounds.RENDER_RATE)) / sounds.RENDER_RATE
    song = np.concatenate([np.sin(2 * np.pi * 500 * slot), np.sin(2 * np.pi * 250 * slot) * (slot > 0.5)]) / 4

    def play(command: list[str], **_: Any) -> None:
        assert command[0] == player
        assert font in command
        (out,) = (word for word in command if word.endswith(".wav"))
        soundfile.write(out, np.stack([song, song], 1), sounds.RENDER_RATE)

    monkeypatch.setattr(sounds.subprocess, "run", play)
    found = sounds.render(Path(font), 0, [(71, 85), (59, 85)])
    assert found.shape == (2, sounds.SAMPLES)
    assert [loudest(note) for note in found] == pytest.approx([500, 250], abs=1)
    assert np.abs(found).max(1) == pytest.approx(32_000, rel=0.02)
    assert np.abs(found[1, : sounds.RATE // 10]).max() > 16_000


def test_a_song_asks_for_the_bank_before_the_program() -> None:
    song = sounds.midi(124, [(60, 85)], bank=5)
    assert song.index(bytes((0xB0, 0, 5))) < song.index(bytes((0xC0, 124))) < song.index(bytes((0x90, 60, 85)))


@pytest.mark.parametrize("concept", effects.MAKERS)
def test_effects_by_rule_are_all_different(concept: str) -> None:
    waves = [effects.make(concept, random.Random(seed)) for seed in range(8)]
    assert all(np.isfinite(wave).all() and np.abs(wave).max() == pytest.approx(32_000) for wave in waves)
    assert np.array_equal(waves[0], effects.make(concept, random.Random(0)))
    assert np.abs(np.corrcoef(waves) - np.eye(8)).max() < 0.9


def middle(wave: np.ndarray) -> float:
    """The mean frequency of a wave's power, in Hz."""
    power = np.abs(np.fft.rfft(wave)) ** 2
    return float((effects.HERTZ * power).sum() / power.sum())


def test_effects_by_rule_have_what_they_are_known_by() -> None:
    made = {concept: [effects.make(concept, random.Random(seed)) for seed in range(8)] for concept in effects.MAKERS}
    assert min(map(middle, made["bird"])) > 1200 > max(map(middle, made["drum"]))
    half = sounds.SAMPLES // 2
    fades = {concept: [(w[half:] ** 2).sum() / (w**2).sum() for w in waves] for concept, waves in made.items()}
    assert max(fades["fireworks"] + fades["drum"]) < 0.1 < min(fades["helicopter"] + fades["clapping hands"])


def test_what_is_heard_in_training_is_of_no_font_at_times(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    asked = []
    monkeypatch.setattr(effects, "make", lambda *given: asked.append("ruled") or 20_000 * tone(60))
    monkeypatch.setattr(recorded_effects, "make", lambda *given: asked.append("recorded") or 20_000 * tone(60))
    kept = {("bird", 123, 60, "medium"): tone(60), ("wind chime", 112, 60, "medium"): tone(60)}
    monkeypatch.setattr(playing, "notes", lambda font, cache: sounds.Notes(font, kept))
    for seed in range(20):
        playing.varied(world.Sound("bird"), tmp_path, random.Random(seed), fontless=1)
    assert len(asked) == 20
    assert set(asked) == {"ruled", "recorded"}
    playing.varied(world.Sound("bird"), tmp_path, random.Random())
    assert len(asked) == 20
    playing.varied(world.Sound("wind chime"), tmp_path, random.Random(), fontless=1)
    assert set(asked[20:]) == {"recorded"}  # no rule makes it


def encoded(wave: np.ndarray, rate: int) -> bytes:
    """A wave in [-1, 1] as a RIFF file."""
    file = io.BytesIO()
    soundfile.write(file, wave, rate, format="WAV")
    return file.getvalue()


def packed(folder: Path, files: dict[str, bytes]) -> None:
    """A Debian package `heard` of files, as if it had been downloaded into the cache before."""
    root = folder / "root"
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "DEBIAN").mkdir()
    control = "Package: heard\nVersion: 1\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: -\n"
    (root / "DEBIAN" / "control").write_text(control)
    (folder / "deb").mkdir()
    subprocess.run(["dpkg-deb", "-b", root, folder / "deb" / "heard_1_all.deb"], check=True, capture_output=True)


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with a package that has a file of its own, one in an archive, a carved one, one not asked for."""
    hertz = {"own": 500, "zipped": 1000, "carved": 2000, "chime": 3000}
    short = np.arange(24_000) / 48_000
    waves = {name: encoded(np.pad(0.1 * np.sin(2 * np.pi * f * short), 9_000), 48_000) for name, f in hertz.items()}
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("sound/zipped.wav", waves["zipped"])
    files = {
        "sfx/own.wav": waves["own"],
        "a.pk3": archive.getvalue(),
        "sfx/other.wav": b"",
        "chime.wav": waves["chime"],
    }
    packed(tmp_path, {**files, "b.cat": b"index" + waves["own"] + b"name" + waves["carved"]})
    wanted = {
        "helicopter": {"heard": ("sfx/own.wav", "zipped.wav", "b.cat/001")},
        "wind chime": {"heard": ("chime.*",)},
    }
    monkeypatch.setattr(recorded_effects, "FILES", wanted)
    return tmp_path


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="builds a Debian package")
def test_recorded_effects_are_found_in_packages_and_their_archives(heard: Path) -> None:
    found = recorded_effects.recordings(heard)
    assert sorted(map(loudest, found["helicopter"])) == pytest.approx([500, 1000, 2000], abs=3)
    assert {len(wave) for wave in found["helicopter"]} <= set(range(7_900, 8_400))  # the silence around is gone
    assert {int(np.abs(wave).max()) for wave in found["helicopter"]} == {32_000}
    shutil.rmtree(heard / "deb")  # what was collected is kept
    recorded_effects.recordings.cache_clear()
    assert len(recorded_effects.recordings(heard)["helicopter"]) == 3


@pytest.mark.skipif(not shutil.which("dpkg-deb"), reason="builds a Debian package")
def test_recorded_effects_go_on_if_they_should_and_keep_to_the_pitch_if_they_have_one(heard: Path) -> None:
    for seed in range(8):
        made = recorded_effects.make(world.Sound("helicopter"), heard, random.Random(seed))
        assert made.shape == (sounds.SAMPLES,)
        assert np.abs(made.reshape(16, -1)).max(1).min() > 3_000
    for pitch, middle in (("low", 1047), ("middle", 2093), ("high", 4186)):
        made = recorded_effects.make(world.Sound("wind chime", pitch), heard, random.Random(0))
        assert middle / 1.27 < loudest(made) < middle * 1.27


def test_the_ends_of_a_loop_meet() -> None:
    wave = np.sin(2 * np.pi * 100.3 * TIME[:8000])
    assert np.abs(np.diff(recorded_effects.repeated(wave, 30_000))).max() < 1.5 * np.abs(np.diff(wave)).max()


def test_recordings_are_known_by_their_names() -> None:
    found = [recordings.midi_note(name) for name in ("A4.mp3", "As3.mp3", "C4.mp3", "index.js")]
    assert found == [69, 58, 60, None]


def test_a_guess_is_confirmed_only_if_it_names_the_thing() -> None:
    rng, answers = random.Random(0), {True: 0, False: 0}
    for turn in (dialogues.describe_shown(rng) for _ in range(3000)):
        said, _, _ = turn.answer.partition(", ")
        if said in ("yes", "no"):
            text = " ".join(part for part in turn.request if isinstance(part, str))
            assert (re.search(rf"\b{turn.about.concept}\b", text) is not None) == (said == "yes"), (text, turn.answer)
            answers[said == "yes"] += 1
    assert min(answers.values()) > 100


def test_what_was_made_is_told_as_an_agent_tells_it() -> None:
    """The LLM learns the words that `orchestrator.nodes.speech` has for observations."""
    made = {"image": world.Scene("guitar"), "audio": world.Sound("guitar")}
    *shown, text = steps.observed(list(made.items()), 2)
    media = {"image": np.zeros((2, 2, 3), np.uint8), "audio": (np.zeros(8, np.float32), 16_000)}
    given = [
        told(Observation(Call(name), f"2-{i}", (Media.load(media[name], name),)))
        for i, name in enumerate(made, start=1)
    ]
    assert text == "\n".join(given)
    assert [part.modality for part in shown if isinstance(part, corpus.Shown)] == list(made)


def test_steps_end_in_an_answer() -> None:
    rng = random.Random(3)
    for turns in (steps.dialogue(WORDS, rng) for _ in range(300)):
        *before, last = turns
        assert all(turn.makes for turn in before)
        assert len(turns) == 1 or not last.makes
        for turn, following in zip(before, turns[1:], strict=True):
            seen = tuple(part.modality for part in following.request if isinstance(part, corpus.Shown))
            assert seen == turn.makes or following.answer == wordings.FAILED


def test_several_media_are_asked_for_in_every_way() -> None:
    """No place of a template is left open."""
    rng = random.Random(4)
    asked = {corpus.ended(corpus.request_for(corpus.several(rng), "a dog", rng), rng) for _ in range(500)}
    assert not [text for text in asked if "{" in text]
    assert sum("a dog" in text.lower() for text in asked) == len(asked)


def test_projectors_that_are_still_to_be_trained_are_not_in_the_bundle(tmp_path: Path) -> None:
    (tmp_path / "projectors/image_in").mkdir(parents=True)
    bundle.write_spec(tmp_path)
    spec = yaml.safe_load((tmp_path / BUNDLE_FILE).read_text())
    assert (list(spec["input_projectors"]), spec["output_projectors"]) == (["image"], {})
    assert bundle.place("output_projectors.video") == "projectors/video_out"


def test_recipes_take_the_data_that_were_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, made = [], SimpleNamespace(bundle=tmp_path)
    monkeypatch.setattr(mm_pt, "train", lambda recipe, out, on_event: asked.append((recipe, out)) or made)
    monkeypatch.setattr(mm_pt.Bundle, "open", lambda folder: folder)
    (tmp_path / "data").mkdir()
    for name in ("dialogues", "mm_pt_input"):
        (tmp_path / f"data/{name}.jsonl").write_text("")
    mm_pt.trained("mm_it_sft", tmp_path / "bundle", tmp_path)
    ((recipe, out),) = asked
    assert recipe.bundle == str(tmp_path / "bundle")
    assert [(e.path, e.share) for e in recipe.data] == [
        (str(tmp_path / "data/dialogues.jsonl"), 1),
        (str(tmp_path / "data/mm_pt_input.jsonl"), 2),
    ]
    assert out == tmp_path / "train/mm_it_sft"


def test_measures_without_a_judge_are_left_out_and_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    whole = Evaluation.load(FILE)
    assert with_judges(whole).measures == whole.measures
    measures = {
        n: m.model_copy(update={"judge": (str(tmp_path / "no"),)}) if hasattr(m, "judge") else m
        for n, m in whole.measures.items()
    }
    kept = with_judges(whole.model_copy(update={"measures": measures}))
    assert set(whole.measures) - set(kept.measures) == {"text to picture", "text to sound", "text to film"}
    assert "without a judge: text to film, text to picture, text to sound; train them by" in capsys.readouterr().out
