"""Flows, runs and media over HTTP."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from tests import stubs
from tests.unit.serve.conftest import Serve, png, uri, wav


def test_a_run_that_is_waited_for(client: TestClient) -> None:
    answer = client.post("/flows/say/runs?wait=true&seed=3", json={"text": "hi"})
    told = answer.json()
    assert answer.status_code == 200
    assert {k: told[k] for k in ("flow", "status", "seed", "error")} == {
        "flow": "say", "status": "done", "seed": 3, "error": None
    }  # fmt: skip
    assert told["outputs"] == {"out": {"modality": "text", "text": "hi!", "meta": {"chars": 3}, "more": []}}
    assert client.get(answer.headers["location"]).json() == told


def test_media_in_and_out(client: TestClient) -> None:
    painted = client.post("/flows/paint/runs?wait=true", json={"text": "a dog"}).json()["outputs"]
    assert painted["asked"]["text"] == "a dog"
    file = client.get(painted["picture"]["url"])
    assert (file.headers["content-type"], file.headers["x-content-type-options"]) == ("image/png", "nosniff")
    upload = client.post("/media", content=file.content, headers={"content-type": "image/png"})
    assert upload.status_code == 201
    assert upload.json()["meta"] == {"size": [5, 2]}
    assert client.get(f"/media/{upload.json()['id']}").content == file.content
    looked = client.post("/flows/look/runs?wait=true", json={"image": upload.json()["id"]}).json()
    assert looked["outputs"]["seen"]["text"] == "[5, 2] what?"


def test_several_media_of_one_output(client: TestClient) -> None:
    told = client.post("/flows/words/runs?wait=true", json={"text": "one two"}).json()["outputs"]["out"]
    assert (told["text"], [more["text"] for more in told["more"]]) == ("one", ["two"])


FORMS: list[tuple[dict[str, Any], str]] = [
    ({"json": {"image": uri(png(6)), "question": "why?"}}, "[6, 2] why?"),
    ({"files": {"image": ("a.bin", png(7))}, "data": {"question": "who?"}}, "[7, 2] who?"),
    ({"files": {"image": (None, uri(png(8))), "question": (None, "")}}, "[8, 2] "),
]


@pytest.mark.parametrize(("request_", "seen"), FORMS)
def test_inputs_as_json_and_as_a_form(request_: dict[str, Any], seen: str, client: TestClient) -> None:
    answer = client.post("/flows/look/runs?wait=true", **request_)
    assert answer.json()["outputs"]["seen"]["text"] == seen


def test_an_upload_may_be_a_form(client: TestClient) -> None:
    told = client.post("/media", files={"file": ("a.wav", wav(), "audio/x-wav")}).json()
    assert (told["modality"], told["type"], told["meta"]["rate"]) == ("audio", "audio/wav", 8000)
    assert client.post("/flows/hear/runs?wait=true", json={"sound": told["id"]}).json()["status"] == "done"


def test_in_the_background(client: TestClient) -> None:
    answer = client.post("/flows/slow/runs", json={"text": "x"})
    assert (answer.status_code, answer.json()["outputs"]) == (202, {})
    where = answer.headers["location"]
    while client.get(where).json()["status"] == "queued":
        pass
    assert client.delete(where).status_code == 202
    while (told := client.get(where).json())["status"] == "running":
        pass
    assert (told["status"], told["error"]["message"]) == ("interrupted", "the run was cancelled")
    assert client.delete(where).json() == told


def test_one_that_waits_is_cancelled_at_once(serve: Serve) -> None:
    client = serve(workers=1)
    first = client.post("/flows/slow/runs", json={"text": "x"}).headers["location"]
    second = client.post("/flows/say/runs", json={"text": "y"}).headers["location"]
    assert client.delete(second).json()["status"] == "interrupted"
    assert client.get(first).json()["status"] in ("queued", "running")
    assert stubs.RUNS.count("say") == 0


def test_events(client: TestClient) -> None:
    answer = client.post("/flows/paint/runs", json={"text": "a dog"}, headers={"accept": "text/event-stream"})
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    events = [event.split("\n") for event in answer.text.strip().split("\n\n")]
    kinds = [kind.removeprefix("event: ") for kind, _ in events]
    data = [json.loads(line.removeprefix("data: ")) for _, line in events]
    assert kinds == [
        "run_started",
        "output_ready",
        "node_started",
        "output_ready",
        "node_finished",
        "run_finished",
        "run",
    ]
    run = data[-1]
    assert run["status"] == "done"
    assert data[1]["text"] == "a dog"
    assert data[3]["url"] == run["outputs"]["picture"]["url"] == f"/runs/{run['id']}/files/picture.png"
    assert "folder" not in data[0]
    assert "path" not in answer.text


def test_progress_is_an_event(client: TestClient) -> None:
    answer = client.post("/flows/say/runs", json={"text": "a"}, headers={"accept": "text/event-stream"})
    assert answer.text.count("event: node_progress\n") in (1, 2)  # who reads slowly gets the newest


def test_list_of_flows(client: TestClient) -> None:
    told = {flow["name"]: flow for flow in client.get("/flows").json()["flows"]}
    assert list(told) == ["say", "paint", "look", "hear", "two", "words", "dice", "slow"]
    assert told["look"] == client.get("/flows/look").json()
    assert told["look"]["inputs"]["question"] == {"modality": "text", "required": False, "doc": ""}
    assert told["paint"]["outputs"] == {"picture": "image", "asked": "text"}


def test_old_runs_go(serve: Serve, tmp_path: Path) -> None:
    client = serve(keep=1)
    runs = [client.post("/flows/say/runs?wait=true", json={"text": str(i)}).json()["id"] for i in range(3)]
    assert [client.get(f"/runs/{run}").status_code for run in runs] == [404, 200, 200]
    assert {path.name for path in (tmp_path / "runs").iterdir()} == set(runs[1:])


SAY, LOOK, JSON = "/flows/say/runs", "/flows/look/runs", {"content-type": "application/json"}
WRONG: list[tuple[str, dict[str, Any], int, str]] = [
    ("/flows/sya/runs", {"json": {}}, 404, "there is no flow 'sya'. Did you mean 'say'?"),
    (SAY, {"json": {}}, 422, "input 'text' (text) is missing; give text=..."),
    (
        SAY,
        {"json": {"text": "a", "txt": "b"}},
        422,
        "flow 'say' has no input 'txt'. Did you mean 'text'?",
    ),
    (
        SAY,
        {"json": {"text": 3}},
        422,
        "texts by input: text: Input should be a valid string",
    ),
    (SAY, {"content": b"{", "headers": JSON}, 422, "Invalid JSON"),
    (SAY, {"content": b"[" * 9999, "headers": JSON}, 422, "Invalid JSON"),
    (SAY, {"content": b"text=a"}, 415, "a request is application/json or multipart/form-data, not ''"),
    (SAY, {"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "Missing boundary"),
    ("/flows/say/runs?seed=-1", {"json": {"text": "a"}}, 422, "seed: Input should be greater than or equal to 0"),
    ("/flows/say/runs?seed=x", {"json": {"text": "a"}}, 422, "seed: Input should be a valid integer"),
    (SAY, {"files": [("text", (None, "a")), ("text", (None, "b"))]}, 422, "input 'text' is given twice"),
    (
        LOOK,
        {"json": {"image": uri(wav(), "image/png")}},
        422,
        "is no picture that can be read; give",
    ),
    (
        LOOK,
        {"json": {"image": uri(wav(), "audio/wav")}},
        422,
        "takes image, but the data URI holds audio/wav",
    ),
    ("/flows/hear/runs", {"files": {"sound": png()}}, 422, "is no sound that can be read"),
    (LOOK, {"json": {"image": "data:image/png;base64,!"}}, 422, "the data URI is no base64"),
    (LOOK, {"json": {"image": "/etc/passwd"}}, 422, "'/etc/passwd' is neither the id of an upload"),
    (LOOK, {"json": {"image": "file:///etc/passwd"}}, 422, "is neither the id of an upload"),
    (LOOK, {"json": {"image": "0" * 32}}, 422, "there is no upload '" + "0" * 32),
    (LOOK, {"json": {"image": "http://127.0.0.1/"}}, 422, "is an address, and none are fetched here"),
    ("/media", {"content": png(), "headers": {"content-type": "text/html"}}, 415, "'text/html' is no type of media"),
    ("/media", {"content": png(), "headers": {"content-type": "audio/wav"}}, 422, "is no sound that can be read"),
    ("/media", {"content": b"", "headers": {"content-type": "image/png"}}, 422, "is empty (0 bytes)"),
    ("/media", {"files": [("a", b"1"), ("b", b"2")]}, 400, "an upload has one file, not 2"),
    ("/nothing", {}, 404, "Not Found"),
]


@pytest.mark.parametrize(("path", "request_", "status", "message"), WRONG, ids=[row[3] for row in WRONG])
def test_what_is_refused(path: str, request_: dict[str, Any], status: int, message: str, client: TestClient) -> None:
    answer = client.post(path, **request_)
    error = answer.json()["error"]
    assert (answer.status_code, message in error["message"]) == (status, True), error
    assert error["type"] == {404: "not_found_error"}.get(status, "invalid_request_error")
    assert stubs.RUNS == []


def test_all_problems_at_once(client: TestClient) -> None:
    answer = client.post("/flows/two/runs", json={"c": ""})
    assert len(answer.json()["error"]["message"].splitlines()) == 3


def test_an_upload_of_another_modality(client: TestClient) -> None:
    upload = client.post("/media", content=wav(), headers={"content-type": "audio/wav"}).json()["id"]
    answer = client.post("/flows/look/runs", json={"image": upload})
    assert "input 'image': takes image, but upload" in answer.json()["error"]["message"]


def test_a_run_that_fails_tells_no_internals(client: TestClient, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Any) -> None:
        raise ValueError("secret of /srv/models")

    stubs.HOOKS["say"] = fail
    answer = client.post("/flows/say/runs?wait=true", json={"text": "a"})
    assert (answer.status_code, answer.json()["error"]["message"]) == (500, "the run failed; the server's log says why")
    told = client.get(answer.headers["location"]).text
    stream = client.post("/flows/say/runs", json={"text": "b"}, headers={"accept": "text/event-stream"}).text
    assert "secret" not in told + stream + answer.text
    assert '"status": "failed"' in stream
    assert "secret of /srv/models" in caplog.text


def test_a_run_takes_no_longer_than_it_may(serve: Serve) -> None:
    answer = serve(timeout=0.2).post("/flows/slow/runs?wait=true", json={"text": "x"})
    assert (answer.status_code, answer.json()["error"]["type"]) == (504, "timeout_error")
    assert "took longer than this server allows" in answer.json()["error"]["message"]
