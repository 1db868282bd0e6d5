"""Bundles that are damaged, or whose parts do not fit together: each refused by name."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from orchestrator.engine.flow import Flow
from orchestrator.errors import BundleError, FlowError, UserError
from orchestrator.models import weights
from orchestrator.models.bundle import SUMS_FILE, Bundle
from orchestrator.models.bundle.derive import derive
from orchestrator.models.bundle.manifest import Manifest, load_projector
from orchestrator.models.bundle.verify import verify
from orchestrator.models.llm.adapter import LoraOptions, RowOptions, tune
from orchestrator.models.loading import load_part

IN, OUT = "projectors/in/projector.json", "projectors/video/projector.json"


@pytest.fixture
def root(tiny_bundle: Path, tmp_path: Path) -> Path:
    """A copy to break."""
    return Path(shutil.copytree(tiny_bundle, tmp_path / "b"))


def load(root: Path, part: str) -> Any:
    return load_part(Bundle.open(root), part, "cpu", torch.float32)


def edit(file: Path, **changes: Any) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.mark.parametrize(
    ("manifest", "changes", "message"),
    [
        (
            IN,
            {"encoder": {"id": "hub/other", "dim": 32}},
            r"encoder 'hub/other' \(32 wide\), .* 'tiny/encoders/image' \(32",
        ),
        (
            IN,
            {"encoder": {"id": "tiny/encoders/image", "dim": 64}},
            r"encoder '.*' \(64 wide\), the bundle has .* \(32",
        ),
        (IN, {"encoder": None}, r"encoder None, the bundle has"),
        (
            IN,
            {"llm": {"id": "hub/llama", "dim": 32}},
            r"llm 'hub/llama' \(32 wide\), the bundle has 'tiny/llm' \(32 wide\)",
        ),
        (IN, {"llm": {"id": "tiny/llm", "dim": 4096}}, r"llm 'tiny/llm' \(4096 wide\), the bundle has 'tiny/llm' \(32"),
        (IN, {"tokenizer": "ab" * 32}, r"tokenizer 'abab.*', the bundle has '[0-9a-f]{64}'"),
        (OUT, {"generator": "hub/zeroscope"}, r"generator 'hub/zeroscope', the bundle has 'tiny/generators/video'"),
        (OUT, {"condition": {"prompt_embeds": [77, 32]}}, r"condition .*\(77, 32\).*, the bundle has .*\(16, 32\)"),
        (OUT, {"condition": {}}, r"condition \{\}, the bundle has"),
        (OUT, {"condition": {"embeds": [16, 32]}}, r"condition \{'embeds': .*, the bundle has \{'prompt_embeds'"),
        (OUT, {"signals": ["[VID0]"]}, r"signals \('\[VID0\]',\), the bundle has \('\[VID0\]', '\[VID1\]'"),
    ],
)
def test_a_projector_of_other_parts_is_refused(
    root: Path, manifest: str, changes: dict[str, Any], message: str
) -> None:
    edit(root / manifest, **changes)
    part, line = {IN: ("input_projectors.image", "image -> text"), OUT: ("output_projectors.video", "text -> video")}[
        manifest
    ]
    full = rf"bundle 'tiny': {part} was trained against {message}"
    with pytest.raises(BundleError, match=full):
        load(root, part)
    with pytest.raises(FlowError, match=full):  # before anything is loaded
        Flow.arrow(line, root)


def test_all_misfits_at_once(root: Path) -> None:
    edit(root / OUT, generator="x", tokenizer="y", llm={"id": "z", "dim": 1})
    with pytest.raises(BundleError) as caught:
        load_projector(Bundle.open(root), "output_projectors.video")
    assert len(str(caught.value).splitlines()) == 3


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"is no projector: projector\.json: No such file"),
        ("{", r"projector\.json: .*JSON"),
        ("{}", r"projector\.json: kind: Field required"),
        ('{"extra": 1}', r"projector\.json: extra: Extra inputs"),
    ],
)
def test_bad_manifests(root: Path, content: str | None, message: str) -> None:
    (root / IN).unlink()
    if content is not None:
        (root / IN).write_text(content)
    with pytest.raises(BundleError, match=message):
        Manifest.read(root / "projectors/in")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"kind": "liner"}, r"unknown projector 'liner'\. Did you mean 'linear'\?"),
        ({"config": {"in_dim": 32}}, r"projector 'linear' needs '"),
        ({"config": {"in_dim": 32, "out_dim": 32, "num_tokens": 3}}, r"model\.safetensors does not fit linear"),
        (
            {"config": {"in_dim": 16, "out_dim": 32, "num_tokens": 4}},
            r"input_projectors\.image has in_dim 16 in its config, but what it was trained against makes it 32",
        ),
    ],
)
def test_a_projector_that_is_not_what_its_manifest_says(root: Path, changes: dict[str, Any], message: str) -> None:
    edit(root / IN, **changes)
    with pytest.raises(UserError, match=message):
        load(root, "input_projectors.image")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"out_dim": 64}, r"output_projectors\.video has out_dim 64 in its config, but .* makes it 32"),
        ({"num_tokens": 77}, r"has num_tokens 77 in its config, but .* makes it 16"),
        ({"in_dim": 8, "out_dim": 8}, r"(?s)has in_dim 8 .*\n.*has out_dim 8 "),
    ],
)
def test_a_config_that_contradicts_the_ends(root: Path, changes: dict[str, int], message: str) -> None:
    config = json.loads((root / OUT).read_text())["config"]
    edit(root / OUT, config=config | changes)
    with pytest.raises(BundleError, match=message):
        load(root, "output_projectors.video")


def test_every_field_of_a_manifest_is_checked() -> None:
    """Those of what it was trained against and its own by the tests above; two only tell where it is from."""
    ends = {"encoder", "llm", "tokenizer", "generator", "condition", "signals"}
    assert ends | {"kind", "config", "recipe", "step"} == Manifest.model_fields.keys()


@pytest.mark.parametrize(
    "change",
    [lambda state: state.popitem(), lambda state: state.update(more=torch.zeros(2))],
    ids=["missing", "surplus"],
)
def test_projector_weights_are_loaded_strictly(root: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    file = root / "projectors/video/model.safetensors"
    state = load_file(file)
    change(state)
    save_file(state, file)
    with pytest.raises(BundleError, match=r"model\.safetensors does not fit transformer"):
        load(root, "output_projectors.video")


PARTS = {
    "llm": "llm/model.safetensors",
    "encoders.image": "encoders/image/model.safetensors",
    "generators.video": "generators/video/unet/diffusion_pytorch_model.safetensors",
    "generators.image": "generators/image/text_encoder/model.safetensors",
}


@pytest.mark.parametrize("part", PARTS)
def test_model_weights_are_loaded_strictly(root: Path, part: str) -> None:
    """transformers and diffusers alone would go on with random numbers."""
    file = root / PARTS[part]
    state = load_file(file)
    name = sorted(state)[3]
    gone = {k: v for k, v in state.items() if k != name}
    save_file(gone, file, metadata={"format": "pt"})
    with pytest.raises(BundleError, match=rf"{file.parent}: the weights do not fit .*: '{name}' is missing"):
        load(root, part)
    save_file(gone | {name: torch.zeros(7)}, file, metadata={"format": "pt"})
    with pytest.raises(BundleError, match=rf"{file.parent}: the weights do not fit .*: '{name}' is \[7\], not \["):
        load(root, part)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.unlink(), r"has no weights: no \*\.safetensors file in it"),
        (
            lambda f: f.write_bytes(f.read_bytes()[:-1000]),
            r"model\.safetensors is damaged: it has \d+ bytes, its header says",
        ),
        (lambda f: f.write_bytes(b""), r"model\.safetensors is damaged: its header is 0 bytes long"),
        (
            lambda f: f.write_bytes(b"no weights at all" * 9),
            r"model\.safetensors is damaged: its header is \d+ bytes long",
        ),
        (lambda f: shutil.rmtree(f.parent), r"bundle 'tiny': llm is missing: there is no folder"),
    ],
    ids=["gone", "truncated", "empty", "garbage", "folder gone"],
)
def test_damaged_files(root: Path, change: Callable[[Path], Any], message: str) -> None:
    change(root / "llm/model.safetensors")
    with pytest.raises(BundleError, match=message):
        load(root, "llm")
    assert [problem for problem in verify(Bundle.open(root)) if re.search(message, problem)]


@pytest.mark.parametrize(
    ("file", "changes", "part", "message"),
    [
        (
            "encoders/image/config.json",
            {"model_type": "clop"},
            "encoders.image",
            r"no encoder of type 'clop' is known\..*clip",
        ),
        (
            "generators/video/model_index.json",
            {"_class_name": "TextToVideoSDPipelin"},
            "generators.video",
            r"no generator of class 'TextToVideoSDPipelin' is known\. Did you mean 'TextToVideoSDPipeline'\?",
        ),
    ],
)
def test_unknown_families(root: Path, file: str, changes: dict[str, Any], part: str, message: str) -> None:
    edit(root / file, **changes)
    with pytest.raises(BundleError, match=message):
        load(root, part)


def test_tokens_that_the_tokenizer_lacks(root: Path) -> None:
    """They are added; a projector that was trained without them does not fit any more."""
    file = root / "bundle.yaml"
    file.write_text(file.read_text().replace("count: 24", "count: 26"))
    assert len(load(root, "llm").signals.ids["video"]) == 26
    with pytest.raises(BundleError, match=r"output_projectors\.video was trained against signals .*\[VID24\]"):
        load(root, "output_projectors.video")


def test_a_derived_bundle_runs_with_its_adapter(root: Path, tmp_path: Path) -> None:
    """Saved by a training, then shown, verified and run as any other."""
    base = load(root, "llm")
    tune(base, LoraOptions(r=4, dropout=0), RowOptions())
    with torch.no_grad():
        for parameter in [p for found in base.adapter.parameters.values() for p in found]:
            parameter += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1))
    base.adapter.save(tmp_path / "new/lora")
    made = derive(Bundle.open(root), tmp_path / "new", "new", {"llm": {"adapter": "lora"}})
    assert verify(made) == []
    loaded, prompt = load(made.root, "llm"), base.prompt(["a dog"])
    (reply,), (wanted,) = (llm.generate([prompt], max_new_tokens=40, require=["video"]) for llm in (loaded, base))
    assert reply.tolist() == wanted.tolist()
    torch.testing.assert_close(loaded.prompt(["a dog"]), prompt)
    assert not any(p.requires_grad for p in loaded.model.parameters())
    run = Flow.arrow("text -> image", bundle=made.root).run(text="a dog")
    assert run["image"].modality == "image"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda lora: edit(lora / "adapter_config.json", base_model_name_or_path="hub/llama"),
            "LLM 'hub/llama', the b",
        ),
        (lambda lora: (lora / "adapter_config.json").unlink(), "is no adapter: .*No such file"),
        (lambda lora: edit(lora / "adapter_config.json", r=8), r"lora_A\.weight' is \[4, 32\], not \[8, 32\]"),
    ],
)
def test_an_adapter_that_does_not_fit(root: Path, change: Callable[[Path], Any], message: str) -> None:
    llm = load(root, "llm")
    tune(llm, LoraOptions(r=4))
    llm.adapter.save(root / "lora")
    text = (root / "bundle.yaml").read_text().replace("path: llm\n", "path: llm\n  adapter: lora\n")
    (root / "bundle.yaml").write_text(text)
    change(root / "lora")
    with pytest.raises(BundleError, match=message):
        load(root, "llm")


def test_verify_tells_all(root: Path) -> None:
    assert verify(Bundle.open(root)) == []
    weights.write_sums(root, SUMS_FILE)
    assert verify(Bundle.open(root)) == []
    edit(root / OUT, generator="x")
    llm = root / "llm/model.safetensors"
    llm.write_bytes(llm.read_bytes()[:-4] + b"\0\0\0\1")  # of the right size
    shutil.rmtree(root / "generators/image")
    found = verify(Bundle.open(root))
    for message in (
        "generators.image is missing: there is no folder",
        "output_projectors.video was trained against generator 'x'",
        f"{llm} is not the file that {SUMS_FILE} was written for",
        f"{root / OUT} is not the file that {SUMS_FILE} was written for",
        f"{root / 'generators/image/model_index.json'} is missing",
    ):
        assert [p for p in found if message in p], message


def test_an_output_projector_without_its_signal(root: Path) -> None:
    file = root / "bundle.yaml"
    text = file.read_text()
    file.write_text(text[: text.index("  video:\n    count: 24")])
    problems = verify(Bundle.open(root))
    assert problems == ["bundle 'tiny' has an output projector but no signal for video; it has: image"]
    with pytest.raises(FlowError, match=r"'reason': bundle 'tiny' has no signal for video; it has: image"):
        Flow.arrow("text -> video", root)


def test_facts_without_loading(tiny_bundle: Path) -> None:
    bundle = Bundle.open(tiny_bundle)
    kinds = {part: bundle.kind(part) for part in bundle.names()}
    assert kinds["llm"] == "LlamaForCausalLM"
    assert (kinds["generators.video"], kinds["output_projectors.video"]) == ("TextToVideoSDPipeline", "transformer")
    plan = Flow.arrow("image -> text -> video", tiny_bundle).memory_plan()
    assert [row.part for row in plan.rows] == [
        "encoders.image",
        "input_projectors.image",
        "llm",
        "output_projectors.video",
        "generators.video",
    ]
    assert plan["llm"].need.used_by == ("reason", "reason_2")
    for row in plan.rows:
        assert 0.9 * row.weights < bundle.size(row.part) < 1.1 * row.weights + 20_000  # beside weights, headers
