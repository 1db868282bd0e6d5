"""The schema tells the truth: schemathesis calls every route with what the schema allows, and with what it does not."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.python import asgi
from schemathesis.specs.openapi import checks
from starlette.testclient import TestClient

from orchestrator.engine.flow import Flow
from orchestrator.serve.app import create_app
from orchestrator.serve.settings import Settings
from tests.unit.serve.conftest import png

EXAMPLES = 3  # of each route, allowed and not
CHECKS = [
    not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
]


@pytest.fixture
def schema(flows: list[Flow], tmp_path: Path) -> Any:
    app = create_app(flows[:3], Settings(out=tmp_path))
    loaded = schemathesis.openapi.from_dict(app.openapi())
    client = TestClient(app, base_url="http://testserver")
    run = client.post("/flows/paint/runs?wait=true", json={"text": "a"}).json()["id"]
    upload = client.post("/media", content=png(), headers={"content-type": "image/png"}).json()["id"]
    known = {"run_id": run, "upload_id": upload, "name": "asked.txt"}
    with asgi.get_client(app) as session:
        yield loaded, known, session
    app.state.runs.close()


@pytest.mark.filterwarnings("ignore:Do not use the `random` module")  # schemathesis itself does
@pytest.mark.parametrize("mode", schemathesis.GenerationMode, ids=lambda mode: mode.value)
def test_every_route(mode: schemathesis.GenerationMode, schema: Any) -> None:
    loaded, known, session = schema
    seen = 0
    for found in loaded.get_all_operations():
        operation = found.ok()
        wanted = {p.name for p in operation.path_parameters}
        there = {name: value for name, value in known.items() if name in wanted}
        for fixed in ({}, there) if mode is schemathesis.GenerationMode.POSITIVE else ({},):

            @settings(
                max_examples=EXAMPLES, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )  # fmt: skip
            @given(case=operation.as_strategy(mode, path_parameters=fixed or None))
            def call(case: schemathesis.Case) -> None:
                case.call_and_validate("http://testserver", session, checks=CHECKS)

            with suppress(Unsatisfiable):  # nothing can be wrong with a route that takes nothing
                call()
                seen += 1
            if not wanted:
                break
    assert seen >= {"positive": 20, "negative": 5}[mode.value]


def test_inputs_and_outputs_are_those_of_the_flows(flows: list[Flow]) -> None:
    schema = create_app(flows).openapi()
    asked = schema["paths"]["/flows/look/runs"]["post"]["requestBody"]["content"]
    look = asked["application/json"]["schema"]
    assert (look["required"], look["additionalProperties"]) == (["image"], False)
    assert look["properties"]["question"]["default"] == "what?"
    assert "data URI" in look["properties"]["image"]["description"]
    assert asked["multipart/form-data"]["schema"]["properties"]["image"]["format"] == "binary"
    outputs = schema["components"]["schemas"]["PaintOutputs"]["properties"]
    assert outputs["picture"]["anyOf"][0] == {"$ref": "#/components/schemas/FileOutput"}
    assert outputs["asked"]["anyOf"][0] == {"$ref": "#/components/schemas/TextOutput"}
