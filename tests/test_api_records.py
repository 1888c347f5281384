"""Data sets, artifacts, suites, batch tests and GPU readings: each recorded once and read back as it was."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from tests.api_fixtures import Office

SUITE = {"name": "dates", "prompts": [{"prompt": f"p{n}", "expected": f"e{n}"} for n in range(4)]}


def test_a_dataset_is_recorded_once(any_office: Office) -> None:
    new = {"name": "rows", "uri": "x" * 2048, "sha256": "a" * 64, "rows": 400}
    _, token = any_office.claimed_job()
    first = any_office.call("POST", "/api/v1/datasets", any_office.key("training"), json=new)
    again = any_office.call("POST", "/api/v1/datasets", token, json=new)
    other = any_office.call("POST", "/api/v1/datasets", token, json=new | {"sha256": "b" * 64})
    assert (first.status_code, again.status_code, other.status_code) == (201, 200, 201)
    assert first.json() == again.json()
    key = any_office.key("training")
    assert any_office.call("GET", f"/api/v1/datasets/{first.json()['id']}", key).json() == first.json()
    listed = any_office.call("GET", "/api/v1/datasets", key).json()
    assert [item["sha256"][0] for item in listed["items"]] == ["b", "a"]


def test_an_artifact_knows_the_job_that_made_it(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    new = {"name": "model", "uri": "/m", "size_bytes": 5, "base_model": "org/base", "details": {"steps": 3}}
    made = any_office.call("POST", "/api/v1/artifacts", token, json=new)
    again = any_office.call("POST", "/api/v1/artifacts", token, json=new)
    assert (made.status_code, again.status_code, made.json()["job_id"]) == (201, 200, job_id)
    child = any_office.call(
        "POST", "/api/v1/artifacts", any_office.key("worker"), json=new | {"parent_id": made.json()["id"]}
    )
    assert (child.status_code, child.json()["job_id"]) == (201, None)
    key = any_office.key("production")
    assert any_office.call("GET", f"/api/v1/artifacts/{made.json()['id']}", key).json() == made.json()
    orphan = any_office.call("POST", "/api/v1/artifacts", token, json=new | {"parent_id": "gone"})
    assert orphan.status_code == 404
    assert (
        any_office.call("POST", "/api/v1/artifacts", any_office.key("training"), json=new).status_code == 403
    )


def test_a_suite_is_recorded_once_and_listed_without_its_prompts(any_office: Office) -> None:
    key = any_office.key("testing")
    first = any_office.call("POST", "/api/v1/test-suites", key, json=SUITE)
    again = any_office.call("POST", "/api/v1/test-suites", key, json=SUITE)
    renamed = any_office.call("POST", "/api/v1/test-suites", key, json=SUITE | {"name": "other"})
    assert (first.status_code, again.status_code, renamed.status_code) == (201, 200, 201)
    assert first.json() == again.json()
    found = any_office.call("GET", f"/api/v1/test-suites/{first.json()['id']}", key).json()
    assert [prompt["expected"] for prompt in found["prompts"]] == ["e0", "e1", "e2", "e3"]
    listed = any_office.call("GET", "/api/v1/test-suites", key).json()["items"]
    assert [(suite["prompts"], suite["prompt_count"]) for suite in listed] == [(None, 4), (None, 4)]


def answer(index: int, **more: Any) -> dict[str, Any]:
    return {"prompt_index": index, "prompt": f"p{index}", "expected": f"e{index}"} | more


def test_a_batch_test_counts_its_answers_whatever_is_sent_twice(any_office: Office) -> None:
    key = any_office.key("worker")
    suite = any_office.call("POST", "/api/v1/test-suites", key, json=SUITE).json()["id"]
    new = {"suite": "dates.jsonl", "model": "m", "flow_run_id": "f"}
    made = any_office.call("POST", "/api/v1/batch-tests", key, json=new)
    again = any_office.call("POST", "/api/v1/batch-tests", key, json=new)
    assert (made.status_code, again.status_code, made.json()) == (201, 200, again.json())
    run_id = made.json()["id"]
    token = any_office.claim(run_id)
    facts = {"suite_id": suite, "total_steps": 4, "current_step": 3}
    assert any_office.call("PATCH", f"/api/v1/jobs/{run_id}", token, json=facts).status_code == 200

    def send(*answers: dict[str, Any]) -> Any:
        path = f"/api/v1/batch-tests/{run_id}/predictions"
        sent = any_office.call("POST", path, token, json={"predictions": answers})
        return sent.json() if sent.status_code == 200 else sent.status_code

    right = answer(0, response="e0", score=1.0, passed=True, latency_ms=2.5, output_tokens=3)
    assert send(right)["job_status"] == "running"
    send(right, answer(1, response="x", score=0.0, passed=False))
    send(answer(3, error="out of memory"))
    test = any_office.call("GET", f"/api/v1/batch-tests/{run_id}", any_office.key("testing")).json()
    counts = [test[f"{name}_prompts"] for name in ("total", "completed", "failed", "passed")]
    assert (counts, test["score"], test["suite_id"]) == ([4, 2, 1, 1], 0.333333, suite)
    assert any_office.job(run_id)["progress"] == 75.0
    send(answer(3, response="e3", score=1.0, passed=True))
    test = any_office.call("GET", f"/api/v1/batch-tests/{run_id}", any_office.key("testing")).json()
    assert (test["completed_prompts"], test["failed_prompts"], test["passed_prompts"]) == (3, 0, 2)
    rows = any_office.call(
        "GET", f"/api/v1/batch-tests/{run_id}/predictions?limit=2", any_office.key("testing")
    )
    assert ([row["prompt_index"] for row in rows.json()["items"]], rows.json()["total"]) == ([0, 1], 3)
    assert send(answer(4)) == 422
    assert any_office.end(run_id, token).json()["progress"] == 100.0
    old = any_office.call("GET", f"/api/batch-testing/status/{run_id}", any_office.key("testing")).json()
    assert (old["progress"], old["completed_prompts"], len(old["results"])) == (0.75, 3, 3)
    assert old["results"][0]["success"] is True
    listed = any_office.call("GET", "/api/v1/batch-tests", key).json()
    assert [item["id"] for item in listed["items"]] == [run_id]


def test_a_finetune_is_no_batch_test(office: Office) -> None:
    job_id, token = office.claimed_job()
    assert office.call("GET", f"/api/v1/batch-tests/{job_id}", office.key("testing")).status_code == 404
    body = {"predictions": [answer(0)]}
    assert (
        office.call("POST", f"/api/v1/batch-tests/{job_id}/predictions", token, json=body).status_code == 404
    )
    assert office.call("PATCH", f"/api/v1/jobs/{job_id}", token, json={"suite_id": "s"}).status_code == 422


def test_a_batch_test_of_an_unknown_suite_is_refused(office: Office) -> None:
    new = {"suite": "s", "suite_id": "gone", "model": "m"}
    assert office.call("POST", "/api/v1/batch-tests", office.key("testing"), json=new).status_code == 404


def test_the_newest_reading_of_each_host_is_shown(any_office: Office) -> None:
    moment = datetime.now(UTC).replace(microsecond=0) - timedelta(minutes=5)
    card = {"uuid": "GPU-1", "index": 0, "memory_used_gb": 1.5, "processes": [{"pid": 4}, {"pid": 5}]}

    def sample(host: str, minutes: int, **more: Any) -> dict[str, Any]:
        return {"host": host, "taken_at": (moment + timedelta(minutes=minutes)).isoformat()} | more

    key = any_office.key("worker")
    samples = [
        sample("b", 2, gpus=[card]),
        sample("a", 1, no_gpu="no driver"),
        sample("b", 1),
        sample("a", 1),
    ]
    for _ in range(2):
        sent = any_office.call("POST", "/api/v1/gpus/samples", key, json={"samples": samples})
        assert (sent.status_code, sent.json()) == (201, {"count": 4})
    newest = any_office.call("GET", "/api/v1/gpus", any_office.key("training")).json()
    assert [(one["host"], one["no_gpu"]) for one in newest] == [("a", "no driver"), ("b", None)]
    [shown] = newest[1]["gpus"]
    assert ([one["pid"] for one in shown["processes"]], shown["memory_used_gb"]) == ([4, 5], 1.5)
    assert datetime.fromisoformat(newest[1]["taken_at"]) == moment + timedelta(minutes=2)
