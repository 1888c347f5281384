"""The training platform's paths of batch testing: its clients start, follow, cancel and put away tests as they are
used to."""

from __future__ import annotations

import re
from typing import Any

import pytest

from tests.api_fixtures import Office
from tests.people_fixtures import person
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard

BATCH = "/api/batch-testing"
PROMPTS = [{"prompt": f"p{n}", "expected": f"e{n}"} for n in range(50)]
STATUS_FIELDS = set(
    re.findall(
        r"\w+",
        """id status model_name total_prompts completed_prompts failed_prompts progress started_at completed_at error
    results""",
    )
)
RESULT_FIELDS = {
    "id",
    "prompt_index",
    "response",
    "latency_ms",
    "input_tokens",
    "output_tokens",
    "success",
}


def call(office: Office, method: str, path: str, body: Any = None) -> Any:
    given = {} if body is None else {"json": body}
    return office.call(method, BATCH + path, office.key("testing"), **given)


def suite_of(office: Office, prompts: int = 50) -> str:
    body = {"name": f"suite-{prompts}", "prompts": PROMPTS[:prompts]}
    made = office.call("POST", "/api/v1/test-suites", office.key("testing"), json=body)
    return str(made.json()["id"])


def run(office: Office, **config: Any) -> Any:
    return call(office, "POST", "/run", {"config": {"model_id": "org/m"} | config})


def started(office: Office, **config: Any) -> str:
    answer = run(office, **config)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["test_run_id"])


def config_of(office: Office, prefect: StandIn, test: str) -> dict[str, Any]:
    config: dict[str, Any] = prefect.run_of(test)[0]["parameters"]["config"]
    return config


@pytest.mark.parametrize(("size", "total"), [(50, 25), (10, 10)])
def test_a_run_answers_its_id_and_its_prompts(yard: Office, prefect: StandIn, size: int, total: int) -> None:
    answer = run(yard, test_suite_id=suite_of(yard, size), test_run_name="nightly")
    assert answer.status_code == 200, answer.text
    body = answer.json()
    assert body == {
        "success": True,
        "test_run_id": body["test_run_id"],
        "test_id": body["test_run_id"],
        "status": "pending",
        "total_prompts": total,
        "results": {"total_prompts": total, "successful": 0, "failed": 0},
    }
    config = config_of(yard, prefect, body["test_run_id"])
    assert (config["prompt_limit"], config["concurrency"], config["delay_ms"]) == (25, 3, 1000)
    assert (config["model"], config["name"]) == ("org/m", "nightly")
    canonical = yard.call("GET", f"/api/v1/batch-tests/{body['test_run_id']}", yard.key("testing")).json()
    assert (canonical["name"], canonical["total_prompts"]) == ("nightly", total)


def test_what_is_said_is_what_is_run(yard: Office, prefect: StandIn) -> None:
    suite = suite_of(yard)
    test = started(yard, test_suite_id=suite, prompt_limit=5, concurrency=7, delay_ms=0, benchmark_id="b-1")
    config = config_of(yard, prefect, test)
    assert [config[name] for name in ("suite", "prompt_limit", "concurrency", "delay_ms")] == [suite, 5, 7, 0]
    config = config_of(yard, prefect, started(yard, test_suite_id=suite, delay_ms=None, source_path=None))
    assert config["delay_ms"] == 1000


@pytest.mark.parametrize(
    ("config", "status", "said"),
    [
        (None, 400, "config"),
        ("x", 400, "config"),
        ({}, 400, "config.test_suite_id"),
        ({"model_id": "org/m"}, 400, "config.test_suite_id"),
        ({"test_suite_id": "s"}, 400, "config.model_id"),
        ({"model_id": "org/m", "test_suite_id": "gone"}, 404, "Test suite not found"),
        ({"model_id": "org/m", "dataset_id": "gone"}, 404, "Dataset not found"),
        ({"model_id": "gone", "source_path": "/s.jsonl"}, 404, "Model not found"),
        ({"model_id": "org/m", "source_path": "/s.jsonl", "prompt_limit": 0}, 422, "prompt_limit"),
    ],
)
def test_what_is_missing_is_named(
    yard: Office, prefect: StandIn, config: Any, status: int, said: str
) -> None:
    answer = call(yard, "POST", "/run", {"config": config})
    assert (answer.status_code, said in answer.json()["error"]) == (status, True), answer.text
    assert call(yard, "POST", "/run").status_code == 400
    assert not prefect.runs


