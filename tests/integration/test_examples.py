"""The programs in examples/, the graph that LangGraph's server loads, and a project whose modules are named as ours."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DOG = ROOT / "flows" / "media" / "dog.png"
SEEN = "a dog"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # runs are written where one stands


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(ROOT / "examples" / f"{name}.py"))


def test_every_example_has_a_test() -> None:
    here = Path(__file__).read_text()
    names = [path.stem for path in ROOT.glob("examples/*.py")]
    assert [name for name in names if f'example("{name}")' not in here and f"{name}.py:" not in here] == []


def test_embed() -> None:
    captions = example("embed")["captions"]([str(DOG), "nowhere.png"])
    assert captions[str(DOG)] == SEEN
    assert captions["nowhere.png"].startswith("(image: nowhere.png: no such file")
    assert len((ROOT / "examples" / "embed.py").read_text().splitlines()) <= 25


def test_langgraph_agent() -> None:
    messages = example("langgraph_agent")["main"](str(DOG))
    assert [message.type for message in messages] == ["human", "ai", "tool", "ai", "tool", "ai"]
    wrong, right = (message for message in messages if message.type == "tool")
    assert (wrong.status, right.status) == ("error", "success")
    assert "no such file" in wrong.content
    assert right.content == f"text: {SEEN}"
    assert Path(right.artifact["outputs"]["text"]["path"]).read_text() == SEEN


def test_smolagents_tool() -> None:
    assert f"text: {SEEN}" in example("smolagents_tool")["main"](str(DOG))


def test_mcp_client_over_stdio() -> None:
    """mcp_client.py: the client starts the server."""
    first, *told, last = _run(ROOT / "examples" / "mcp_client.py").splitlines()
    assert first == "image_to_text: image -> text. Makes text (text); media are written to files. Takes image."
    assert told[-1] == "4.0 of 4: decode: ran"
    assert last == SEEN


def test_graph_that_langgraph_json_names() -> None:
    """examples/graph.py:graph"""
    named = json.loads((ROOT / "langgraph.json").read_text())
    assert named["graphs"].keys() == {"look"}
    for place in named["graphs"].values():
        file, _, name = place.partition(":")
        graph = runpy.run_path(str(ROOT / file))[name]
        state = graph.invoke({"picture": str(DOG)})
        assert state["praise"] == f"What a picture! {SEEN}"
        assert "reason" in str(graph.get_graph(xray=True).nodes)


def test_a_project_with_modules_of_the_same_names(tmp_path: Path) -> None:
    for name in ("nodes", "prompts", "projectors", "models", "flow", "agents", "engine"):
        (tmp_path / f"{name}.py").write_text("mine = True\n")
    (tmp_path / "orchestration").mkdir()
    (tmp_path / "orchestration" / "__init__.py").write_text("mine = True\n")
    (tmp_path / "agent.py").write_text(
        "import agents, engine, flow, models, nodes, orchestration, projectors, prompts\n"
        "from orchestrator import Flow\n"
        "from orchestrator.agents import as_tool\n"
        "look = as_tool(Flow.arrow('image -> text'))\n"
        f"print(look.invoke({{'image': {str(DOG)!r}}}), agents.mine and nodes.mine and orchestration.mine)\n"
    )
    assert _run(tmp_path / "agent.py", tmp_path) == f"text: {SEEN} True\n"


def _run(file: Path, *first_on_path: Path) -> str:
    """What a program prints."""
    env = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, (*first_on_path, ROOT)))}
    done = subprocess.run([sys.executable, file], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout
