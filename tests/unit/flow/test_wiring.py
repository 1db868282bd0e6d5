from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from orchestrator.errors import FlowError, InputError, UserError
from orchestrator.flow import wiring
from orchestrator.flow.builder import FlowBuilder
from orchestrator.flow.plan import Link, WiredNode
from orchestrator.flow.refs import When
from orchestrator.flow.wiring import check, check_inputs, wire
from orchestrator.flow.yaml_io import loads
from orchestrator.nodes.ports import Port, PortType
from orchestrator.nodes.registry import stages
from orchestrator.nodes.stage import Context, Inputs, Outputs, Stage

IMAGE, VIDEO, TEXT = PortType("Media", "image"), PortType("Media", "video"), PortType("Media", "text")


def problems(text: str) -> list[str]:
    try:
        found = check(loads(text, "a.yaml"))
    except FlowError as error:
        found = list(error.problems)
    return [str(problem) for problem in found]


def test_the_plan_of_the_docs(film_this: str) -> None:
    plan = wire(loads(film_this))
    see, align, think, split, bridge, film = plan.nodes
    assert see.links == {"media": Link("inputs.image")}
    assert (see.types, see.out_types) == ({"media": IMAGE}, {"features": PortType("Features", "image")})
    assert align.out_types == {"prompts": PortType("Prompts", "image")}
    assert think.links == {"prompt": Link("inputs.prompt"), "media": (Link("align.prompts"),)}
    prompts = PortType("Prompts", "image")
    assert think.types == {"prompt": TEXT, "media": prompts, "media[0]": prompts}
    assert think.stage.config.signals == ("video",)
    assert split.used == {"text", "video"}
    assert bridge.types == {"signal": PortType("Signals", "video")}
    assert (film.out_types, film.stage.config.steps) == ({"media": VIDEO}, 12)
    assert plan.outputs == {"caption": ("split.text", TEXT), "video": ("film.media", VIDEO)}


def test_edges_and_predecessors(film_this: str) -> None:
    plan = wire(loads(film_this))
    assert plan.edges() == (
        ("image", "see"),
        ("see", "align"),
        ("prompt", "think"),
        ("align", "think"),
        ("think", "split"),
        ("split", "bridge"),
        ("bridge", "film"),
    )
    assert plan.predecessors("think") == ("align",)
    assert plan.node("film").sources() == ("bridge.condition",)


def test_nodes_are_ordered_by_what_they_read(film_this: str) -> None:
    head, tail = film_this.split("nodes:\n")
    lines, outputs = tail.split("outputs:")
    backwards = "\n".join(reversed(lines.splitlines()))
    plan = wire(loads(f"{head}nodes:\n{backwards}\noutputs:{outputs}"))
    assert [node.name for node in plan.nodes] == ["see", "align", "think", "split", "bridge", "film"]


def test_conditions_are_edges_and_uses(film_this: str) -> None:
    text = film_this.replace("stage: encode,", 'stage: encode, when: $prompt != "",')
    text = text.replace("media: [$align]", "media: [{from: $align, when: not $prompt}]")
    plan = wire(loads(text.replace("  bridge: {", "  bridge: {when: $split.audio, ")))
    assert plan.node("see").when == When("inputs.prompt", "!=", "")
    assert plan.node("think").links["media"] == (Link("align.prompts", when=When("inputs.prompt", "absent")),)
    assert ("prompt", "see") in plan.edges()
    assert plan.node("split").used == {"text", "video", "audio"}
    assert plan.node("think").stage.config.signals == ("audio", "video")


@pytest.mark.parametrize(("written", "literal"), [("Describe it.", "Describe it."), ("$$5?", "$5?"), ("", "")])
def test_literal_texts(film_this: str, written: str, literal: str) -> None:
    text = film_this.replace("prompt: $prompt", f'prompt: "{written}"').replace("seed: 7", "negative: $x")
    text = "\n".join(line for line in text.splitlines() if "modality: text" not in line)
    plan = wire(loads(text))
    assert plan.node("think").links["prompt"] == Link(literal=literal)
    assert plan.node("think").types["prompt"] == TEXT
    assert plan.node("film").stage.config.negative == "$x"


DID = "Did you mean"


