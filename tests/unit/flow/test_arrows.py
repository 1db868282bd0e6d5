from __future__ import annotations

import pytest

from orchestrator.errors import FlowError
from orchestrator.flow.arrows import is_arrow_line, parse
from orchestrator.flow.wiring import wire


@pytest.mark.parametrize(
    ("line", "nodes", "outputs"),
    [
        ("text -> text", "reason decode", {"text": "$decode.text"}),
        ("image -> text", "encode project reason decode", {"text": "$decode.text"}),
        ("text->video", "reason decode output_project generate", {"video": "$generate"}),
        *(
            (f"{a} -> {b}", "encode project reason decode output_project generate", {b: "$generate"})
            for a in ("image", "audio", "video")
            for b in ("image", "audio", "video")
        ),
        ("image → audio", "encode project reason decode output_project generate", {"audio": "$generate"}),
        (
            "image -> text -> video",
            "encode project reason decode reason_2 decode_2 output_project_2 generate_2",
            {"text": "$decode.text", "video": "$generate_2"},
        ),
        (
            "text -> image + audio",
            "reason decode output_project_image generate_image output_project_audio generate_audio",
            {"image": "$generate_image", "audio": "$generate_audio"},
        ),
        (
            "image -> text -> video -> text",
            "encode project reason decode reason_2 decode_2 output_project_2 generate_2"
            " encode_3 project_3 reason_3 decode_3",
            {"text": "$decode.text", "video": "$generate_2", "text_2": "$decode_3.text"},
        ),
        (
            "text -> image + audio -> text -> text",
            "reason decode output_project_image generate_image output_project_audio generate_audio"
            " encode_image_2 project_image_2 encode_audio_2 project_audio_2 reason_2 decode_2 reason_3 decode_3",
            {
                "image": "$generate_image",
                "audio": "$generate_audio",
                "text": "$decode_2.text",
                "text_2": "$decode_3.text",
            },
        ),
    ],
)
def test_expansion(line: str, nodes: str, outputs: dict[str, str]) -> None:
    spec = parse(line)
    assert list(spec.nodes) == nodes.split()
    assert spec.outputs == outputs
    assert [node.name for node in wire(spec).nodes] == nodes.split()


@pytest.mark.parametrize(
    ("line", "asked"),
    [
        ("image -> text", {"prompt": "Describe the picture."}),
        ("video + audio -> text", {"prompt": "Describe the video and the sound."}),
        ("image -> video", {"prompt": "Describe the picture, then film it."}),
        ("image -> text + video + audio", {"prompt": "Describe the picture, then film it and play it."}),
        ("image + text -> text", {"prompt": "$text"}),
        ("image + text -> video", {"prompt": "$text"}),
        ("text -> text", {"prompt": "$text"}),
        ("text -> video", {"prompt": "$text", "template": "Film this: {prompt}"}),
        ("text -> text + image", {"prompt": "$text", "template": "Draw this: {prompt}"}),
        ("text -> image + audio + video", {"prompt": "$text", "template": "Draw, play and film this: {prompt}"}),
    ],
)
def test_what_the_llm_is_asked(line: str, asked: dict[str, str]) -> None:
    fields = parse(line).nodes["reason"].fields
    assert {key: fields[key] for key in fields if key in ("prompt", "template")} == asked


def test_signals_that_must_come_are_required() -> None:
    nodes = parse("image -> text -> image + video").nodes
    assert "require" not in nodes["reason"].fields
    assert nodes["reason_2"].fields["require"] == ["image", "video"]


def test_name_doc_inputs_and_bundle() -> None:
    spec = parse(" image+ text→video ", bundle="mine")
    assert (spec.flow, spec.doc, spec.bundle) == ("image-and-text-to-video", "image + text -> video", "mine")
    assert {name: put.modality for name, put in spec.inputs.items()} == {"image": "image", "text": "text"}


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ("", ["1:1: a modality is missing here", "1:1: a line needs an arrow, as in 'image -> text'"]),
        ("image", ["1:6: a line needs an arrow"]),
        ("-> text", ["1:1: a modality is missing here"]),
        ("image ->", ["1:9: a modality is missing here"]),
        ("image -> -> text", ["1:9: a modality is missing here"]),
        ("image + -> text", ["1:8: a modality is missing here"]),
        (
            "image -> txt + vdeo",
            ["1:10: unknown modality 'txt'. Did you mean 'text'?", "1:16: unknown modality 'vdeo'. Did"],
        ),
        ("image + image -> text", ["1:9: 'image' stands twice in one place; for two of one modality write a"]),
        ("text -> image | audio", ["1:9: 'image | audio': a line makes all that it names; for a reply that chooses, "]),
        ("image, audio -> text", ["1:1: 'image, audio': modalities are joined by +, as in"]),
        ("image & audio -> text", ["1:1: 'image & audio': modalities are joined by +, as in"]),
        ("text -> (image + audio)", ["1:9: '(image': a line has no brackets; each arrow is", "1:18: unknown modality"]),
        ("text -> image=4", ["1:9: 'image=4': a line has no settings; change them by --set, as in"]),
        ("smell -> text", ["1:1: unknown modality 'smell'. Known: audio, image, text, video."]),
    ],
)
def test_problems(line: str, problems: list[str]) -> None:
    with pytest.raises(FlowError) as caught:
        parse(line)
    found = [str(problem) for problem in caught.value.problems]
    assert len(found) == len(problems)
    for problem, start in zip(found, problems, strict=True):
        assert problem.startswith(f"arrow line:{start}")


@pytest.mark.parametrize(("text", "is_line"), [("image -> text", True), ("a→b", True), ("flows/a.yaml", False)])
def test_is_arrow_line(text: str, is_line: bool) -> None:
    assert is_arrow_line(text) is is_line