def test_models_and_prompts_are_named_in_the_platform_s_ways(yard: Office, prefect: StandIn) -> None:
    new = {"name": "m", "uri": "/m", "size_bytes": 1}
    artifact = yard.call("POST", "/api/v1/artifacts", yard.key("worker"), json=new).json()["id"]
    rows = {"name": "rows", "uri": "/d/rows.jsonl", "sha256": "a" * 64, "rows": 4}
    recorded = yard.call("POST", "/api/v1/datasets", yard.key("training"), json=rows).json()["id"]
    content = b'{"prompt": "a", "expected": "b"}\n'
    uploaded = yard.call(
        "POST",
        "/api/v1/datasets/$upload?name=u&file_name=u.jsonl",
        yard.key("training"),
        content=content,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert uploaded.status_code == 201, uploaded.text
    asked = {
        recorded: (artifact, f"artifact:{artifact}", "/d/rows.jsonl"),
        uploaded.json()["id"]: ("org/m", "org/m", f"dataset:{uploaded.json()['id']}"),
    }
    for dataset, (model_id, model, suite) in asked.items():
        answer = run(yard, model_id=model_id, dataset_id=dataset).json()
        config = config_of(yard, prefect, answer["test_run_id"])
        assert (config["model"], config["suite"], answer["total_prompts"]) == (model, suite, None)
    by_path = config_of(yard, prefect, started(yard, source_path="/d/suite.jsonl"))
    assert by_path["suite"] == "/d/suite.jsonl"


def test_a_judge_is_for_people(yard: Office, prefect: StandIn) -> None:
    config = {
        "model_id": "org/m",
        "source_path": "/s.jsonl",
        "judge_config": {"enabled": True, "model": "lab/gpt-x", "criteria": ["Is it polite?"]},
    }
    refused = call(yard, "POST", "/run", {"config": config})
    assert (refused.status_code, "session auth" in refused.json()["error"]) == (400, True)
    off = config | {"judge_config": {"enabled": False, "model": "lab/gpt-x"}}
    assert call(yard, "POST", "/run", {"config": off}).status_code == 200
    token = person(yard).token
    by_person = yard.call("POST", f"{BATCH}/run", token, json={"config": config})
    assert by_person.status_code == 200, by_person.text
    judge = config_of(yard, prefect, by_person.json()["test_run_id"])["scorers"][-1]
    assert (judge["kind"], judge["endpoint"], judge["rubric"]) == ("judge", "lab/gpt-x", "Is it polite?")


def test_without_prefect_no_test_stays_open(office: Office) -> None:
    answer = run(office, source_path="/s.jsonl")
    assert (answer.status_code, "PREFECT_API_URL" in answer.json()["error"]) == (503, True)


def test_a_status_shows_each_result_beside_its_own_prompt(any_office: Office) -> None:
    test, token = claimed(any_office)
    sent = [
        {"prompt_index": 0, "prompt": "p0", "error": "too long"},
        {"prompt_index": 2, "prompt": "p2", "response": "r2", "passed": False, "latency_ms": 1.5},
        {"prompt_index": 1, "prompt": "p1", "response": "r1", "input_tokens": 3, "output_tokens": 4},
    ]
    facts = {"total_steps": 7}
    assert any_office.call("PATCH", f"/api/v1/jobs/{test}", token, json=facts).status_code == 200
    path = f"/api/v1/batch-tests/{test}/predictions"
    assert any_office.call("POST", path, token, json={"predictions": sent}).status_code == 200
    status = call(any_office, "GET", f"/status/{test}").json()
    assert status.keys() == STATUS_FIELDS
    counts = [status[name] for name in ("total_prompts", "completed_prompts", "failed_prompts")]
    assert (counts, status["progress"], status["status"]) == ([7, 2, 1], 0.43, "running")
    assert all(result.keys() >= RESULT_FIELDS for result in status["results"])
    shown = [
        (one["prompt_index"], one["prompt"], one["response"], one["success"]) for one in status["results"]
    ]
    assert shown == [(0, "p0", None, False), (1, "p1", "r1", True), (2, "p2", "r2", True)]
    assert status["started_at"]
    assert any_office.end(test, token, "failed", error="no memory").status_code == 200
    status = call(any_office, "GET", f"/status/{test}").json()
    assert (status["status"], status["error"], bool(status["completed_at"])) == ("failed", "no memory", True)
    gone = call(any_office, "GET", "/status/gone")
    assert (gone.status_code, gone.json()["error"]) == (404, "Test run not found")


def claimed(office: Office) -> tuple[str, str]:
    new = {"suite": "s.jsonl", "model": "m"}
    test = office.call("POST", "/api/v1/batch-tests", office.key("testing"), json=new).json()["id"]
    return test, office.claim(test)


def test_a_cancelled_run_ends_as_cancelled(any_office: Office) -> None:
    test, token = claimed(any_office)
    done = call(any_office, "POST", "/cancel", {"test_run_id": test})
    assert (done.status_code, done.json()["success"], done.json()["status"]) == (200, True, "running")
    assert call(any_office, "POST", "/cancel", {"test_run_id": test}).status_code == 200
    any_office.end(test, token, "completed")
    assert call(any_office, "GET", f"/status/{test}").json()["status"] == "cancelled"
    again = call(any_office, "POST", "/cancel", {"test_run_id": test})
    assert (again.status_code, again.json()["error"]) == (400, "Cannot cancel test with status: cancelled")
    ended, token = claimed(any_office)
    any_office.end(ended, token)
    late = call(any_office, "POST", "/cancel", {"test_run_id": ended})
    assert late.json()["error"] == "Cannot cancel test with status: completed"
    missing = call(any_office, "POST", "/cancel", {})
    assert (missing.status_code, missing.json()["error"]) == (400, "Missing test_run_id")
    assert call(any_office, "POST", "/cancel", {"test_run_id": "gone"}).status_code == 404


def test_runs_are_archived_restored_and_deleted_together_or_not_at_all(any_office: Office) -> None:
    ids = [claimed(any_office)[0] for _ in range(2)]

    def put(method: str, *runs: str) -> Any:
        return call(any_office, method, "/archive", {"testRunIds": list(runs)})

    def listed(archived: str) -> int:
        path = f"/api/v1/batch-tests?archived={archived}"
        return int(any_office.call("GET", path, any_office.key("testing")).json()["total"])

    assert put("POST", *ids, ids[0]).json() == {"success": True, "archivedCount": 2, "archivedIds": ids}
    assert (listed("true"), listed("false")) == (2, 0)
    assert put("PATCH", *ids).json()["restoredCount"] == 2
    assert put("POST", ids[0], "gone").status_code == 404
    assert listed("true") == 0
    assert put("DELETE", *ids).status_code == 409
    any_office.end(ids[0], any_office.key("worker"), "failed")
    assert put("DELETE", *ids).status_code == 409
    assert listed("false") == 2
    any_office.end(ids[1], any_office.key("worker"), "cancelled")
    assert put("DELETE", *ids).json() == {"success": True, "deletedCount": 2, "deletedIds": ids}
    assert listed("false") == 0
    for method in ("POST", "PATCH", "DELETE"):
        assert put(method).status_code == call(any_office, method, "/archive", {}).status_code == 400


def test_a_key_without_the_scope_is_told_which(office: Office) -> None:
    for method, path in (("POST", "/run"), ("POST", "/cancel"), ("DELETE", "/archive"), ("GET", "/status/x")):
        refused = office.call(method, BATCH + path, office.key("training"), json={})
        text = "API key does not have 'testing' scope. Key scopes: training"
        assert (refused.status_code, refused.json()["error"]) == (403, text)