@pytest.mark.parametrize(
    ("old", "new", "found"),
    [
        # the example of the design
        (
            "$bridge,",
            "$split.text,",
            [
                "a.yaml:12:29: node 'film': port 'condition' takes Condition, but '$split.text' is Media[text]."
                " Did you mean '$bridge'?"
            ],
        ),
        (
            "media: $image",
            "media: $prompt",
            ["7:27: node 'see': port 'media' takes Media (not text), but '$prompt' is M"],
        ),
        (
            "[$align]",
            "[$align, $see]",
            ["9:60: node 'think': port 'media' takes Prompts or Media (not text), but '$see' is Features[image]."],
        ),
        # unknown names
        ("stage: encode", "stage: encod", [f"7:12: node 'see': unknown stage 'encod'. {DID} 'encode'?"]),
        ("$bridge,", "$brige,", [f"12:29: node 'film': nothing is named '$brige'. {DID} '$bridge'?"]),
        (
            "$bridge,",
            "$bridge.cond,",
            [f"'$bridge.cond': stage 'output_project' has no output 'cond'. {DID} 'condition'?"],
        ),
        (
            "$image}",
            "$image.x}",
            [f"7:27: node 'see': '$image.x': 'image' is an input and has no ports. {DID} '$image'?"],
        ),
        (
            "reply: $think",
            "repl: $think",
            ["10:3: node 'split': port 'reply' (Reply) is not connected", f"{DID} 'reply'?"],
        ),
        ("steps:", "step:", [f"12:49: node 'film': stage 'generate' has no port or field 'step'. {DID} 'steps'?"]),
        ("image: image", "image: imge", [f"4:3: input 'image': unknown modality 'imge'. {DID} 'image'?"]),
        ("video: $film", "video: $flim", [f"15:3: output 'video': nothing is named '$flim'. {DID} '$film'?"]),
        # references
        (
            "$split.video",
            "$split",
            ["11:35: node 'bridge': '$split' has 4 outputs; write one of $split.text, $split.im"],
        ),
        ("$bridge,", "bridge,", [f"port 'condition' takes Condition, and 'bridge' is no reference. {DID} '$bridge'?"]),
        (
            "$bridge,",
            "$Bridge,",
            [f"'$Bridge' is no reference; write $name, $name.port, or $$ for a dollar sign. {DID}"],
        ),
        (
            "$bridge,",
            "[$bridge],",
            ["port 'condition' takes one reference, got a list of 1", "node 'bridge': no output"],
        ),
        ("$bridge,", "5,", ["port 'condition' takes a reference ($name), got 5", "node 'bridge': no output depends"]),
        (
            "$bridge,",
            "{from: $bridge},",
            ["port 'condition': a conditional edge is {from: $ref, when: condition}, got {from}", "n"],
        ),
        # conditions
        (
            "stage: generate",
            "stage: generate, when: $a b",
            ["12:29: node 'film': '$a b' is no condition; write $ref, not"],
        ),
        ("stage: generate", "stage: generate, when: $film", ["node 'film': reads itself in a cycle: film -> film."]),
        (
            "stage: generate",
            "stage: generate, when: $bridge == 1",
            [
                "12:29: node 'film': '$bridge' is Condition[video]; only Media[text] can be compared."
                " Write '$bridge' alone."
            ],
        ),
        # config
        ("steps: 12", "steps: many", ["12:49: node 'film': field 'steps' should be a valid integer"]),
        ("steps: 12", "steps: 0", ["field 'steps' should be greater than or equal to 1, got 0"]),
        (
            "{stage: output_project,",
            "{stage: output_project, bridge: x,",
            ["field 'bridge' should be 'signal' or 'caption', got 'x'"],
        ),
        # templates
        (
            "prompt: $prompt,",
            "prompt: $prompt, template: Go.,",
            ["9:27: node 'think': port 'prompt' is connected, but temp"],
        ),
        (
            "prompt: $prompt,",
            "",
            ["5:3: input 'prompt': nothing reads it", "template '{prompt}' needs a prompt; connect port"],
        ),
        (
            "prompt: $prompt,",
            'prompt: $prompt, template: "{prompt} {x}",',
            ["has an unknown variable 'x'. Known: prompt."],
        ),
        (
            "prompt: $prompt,",
            "prompt: $prompt, template: aks,",
            [f"9:44: node 'think': no template is named 'aks'. {DID} 'ask'?"],
        ),
        ("prompt: $prompt,", 'prompt: $prompt, template: "{",', ["9:44: node 'think': template '{': "]),
        # missing and unused
        (
            ", condition: $bridge",
            "",
            [f"12:3: node 'film': port 'condition' (Condition) is not connected. {DID} '$bridge'?"],
        ),
        (
            "  video: $film\n",
            "",
            ["11:3: node 'bridge': no output depends on it", "12:3: node 'film': no output depends"],
        ),
        (
            "  image: image",
            "  image: image\n  sound: audio",
            ["5:3: input 'sound': nothing reads it; connect it or remove it."],
        ),
        (
            "video: $film",
            "video: $bridge",
            ["15:3: output 'video': an output is Media, but '$bridge' is Condition[video].", "film"],
        ),
        # cycles and names
        (
            "media: $image",
            "media: $film",
            ["nothing reads it", "7:3: node 'see': reads itself in a cycle: see -> align ->"],
        ),
        ("flow: film-this", "flow: Film This", ["1:1: 'Film This' is no name; use small letters, digits, - and _"]),
        ("  caption:", "  Caption:", ["14:3: output 'Caption': 'Caption' is no name"]),
    ],
)
def test_problems(film_this: str, old: str, new: str, found: list[str]) -> None:
    assert film_this.count(old) == 1
    seen = problems(film_this.replace(old, new))
    assert [part for part in found if not any(part in problem for problem in seen)] == [], seen
    assert len(seen) == len(found), seen


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "flow: a",
            ["a.yaml: flow 'a' has no nodes.", "a.yaml: flow 'a' has no outputs; write outputs: {name: $ref}."],
        ),
        (
            "flow: a\ninputs: {see: image}\nnodes: {see: {stage: encode, media: $see}}\noutputs: {x: $see}",
            ["a.yaml:3:9: node 'see': inputs have this name; give the node another."],
        ),
        (
            "flow: a\nnodes: {inputs: {stage: reason, prompt: a}, d: {stage: decode, reply: $inputs}}"
            "\noutputs: {x: $d.text}",
            ["a.yaml:2:9: node 'inputs': inputs have this name; give the node another."],
        ),
    ],
)
def test_problems_of_small_flows(text: str, found: list[str]) -> None:
    assert problems(text) == found


