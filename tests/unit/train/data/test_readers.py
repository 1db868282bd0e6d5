"""Every reader: what its files become."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from orchestrator.train.data.batches import once
from orchestrator.train.data.readers import READERS
from orchestrator.train.data.report import Report
from orchestrator.train.data.sample import MediaRef, Sample
from tests.unit.train.data.conftest import Make, Put

Said = list[tuple[str, list[Any]]]
W = ("Look at {media}.",)
SEE: Said = [("user", ["<image a.png 'a dog'>", "Look at the picture."]), ("assistant", ["a dog"])]
M = {"make": ("{make}: {caption}",)}
DRAW: Said = [("user", ["Draw: a dog"]), ("assistant", ["a dog", "<image a.png 'a dog'>"])]
HI = {"from": "human", "value": "Hi"}


def gpt(value: str, **more: str) -> dict[str, str]:
    return {"from": "gpt", "value": value, **more}


def talk(*turns: Any, **fields: Any) -> dict[str, Any]:
    return {"conversations": list(turns), **fields}


def plain(sample: Sample, folder: Path) -> Said:
    return [(t.role, [p if isinstance(p, str) else _ref(p, folder) for p in t.content]) for t in sample.turns]


def _ref(ref: MediaRef, folder: Path) -> str:
    source = ref.source.relative_to(folder).as_posix() if isinstance(ref.source, Path) else ref.source
    return f"<{ref.modality} {source} {ref.caption!r}>"


ALPACA = [{"instruction": "Add.", "input": "1 2", "output": "3"}]
GOOD: dict[str, tuple[str, str, Any, dict[str, Any], Said]] = {
    "manifest pair": ("manifest", "m.jsonl", [{"image": "a.png", "text": "a dog"}], {"wordings": W}, SEE),
    "manifest dialogue": (
        "manifest",
        "m.jsonl",
        [{"turns": [{"role": "user", "content": ["Hi", {"image": "a.png"}]}, {"role": "assistant", "content": "ho"}]}],
        {},
        [("user", ["Hi", "<image a.png ''>"]), ("assistant", ["ho"])],
    ),
    "tsv, CC3M": ("pairs", "p.tsv", "a dog\ta.png\n", {"wordings": W}, SEE),
    "tsv, quotes mean nothing": (
        "pairs",
        "p.tsv",
        'a "dog\ta.png\n',
        {"wordings": W},
        [("user", ["<image a.png 'a \"dog'>", "Look at the picture."]), ("assistant", ['a "dog'])],
    ),
    "csv": ("pairs", "p.csv", '\ufeffimage_path,caption\r\na.png,"a dog"\r\n', {"wordings": W}, SEE),
    "csv, line break in a cell": (
        "pairs",
        "p.csv",
        'image,caption\na.png,"a\ndog"\n',
        {"wordings": W},
        [("user", ["<image a.png 'a\\ndog'>", "Look at the picture."]), ("assistant", ["a\ndog"])],
    ),
    "csv, make": ("pairs", "p.csv", "file,text\na.png,a dog\n", {"ask": "make", "wordings": M["make"]}, DRAW),
    "csv, columns by name": (
        "pairs",
        "p.csv",
        "x;y\na dog;a.png\n",
        {"media": "y", "text": "x", "delimiter": ";", "wordings": W},
        SEE,
    ),
    "csv, WebVid": (
        "pairs",
        "w.csv",
        "videoid,contentUrl,duration,page_dir,name\n7,http://x/7.mp4,PT1S,d/1,a dog runs\n",
        {"root": "vids", "wordings": W},
        [("user", ["<video vids/d/1/7.mp4 'a dog runs'>", "Look at the video."]), ("assistant", ["a dog runs"])],
    ),
    "csv, AudioCaps": (
        "pairs",
        "ac.csv",
        "audiocap_id,youtube_id,start_time,caption\n91139,r1n,130,rain\n",
        {"wordings": W},
        [("user", ["<audio 91139.wav 'rain'>", "Look at the sound."]), ("assistant", ["rain"])],
    ),
    "json, NExT-GPT's cc3m.json": (
        "pairs",
        "p.json",
        [{"image_name": "a.png", "caption": "a dog"}],
        {"wordings": W},
        SEE,
    ),
    "json lines": ("pairs", "p.jsonl", [{"file_name": "a.png", "text": "a dog"}], {"wordings": W}, SEE),
    "coco": (
        "coco",
        "captions.json",
        {"images": [{"id": 3, "file_name": "a.png"}], "annotations": [{"image_id": 3, "caption": "a dog "}]},
        {"wordings": W},
        SEE,
    ),
    "folder": (
        "folder",
        "pics",
        None,
        {"wordings": W},
        [("user", ["<image pics/c.png 'a cat'>", "Look at the picture."]), ("assistant", ["a cat"])],
    ),
    "folder with a table": (
        "folder",
        "tabled",
        None,
        {"wordings": W, "captions": "list.tsv"},
        [("user", ["<image tabled/d.png 'a cow'>", "Look at the picture."]), ("assistant", ["a cow"])],
    ),
    "captions": (
        "captions",
        "c.txt",
        "a dog\n\n",
        {"modality": "image", "wordings": M["make"]},
        [("user", ["Draw: a dog"]), ("assistant", ["a dog", "<image None 'a dog'>"])],
    ),
    "llava": (
        "llava",
        "l.json",
        [talk({"from": "human", "value": "<image>\nWhat?"}, gpt("a dog"), HI, gpt("ho"), id="1", image="a.png")],
        {},
        [
            ("user", ["<image a.png ''>", "What?"]),
            ("assistant", ["a dog"]),
            ("user", ["Hi"]),
            ("assistant", ["ho"]),
        ],
    ),
    "llava, several pictures in the text": (
        "llava",
        "l.json",
        [talk({"from": "human", "value": "Is <image> like <image> ?"}, gpt("no"), images=["a.png", "b.png"])],
        {},
        [("user", ["Is ", "<image a.png ''>", " like ", "<image b.png ''>", " ?"]), ("assistant", ["no"])],
    ),
    "llava, video without a placeholder": (
        "llava",
        "l.json",
        [talk(gpt("skipped"), {"from": "human", "value": "What?"}, gpt("a dog"), video="a.mp4")],
        {},
        [("user", ["<video a.mp4 ''>", "What?"]), ("assistant", ["a dog"])],
    ),
    "llava, input and output": (
        "llava",
        "l.json",
        [
            talk(
                {"from": "human", "value": "<image>\nPlay it"},
                gpt("Sure! <audio>"),
                input_image="pics/c.png",
                output_audio="a.wav",
                audio_captions="barking",
            )
        ],
        {},
        [("user", ["<image pics/c.png ''>", "Play it"]), ("assistant", ["Sure!", "<audio a.wav 'barking'>"])],
    ),
    "llava, folders by modality": (
        "llava",
        "l.json",
        [talk({"from": "human", "value": "<image> <audio>"}, gpt("a cat"), image="c.png", audio="a.wav")],
        {"root": {"image": "pics"}},
        [("user", ["<image pics/c.png ''>", "<audio a.wav ''>"]), ("assistant", ["a cat"])],
    ),
    "t2m": (
        "t2m",
        "t.json",
        [
            talk(
                {**HI, "input_modality": "text"},
                gpt("Here: <video>", caption="a dog runs", output_modality="video"),
                video_captions=["a dog runs"],
                video_caption_embeddings=["x.npy"],
            )
        ],
        {},
        [("user", ["Hi"]), ("assistant", ["Here:", "<video None 'a dog runs'>"])],
    ),
    "t2m, first format": (
        "t2m",
        "t.json",
        [
            {
                "image_name": "a.wav",
                "output_modality": "audio",
                "conversation": [HI, gpt("Ok.", caption="rain", output_modality="audio")],
            }
        ],
        {},
        [("user", ["Hi"]), ("assistant", ["Ok.", "<audio a.wav 'rain'>"])],
    ),
    "t2m, captions only": (
        "t2m",
        "t.json",
        [talk(HI, gpt("Ok. <audio>"), output_audio="gone.wav", audio_captions="rain")],
        {"captions_only": True},
        [("user", ["Hi"]), ("assistant", ["Ok.", "<audio None 'rain'>"])],
    ),
    "mosit": (
        "mosit",
        "m.json",
        [
            {
                "image_name": "0.jpg",
                "conversation": [HI, gpt("Look:\n<Image>a dog</Image>\nand <Audio>barks</Audio> it")],
            }
        ],
        {},
        [("user", ["Hi"]), ("assistant", ["Look:", "<image None 'a dog'>", "and ", "<audio None 'barks'>", " it"])],
    ),
    "text, Alpaca": ("text", "t.json", ALPACA, {}, [("user", ["Add.\n1 2"]), ("assistant", ["3"])]),
    "text, dialogue with a tag": (
        "text",
        "t.jsonl",
        [
            {
                "messages": [
                    {"role": "system", "content": "s"},
                    {"role": "user", "content": "<video>?"},
                    {"role": "assistant", "content": "HTML"},
                ]
            }
        ],
        {},
        [("system", ["s"]), ("user", ["<video>?"]), ("assistant", ["HTML"])],
    ),
}


@pytest.mark.parametrize("case", GOOD)
def test_good(case: str, put: Put, entry: Make, tmp_path: Path) -> None:
    reader, name, content, fields, expected = GOOD[case]
    for text in ("pics/c.txt", "vids/d/1/7.mp4", "91139.wav", "tabled/d.png"):
        put(text, "a cat\n")
    put("tabled/list.tsv", "file_name\tcaption\nd.png\ta cow\n")
    if content is not None:
        put(name, content)
    report = Report()
    assert [plain(s, tmp_path) for s in once([entry(reader, name, **fields)], report)] == [expected]
    assert (report.seen, report.count) == (1, 0)


REPLIES = [{"from": "gpt", "value": "good"}, {"from": "gpt", "value": "bad"}]
PREFERENCES = {
    "RLAIF-V": {"image": "a.png", "question": "What?", "chosen": "good", "rejected": "bad"},
    "RLHF-V": {"image": "a.png", "text": '{"question": "What?", "chosen": "good", "rejected": "bad"}'},
    "LLaVA-RLHF": talk(
        {"from": "human", "value": "<image>\nWhat?"},
        image="a.png",
        output_1={"from": "llava", "value": "bad"},
        output_2={"from": "llava", "value": "good"},
        preference=2,
    ),
    "LLaVA with replies": talk(
        {"from": "human", "value": "What?"}, image="a.png", chosen=REPLIES[0], rejected=REPLIES[1]
    ),
    "TRL": {
        "images": ["a.png"],
        "prompt": [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What?"}]}],
        "chosen": [{"role": "assistant", "content": [{"type": "text", "text": "good"}]}],
        "rejected": [{"role": "assistant", "content": "bad"}],
    },
    "whole dialogues": {
        "image": "a.png",
        "chosen": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "good"}],
        "rejected": [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "bad"}],
    },
}


@pytest.mark.parametrize("form", PREFERENCES)
def test_preferences(form: str, put: Put, entry: Make, tmp_path: Path) -> None:
    put("p.json", [PREFERENCES[form]])
    (sample,) = once([entry("preferences", "p.json")], Report())
    assert plain(sample, tmp_path) == [("user", ["<image a.png ''>", "What?"]), ("assistant", ["good"])]
    assert sample.rejected is not None
    assert sample.rejected.content == ("bad",)


def test_every_reader_is_tested() -> None:
    """`webdataset` and `hf` have files of tests of their own."""
    assert {case[0] for case in GOOD.values()} | {"preferences", "webdataset", "hf"} == set(READERS)


def test_table_of_the_docs_is_what_is_there() -> None:
    page = (Path(__file__).parents[4] / "docs/data.md").read_text("utf-8")
    rows = re.findall(r"^\| `(\w+)` \| .* \| .* \| (.*?) ?\|$", page, re.MULTILINE)
    declared = [(name, ", ".join(f"`{o}`" for o in reader.options.model_fields)) for name, reader in READERS.items()]
    assert rows == declared
