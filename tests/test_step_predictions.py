"""What a model in training answers, in the record: kept by step, written by its run alone, read with a key."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.api_fixtures import Office
from tests.cli_fixtures import Terminal
from tests.cli_fixtures import terminal as terminal
from tests.sdk_fixtures import config_home as config_home
from tuneyard import Client
from tuneyard.batch_shapes import NewPrediction

JOBS = "/api/v1/jobs"
PLATFORM = "/api/training/local/predictions"


def answer(step: int, index: int, **more: Any) -> dict[str, Any]:
    return {
        "step": step,
        "prompt_index": index,
        "prompt": f"p{index}",
        "expected": "e",
        "response": "r",
    } | more


def row(step: int, index: int, **more: Any) -> dict[str, Any]:
    return {"step": step, "sample_index": index, "prompt": f"p{index}", "ground_truth": "e"} | more


def sent(office: Office, job_id: str, token: str, *answers: dict[str, Any]) -> Any:
    return office.call("POST", f"{JOBS}/{job_id}/predictions", token, json={"predictions": answers})


def read(office: Office, job_id: str, query: str = "") -> dict[str, Any]:
    answer = office.call("GET", f"{JOBS}/{job_id}/predictions{query}", office.key("training"))
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


def test_answers_are_kept_once_a_step_and_prompt_and_read_by_step(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    taken = sent(any_office, job_id, token, answer(4, 1), answer(4, 0), answer(8, 0, score=0.5))
    assert (taken.status_code, taken.json()["count"], taken.json()["job_status"]) == (200, 3, "running")
    sent(
        any_office,
        job_id,
        token,
        answer(4, 1, response="again", scores={"exact": 1.0}, score=1.0, passed=True),
    )
    found = read(any_office, job_id)
    assert [(one["step"], one["prompt_index"], one["response"]) for one in found["items"]] == [
        (4, 0, "r"),
        (4, 1, "again"),
        (8, 0, "r"),
    ]
    page = read(any_office, job_id, "?step=4&limit=1&offset=1")
    assert (page["total"], [one["prompt_index"] for one in page["items"]]) == (2, [1])


def test_only_the_job_s_run_writes_and_no_token_reads(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    _, other = any_office.claimed_job()
    assert sent(any_office, job_id, other, answer(1, 0)).status_code == 401
    assert sent(any_office, job_id, any_office.key("admin"), answer(1, 0)).status_code == 401
    assert any_office.call("GET", f"{JOBS}/{job_id}/predictions", token).status_code == 401
    assert (
        any_office.call("GET", f"{JOBS}/{job_id}/predictions", any_office.key("testing")).status_code == 403
    )
    assert any_office.end(job_id, token).status_code == 200
    assert sent(any_office, job_id, token, answer(2, 0)).status_code == 200, "what comes late is kept"
    assert read(any_office, job_id)["total"] == 1


def test_a_batch_test_s_answers_are_not_had_this_way(office: Office) -> None:
    worker = office.key("worker")
    test = office.call("POST", "/api/v1/batch-tests", worker, json={"suite": "s", "model": "m"}).json()["id"]
    token = office.claim(test)
    assert sent(office, test, token, answer(0, 0)).status_code == 409
    assert office.call("GET", f"{JOBS}/{test}/predictions", office.key("training")).status_code == 404


@pytest.mark.parametrize("form", ["one", "list", "object"])
def test_the_platform_s_trainer_sends_rows_in_any_form(any_office: Office, form: str) -> None:
    job_id, token = any_office.claimed_job()
    rows = [
        row(0, 0, prediction="r", epoch=0.5, user_id="somebody else", job_id=job_id, exact_match=True),
        row(0, 1),
    ]
    body = {"one": rows[0], "list": rows, "object": {"job_id": job_id, "predictions": rows}}[form]
    taken = any_office.call("POST", PLATFORM, token, json=body)
    assert (taken.status_code, taken.json()["count"]) == (200, 1 if form == "one" else 2)
    key = any_office.key("training")
    for path in (f"{PLATFORM}?job_id={job_id}", f"/api/training/predictions/{job_id}"):
        found = any_office.call("GET", path, key).json()
        first = found["predictions"][0]
        wanted = {"step": 0, "epoch": 0.5, "sample_index": 0, "prompt": "p0", "ground_truth": "e"}
        wanted |= {"prediction": "r", "job_id": job_id, "exact_match": True}
        assert {name: first[name] for name in wanted} == wanted
        assert "user_id" not in first
    assert read(any_office, job_id)["items"][0]["expected"] == "e"


@pytest.mark.parametrize("named", ["row", "body", "nobody's"])
def test_rows_that_name_another_job_are_refused_and_none_is_stored(office: Office, named: str) -> None:
    job_id, token = office.claimed_job()
    other, _ = office.claimed_job()
    body: dict[str, Any] = {"predictions": [row(0, 0), row(0, 1)]}
    if named == "body":
        body["job_id"] = other
    else:
        body["predictions"][1]["job_id"] = other if named == "row" else "no-such-job"
    refused = office.call("POST", PLATFORM, token, json=body)
    assert (refused.status_code, refused.json()["error"]) == (401, "Unauthorized: Invalid token")
    assert read(office, job_id)["total"] == read(office, other)["total"] == 0


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"predictions": []}, 400, "predictions must be a list"),
        ({"predictions": [7]}, 400, "Invalid JSON body"),
        (row(0, 0) | {"step": None}, 400, "Missing required field: step"),
        ({"step": 1, "prompt": "p"}, 400, "Missing required field: sample_index"),
        (row(-1, 0), 422, "step"),
        (row(0, 0, prediction=5), 422, "prediction"),
    ],
)
def test_a_bad_row_is_refused_in_the_platform_s_words(
    office: Office, body: Any, status: int, said: str
) -> None:
    job_id, token = office.claimed_job()
    refused = office.call("POST", PLATFORM, token, json=body)
    assert (refused.status_code, refused.json()["error"][: len(said)]) == (status, said)
    assert read(office, job_id)["total"] == 0


def test_a_read_names_its_job(office: Office) -> None:
    key = office.key("training")
    assert office.call("GET", PLATFORM, key).status_code == 400
    assert office.call("GET", f"{PLATFORM}?job_id=none", key).status_code == 404


def test_the_sdk_and_the_command_line_show_them(terminal: Terminal) -> None:
    office = terminal.office
    job_id, token = office.claimed_job()
    with Client(office.served.url, job_token=token) as writer:
        new = [
            NewPrediction(step=step, prompt_index=0, prompt="p", response=f"said {step}") for step in (4, 8)
        ]
        assert writer.jobs.add_predictions(job_id, new).count == 2
    key = terminal.log_in("training")
    with Client(office.served.url, key) as client:
        assert [one.step for one in client.jobs.predictions(job_id).items] == [4, 8]
    shown = terminal.well("jobs", "predictions", job_id, "--step", "8").out
    assert "said 8" in shown
    assert "said 4" not in shown
    page = json.loads(terminal.well("jobs", "predictions", job_id, "--json").out)
    assert page["total"] == 2
