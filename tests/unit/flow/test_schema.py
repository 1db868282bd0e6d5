from __future__ import annotations

import json
import re

from orchestrator.flow.schema import json_schema
from orchestrator.nodes.registry import stages


def nodes() -> dict[str, dict[str, object]]:
    listed = json_schema()["properties"]["nodes"]["additionalProperties"]["oneOf"]
    return {node["title"]: node for node in listed}


def test_it_is_json_with_every_stage() -> None:
    assert json.loads(json.dumps(json_schema()))["required"] == ["flow", "nodes", "outputs"]
    assert set(nodes()) == set(stages())


def test_a_node_has_the_ports_and_fields_of_its_stage() -> None:
    reason, encode = nodes()["reason"], nodes()["encode"]
    assert {"stage", "when", "prompt", "media", "template", "max_new_tokens"} <= set(reason["properties"])  # type: ignore[call-overload]
    assert (reason["required"], encode["required"]) == (["stage"], ["stage", "media"])
    assert encode["properties"]["stage"] == {"const": "encode"}  # type: ignore[index]
    assert str(encode["description"]).startswith("Turn media into features")


def test_only_text_ports_take_text_and_only_many_ports_lists() -> None:
    ports = nodes()["reason"]["properties"] | nodes()["encode"]["properties"]  # type: ignore[operator]
    prompt, media = nodes()["reason"]["properties"]["prompt"], nodes()["reason"]["properties"]["media"]  # type: ignore[index]
    assert [option["type"] for option in prompt["oneOf"]] == ["string", "object"]
    assert [option["type"] for option in media["oneOf"]] == ["string", "object", "array"]
    assert "pattern" not in prompt["oneOf"][0]
    assert media["oneOf"][0]["pattern"]
    assert ports["frames"]["maximum"] == 64


def test_every_ref_of_the_schema_has_its_definition() -> None:
    schema = json_schema()
    refs = set(re.findall(r'"#/\$defs/([^"]+)"', json.dumps(schema)))
    assert refs <= set(schema["$defs"])