def test_all_problems_at_once_in_file_order(film_this: str) -> None:
    text = film_this.replace("encode", "encod").replace("steps", "step").replace("$split.video", "$spilt.video")
    with pytest.raises(FlowError) as caught:
        wire(loads(text, "a.yaml"))
    assert [problem.line for problem in caught.value.problems] == [7, 11, 12]


def test_a_flow_that_was_built_has_its_problems_too() -> None:
    flow = FlowBuilder("a")
    flow.add("generate", "film", condition="$bridge", step=1)
    with pytest.raises(FlowError, match=r"^node 'film': nothing is named '\$bridge'"):
        wire(flow.build())


class Fork(Stage):
    """A stage from elsewhere: any media in, the same media out twice."""

    name = "fork"
    inputs = {"media": Port(PortType("Media"), "", many=True)}  # noqa: RUF012
    outputs = {p: Port(PortType("Media"), "", like="media") for p in ("left", "right")}  # noqa: RUF012

    def for_flow(self, signals: frozenset[str]) -> Stage:
        raise UserError("not in this flow")

    def run(self, batch: Sequence[Inputs], context: Context) -> list[Outputs]:
        return []


def forked(media: Any) -> FlowBuilder:
    flow = FlowBuilder("a")
    flow.input("image", "image")
    flow.output("image", flow.add("fork", media=media).right)
    return flow


def test_stages_from_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring, "stages", lambda: {**stages(), "fork": Fork})
    with pytest.raises(FlowError, match=r"^node 'fork': not in this flow$"):
        wire(forked("$image").build())
    monkeypatch.setattr(Fork, "for_flow", Stage.for_flow)
    node: WiredNode = wire(forked(["$image", "a $5 note"]).build()).node("fork")
    assert node.links == {"media": (Link("inputs.image"), Link(literal="a $5 note"))}
    assert node.types == {"media": IMAGE, "media[0]": IMAGE, "media[1]": TEXT}
    assert node.out_types == {"left": IMAGE, "right": IMAGE}
    with pytest.raises(FlowError, match=r"port 'media' \(Media\) is not connected\. Did you mean '\$image'\?"):
        wire(forked([]).build())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ([], r"^input 'image' \(image\) is missing; give image=\.\.\.$"),
        (["imge"], r"^input 'image' .*\nflow 'film-this' has no input 'imge'\. Did you mean 'image'\?$"),
        (["image", "x"], r"^flow 'film-this' has no input 'x'\. Known: image, prompt\.$"),
    ],
)
def test_inputs_of_a_run(film_this: str, given: list[str], message: str) -> None:
    spec = loads(film_this)
    check_inputs(spec, ["image"])
    check_inputs(spec, ["prompt", "image"])
    with pytest.raises(InputError, match=message):
        check_inputs(spec, given)


def test_a_flow_without_inputs_takes_none() -> None:
    with pytest.raises(InputError, match=r"flow 'a' has no input 'x'\. It takes none\."):
        check_inputs(FlowBuilder("a").build(), ["x"])
