"""What readers tell of bad samples and bad files."""

from __future__ import annotations

import re
from typing import Any

import pytest

from orchestrator.errors import DataError
from orchestrator.train.data.batches import once
from orchestrator.train.data.report import Report
from tests.unit.train.data.conftest import Make, Put
from tests.unit.train.data.test_readers import HI, gpt, talk

BAD: dict[str, tuple[str, str, Any, dict[str, Any], str, str]] = {
    "no JSON": (
        "manifest",
        "m.jsonl",
        '\n{"image": ',
        {},
        "not readable",
        r"m\.jsonl:2: no JSON: Expecting value \(col",
    ),
    "not UTF-8": (
        "manifest",
        "m.jsonl",
        b"\xff\xfe",
        {},
        "not readable",
        r"m\.jsonl:1: not a text in UTF-8 \(byte 0\)",
    ),
    "caption missing": ("manifest", "m.jsonl", [{"image": "a.png"}], {}, "wrong form", r"m\.jsonl:1: text is missing"),
    "caption empty": (
        "manifest",
        "m.jsonl",
        [{"image": "a.png", "text": " "}],
        {},
        "no caption",
        "the caption is empty",
    ),
    "medium missing": (
        "manifest",
        "m.jsonl",
        [{"image": "z.png", "text": "a dog"}],
        {},
        "missing medium",
        r"m\.jsonl:1: image '.*z\.png': No such file",
    ),
    "no name of a file": (
        "manifest",
        "m.jsonl",
        [{"image": "a\0.png", "text": "a dog"}],
        {},
        "missing medium",
        "embedded null byte",
    ),
    "medium empty": (
        "manifest",
        "m.jsonl",
        [{"image": "empty.png", "text": "a dog"}],
        {},
        "damaged medium",
        r"m\.jsonl:1: image '.*empty\.png' is empty \(0 bytes\)",
    ),
    "too many cells": (
        "pairs",
        "p.csv",
        "image,text\na.png,a,b\n",
        {},
        "not readable",
        r"p\.csv:2: 3 cells for 2 columns",
    ),
    "empty cell": (
        "pairs",
        "p.csv",
        "image,text\n,a dog\n",
        {},
        "missing medium",
        r"p\.csv:2: column 'image' names no",
    ),
    "no caption in a cell": (
        "pairs",
        "p.csv",
        "image,text\na.png,\n",
        {},
        "no caption",
        r"p\.csv:2: the caption is empty",
    ),
    "address": ("pairs", "p.tsv", "a dog\thttps://x/a.png\n", {}, "missing medium", "is an address: download it first"),
    "no suffix": ("pairs", "p.csv", "image,text\na,a dog\n", {}, "wrong form", "suffix of 'a' tells no modality"),
    "row is no mapping": (
        "pairs",
        "p.jsonl",
        [{"image": "a.png", "text": "x"}, 3],
        {},
        "wrong form",
        r":2: should be a map",
    ),
    "half of a name": (
        "pairs",
        "w.csv",
        "videoid,page_dir,name\n7,,a dog\n",
        {},
        "missing medium",
        r"w\.csv:2: column 'page_dir' is empty",
    ),
    "coco without image": (
        "coco",
        "c.json",
        {"images": [], "annotations": [{"image_id": 3, "caption": "a dog"}]},
        {},
        "missing medium",
        r"c\.json\[0\]: no image has the id 3",
    ),
    "coco without caption": (
        "coco",
        "c.json",
        {"images": [], "annotations": [{"image_id": 3}]},
        {},
        "no caption",
        r"c\.json\[0\]: an annotation without `caption`",
    ),
    "folder, no text beside": (
        "folder",
        "pics",
        None,
        {},
        "no caption",
        r"pics\[0\]: its caption 'c\.txt' cannot be read",
    ),
    "no turns": (
        "llava",
        "l.json",
        [{"image": "a.png"}],
        {},
        "wrong form",
        r"l\.json\[0\]: there is no dialogue, under none",
    ),
    "unknown speaker": (
        "llava",
        "l.json",
        [talk({"from": "cat", "value": "x"})],
        {},
        "wrong form",
        "a turn has `from`",
    ),
    "ends with the user": ("llava", "l.json", [talk(HI, gpt("a"), HI)], {}, "wrong form", "got user, assistant, user"),
    "more placeholders than files": (
        "llava",
        "l.json",
        [talk({"from": "human", "value": "<image><image>"}, gpt("a"), image="a.png")],
        {},
        "missing medium",
        "more <image> than files",
    ),
    "file is no name": ("llava", "l.json", [talk(HI, gpt("a"), image=3)], {}, "missing medium", "names no file, got 3"),
    "empty reply": ("llava", "l.json", [talk(HI, gpt(" "))], {}, "no caption", "the assistant's last turn is empty"),
    "nothing said of a picture": (
        "t2m",
        "t.json",
        [talk(HI, gpt("<image>"))],
        {},
        "no caption",
        "image that the assistant",
    ),
    "no mapping": ("mosit", "m.json", ["x"], {}, "wrong form", r"m\.json\[0\]: should be a mapping, got 'x'"),
    "no reply": (
        "text",
        "t.json",
        [{"instruction": "Add."}],
        {},
        "wrong form",
        "neither a dialogue, nor one of instruction",
    ),
    "a tie": (
        "preferences",
        "p.json",
        [talk(HI, output_1="a", output_2="b", preference=0)],
        {},
        "wrong form",
        "a preference has `chosen` and `rejected`, or `output_1`",
    ),
    "no JSON in text": ("preferences", "p.json", [{"text": "{"}], {}, "wrong form", "`text` is no JSON"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_samples_are_reported(case: str, put: Put, entry: Make) -> None:
    reader, name, content, fields, reason, message = BAD[case]
    put("empty.png", b"")
    if content is not None:
        put(name, content)
    report = Report(limit=5)
    list(once([entry(reader, name, **fields)], report))
    assert list(report.found) == [reason]
    assert re.search(message, *report.found[reason].values())


REFUSED: dict[str, tuple[str, str, Any, dict[str, Any], str]] = {
    "no file": ("manifest", "gone.jsonl", None, {}, r"gone\.jsonl: cannot be read: No such file"),
    "empty manifest": ("manifest", "m.jsonl", "\n", {}, r"m\.jsonl: there is no sample in it"),
    "only a header": ("pairs", "p.csv", "image,text\n", {}, r"p\.csv: there is no sample in it"),
    "empty table": ("pairs", "p.csv", "", {}, r"p\.csv: there is no sample in it"),
    "empty list": ("llava", "l.json", [], {}, r"l\.json: there is no sample in it"),
    "empty text": ("captions", "c.txt", "", {"modality": "image"}, r"c\.txt: there is no sample in it"),
    "empty folder": ("folder", "pics", None, {"modality": "audio"}, r"pics: there is no sample in it"),
    "no folder": ("folder", "a.png", None, {}, r"a\.png: is no folder"),
    "no list": ("llava", "l.json", {"a": 1}, {}, r"l\.json: should be a JSON list"),
    "no COCO": ("coco", "c.json", {"images": []}, {}, r"c\.json: should be a JSON list under 'annotations'"),
    "broken list": ("llava", "l.json", '[\n {"a": }]', {}, r"l\.json:2:8: no JSON: Expecting value"),
    "list, not UTF-8": ("llava", "l.json", b'["\xff"]', {}, r"l\.json: not a text in UTF-8 \(byte 2\)"),
    "unknown columns": (
        "pairs",
        "p.csv",
        "x,y\n1,2\n",
        {},
        r"p\.csv:2: which column is the media\? Give `media:`, one of x, y",
    ),
    "wrong column": (
        "pairs",
        "p.csv",
        "image,text\na.png,b\n",
        {"text": "txet"},
        r"`text: txet`: there is no column 'txet'\. Did you mean 'text'\?",
    ),
    "open quote": ("pairs", "p.csv", 'image,text\na.png,"b\n', {}, r"p\.csv:2: unexpected end of data"),
    "no rows": ("pairs", "p.jsonl", "3\n4\n", {}, r"p\.jsonl:1: none of the first rows is a mapping"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused(case: str, put: Put, entry: Make) -> None:
    reader, name, content, fields, message = REFUSED[case]
    if content is not None:
        put(name, content)
    with pytest.raises(DataError, match=message):
        list(once([entry(reader, name, **fields)], Report(limit=5)))
