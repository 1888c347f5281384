"""Jobs: recorded once, claimed by one run at a time, cancelled, ended, listed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.api_fixtures import RUN, Office

JOBS = "/api/v1/jobs"


def test_a_job_is_recorded_and_read_back(any_office: Office) -> None:
    new = {"model": "org/base", "dataset": "d.jsonl", "config": {"lr": 1e-4, "deep": {"é": [1, None]}}}
    job = any_office.job(any_office.new_job(**new, total_steps=50))
    assert {name: job[name] for name in new} == new
    assert (job["status"], job["name"], job["progress"], job["attempt"]) == ("pending", "org/base", 0.0, 0)
    assert job["created_at"].endswith("Z")
    assert not any("token" in name and "second" not in name for name in job)


def test_the_same_flow_run_records_one_job_also_when_asked_at_once(any_office: Office) -> None:
    key = any_office.key("worker")

    def create(number: int) -> tuple[int, str]:
        new = {"model": "m", "flow_run_id": "run-1"}
        answer = any_office.call("POST", JOBS, key, json=new)
        return answer.status_code, answer.json()["id"]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(create, range(16)))
    assert sorted(status for status, _ in answers) == [200] * 15 + [201]
    assert len({job_id for _, job_id in answers}) == 1


def test_a_flow_run_records_one_kind_of_job(office: Office) -> None:
    office.new_job(flow_run_id="run-2")
    test = {"suite": "s", "model": "m", "flow_run_id": "run-2"}
    assert office.call("POST", "/api/v1/batch-tests", office.key("worker"), json=test).status_code == 409


def test_a_taken_id_is_a_conflict_in_its_own_workspace_alone(any_office: Office) -> None:
    other = Office(any_office.served)
    assert any_office.new_job(id="mine") == "mine"
    assert other.new_job(id="mine") == "mine"
    again = any_office.call("POST", JOBS, any_office.key("worker"), json={"id": "mine", "model": "m"})
    assert again.status_code == 409
    assert "mine" in again.json()["detail"]
    other.http.close()


def test_claims_at_once_give_distinct_attempts_and_one_live_token(any_office: Office) -> None:
    job_id, key = any_office.new_job(), any_office.key("worker")

    def claim(number: int) -> dict[str, Any]:
        answer: dict[str, Any] = any_office.call("POST", f"{JOBS}/{job_id}/claim", key, json=RUN).json()
        return answer

    with ThreadPoolExecutor(8) as pool:
        claims = list(pool.map(claim, range(16)))
    assert sorted(claim["attempt"] for claim in claims) == list(range(1, 17))
    alive = [
        claim["attempt"]
        for claim in claims
        if any_office.call("PATCH", f"{JOBS}/{job_id}", claim["job_token"], json={}).status_code == 200
    ]
    assert alive == [16]


def test_a_claim_says_who_and_starts_from_nothing(office: Office) -> None:
    job_id, token = office.claimed_job(total_steps=10)
    office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 8, "train_loss": 0.5})
    running = office.job(job_id)
    assert (running["status"], running["progress"], running["host"], running["pid"]) == (
        "running",
        80.0,
        "gpu-1",
        7,
    )
    office.claim(job_id)
    again = office.job(job_id)
    assert (again["status"], again["attempt"], again["current_step"], again["loss"]) == (
        "queued",
        2,
        None,
        None,
    )
    assert again["started_at"] == running["started_at"]


def test_a_pending_job_is_cancelled_at_once(any_office: Office) -> None:
    job_id, key = any_office.new_job(), any_office.key("training")
    answer = any_office.call("POST", f"{JOBS}/{job_id}/cancel", key)
    assert answer.json()["status"] == "cancelled"
    assert answer.json()["ended_at"]
    assert any_office.call("POST", f"{JOBS}/{job_id}/cancel", key).status_code == 409
    claim = any_office.call("POST", f"{JOBS}/{job_id}/claim", any_office.key("worker"), json=RUN)
    assert (claim.status_code, "job_token" in claim.text) == (409, False)


def test_a_running_job_is_told_to_stop_and_ends_cancelled(any_office: Office) -> None:
    job_id, token = any_office.claimed_job(total_steps=100)
    any_office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 11})
    for _ in range(2):
        answer = any_office.call("POST", f"{JOBS}/{job_id}/cancel", any_office.key("training"))
        assert (answer.status_code, answer.json()["status"]) == (200, "cancelling")
    told = any_office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 12})
    assert told.json() == {"success": True, "count": 1, "job_status": "cancelling"}
    worker = any_office.key("worker")
    assert any_office.call("POST", f"{JOBS}/{job_id}/claim", worker, json=RUN).status_code == 409
    for _ in range(2):  # its answer may be lost, and it is asked again
        end = any_office.end(job_id, token, "completed")
        assert (end.status_code, end.json()["status"], end.json()["progress"]) == (200, "cancelled", 12.0)
    assert any_office.end(job_id, token, "failed").status_code == 409


def test_a_job_cancelled_before_it_ran_cannot_be_completed(office: Office) -> None:
    job_id = office.new_job()
    office.call("POST", f"{JOBS}/{job_id}/cancel", office.key("worker"))
    assert office.end(job_id, office.key("worker"), "completed").status_code == 409
    assert office.end(job_id, office.key("worker"), "cancelled").status_code == 200


def test_an_end_holds_and_the_same_again_changes_nothing(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    first = any_office.end(job_id, token, "failed", error="out of memory", result={"steps": 3})
    again = any_office.end(job_id, any_office.key("worker"), "failed", error="another story")
    assert first.status_code == again.status_code == 200
    assert first.json() == again.json()
    assert (again.json()["error"], again.json()["result"]) == ("out of memory", {"steps": 3})
    assert any_office.end(job_id, token, "completed").status_code == 409


def test_a_job_is_ended_by_its_token_or_a_key_that_may_claim(office: Office) -> None:
    assert office.end(office.new_job(), office.key("worker"), "failed").status_code == 200
    assert office.end(office.new_job(), office.key("training"), "failed").status_code == 403
    assert office.end("gone", office.key("worker"), "failed").status_code == 404


def test_a_completed_job_is_at_100_wherever_its_steps_ended(office: Office) -> None:
    job_id, token = office.claimed_job(total_steps=3784)
    office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 590})
    assert office.job(job_id)["progress"] == 15.59
    assert office.end(job_id, token).json()["progress"] == 100.0


def test_facts_change_what_they_name_alone(office: Office) -> None:
    job_id, token = office.claimed_job(total_steps=10)
    facts = {"stage": "Loading", "device": "cpu", "current_step": 5, "total_epochs": 2}
    assert office.call("PATCH", f"{JOBS}/{job_id}", token, json=facts).status_code == 200
    office.call("PATCH", f"{JOBS}/{job_id}", token, json={"current_step": 3})
    job = office.job(job_id)
    assert (job["stage"], job["device"], job["current_step"], job["total_steps"]) == ("Loading", "cpu", 5, 10)
    assert job["status"] == "queued"


def test_a_list_is_newest_first_filtered_and_paged(any_office: Office) -> None:
    ids = [any_office.new_job() for _ in range(5)]
    any_office.call("POST", f"{JOBS}/{ids[1]}/cancel", any_office.key("worker"))
    any_office.call(
        "POST", "/api/v1/batch-tests", any_office.key("worker"), json={"suite": "s", "model": "m"}
    )
    key = any_office.key("training")

    def listed(**filters: Any) -> list[str]:
        found = any_office.call("GET", JOBS, key, params=filters).json()
        return [job["id"] for job in found["items"]]

    assert listed(kind="finetune") == ids[::-1]
    assert listed(status="canceled") == listed(status="cancelled") == [ids[1]]
    assert listed(kind="finetune", limit=2, offset=1) == [ids[3], ids[2]]
    assert listed(flow_run_id="none") == []
    assert any_office.call("GET", JOBS, key, params={"limit": 1}).json()["total"] == 6
    assert listed(offset=2**53) == []


@pytest.mark.parametrize(
    "query",
    ["limit=0", "limit=1001", "limit=abc", "offset=-1", "offset=1e99", f"offset={2**70}", "status=dead"],
)
def test_junk_in_a_query_is_a_422_that_names_it(office: Office, query: str) -> None:
    answer = office.call("GET", f"{JOBS}?{query}", office.key("training"))
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == query.split("=")[0]
