"""A job's life in the record: heartbeats, pauses, silence, the places of those that wait."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from api.tables import now
from tests.api_fixtures import RUN, Office
from tests.people_fixtures import events as audit

JOBS = "/api/v1/jobs"
LOST = f"{JOBS}/$close-lost"
LONG_AGO = timedelta(seconds=70)


def beat(office: Office, job_id: str, token: str, **said: Any) -> Any:
    return office.call("POST", f"{JOBS}/{job_id}/heartbeat", token, json=said)


def ask(office: Office, job_id: str, act: str, **body: Any) -> Any:
    return office.call("POST", f"{JOBS}/{job_id}/{act}", office.key("training"), json=body)


def close_lost(office: Office, **asked: Any) -> list[dict[str, Any]]:
    answer = office.call("POST", LOST, office.key("worker"), json=asked)
    assert answer.status_code == 200, answer.text
    closed: list[dict[str, Any]] = answer.json()
    return closed


def silent_job(office: Office, **fields: Any) -> tuple[str, str]:
    """A job whose run trained, and was last heard of 70 s ago."""
    job_id, token = office.claimed_job(**fields)
    office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 4})
    office.moved(job_id, claimed_at=now() - LONG_AGO, last_report_at=now() - LONG_AGO)
    return job_id, token


def test_a_heartbeat_says_what_the_run_does_and_hears_whether_it_is_to_go_on(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    answer = beat(any_office, job_id, token, stage="Looking for a card", wait_reason="all cards are busy")
    assert (answer.status_code, answer.json()["job_status"]) == (200, "queued")
    job = any_office.job(job_id)
    assert (job["stage"], job["wait_reason"]) == ("Looking for a card", "all cards are busy")
    assert job["heartbeat_at"] >= job["claimed_at"]
    beat(any_office, job_id, token, gpu_uuids=["GPU-1", "GPU-2"], pids=[11, 12])
    job = any_office.job(job_id)
    assert (job["wait_reason"], job["stage"]) == (None, "Looking for a card")
    assert (job["gpu_uuids"], job["pids"], job["gpu_released_at"]) == (["GPU-1", "GPU-2"], [11, 12], None)
    beat(any_office, job_id, token, gpu_uuids=[])
    released = any_office.job(job_id)
    assert released["gpu_uuids"] == ["GPU-1", "GPU-2"]
    assert released["gpu_released_at"]
    beat(any_office, job_id, token, gpu_uuids=[])
    assert any_office.job(job_id)["gpu_released_at"] == released["gpu_released_at"]
    ask(any_office, job_id, "cancel")
    assert beat(any_office, job_id, token).json()["job_status"] == "cancelling"


def test_a_run_that_was_replaced_is_refused_at_its_next_heartbeat(any_office: Office) -> None:
    job_id, old = any_office.claimed_job()
    new = any_office.claim(job_id)
    assert beat(any_office, job_id, old).status_code == 401
    assert beat(any_office, job_id, new).status_code == 200
    any_office.end(job_id, new)
    late = beat(any_office, job_id, new, stage="Still here")
    assert (late.status_code, late.json()["job_status"]) == (200, "completed")
    assert any_office.job(job_id)["stage"] is None


def test_a_job_that_waits_tells_how_many_are_before_it(any_office: Office) -> None:
    first, (second, token), third = any_office.new_job(), any_office.claimed_job(), any_office.new_job()
    other = Office(any_office.served)
    assert other.job(other.new_job())["queue_position"] == 0
    assert [any_office.job(one)["queue_position"] for one in (first, second, third)] == [0, 1, 2]
    any_office.call("PUT", f"{JOBS}/{second}/metrics", token, json={"step": 1})
    listed = any_office.call("GET", JOBS, any_office.key("training")).json()["items"]
    assert [job["queue_position"] for job in listed] == [1, None, 0]
    other.http.close()


def test_a_job_that_nobody_takes_says_so(office: Office) -> None:
    job_id = office.new_job()
    assert office.job(job_id)["wait_reason"] is None
    office.moved(job_id, run_key="k", launched_at=now() - timedelta(seconds=47), flow_run_id="run-47")
    assert office.job(job_id)["wait_reason"] == "no worker has taken it for 40 s"
    office.moved(job_id, launched_at=now() - timedelta(minutes=5), flow_run_id=None)
    office.new_job(id="other")
    office.moved("other", launched_at=now() - timedelta(hours=3))
    assert office.job(job_id)["wait_reason"] == "Prefect has had no run for it for 5 min"
    assert office.job("other")["wait_reason"] == "Prefect has had no run for it for 3 h; 1 before it"


@pytest.mark.parametrize("claimed", [False, True])
def test_a_job_that_has_not_begun_is_paused_at_once_and_taken_by_nobody(
    any_office: Office, claimed: bool
) -> None:
    job_id = any_office.claimed_job()[0] if claimed else any_office.new_job()
    for _ in range(2):
        answer = ask(any_office, job_id, "pause")
        assert (answer.status_code, answer.json()["status"]) == (200, "paused")
    claim = any_office.call("POST", f"{JOBS}/{job_id}/claim", any_office.key("worker"), json=RUN)
    assert (claim.status_code, "resume it first" in claim.text) == (409, True)
    assert [event.action for event in audit(any_office, "job.paused")] == ["job.paused"]


def test_a_run_that_trains_is_asked_to_pause_and_says_when_it_has(any_office: Office) -> None:
    job_id, token = any_office.claimed_job(total_steps=10)
    any_office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 3})
    assert ask(any_office, job_id, "pause").json()["status"] == "pausing"
    assert ask(any_office, job_id, "resume").status_code == 409
    told = any_office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 4})
    assert told.json()["job_status"] == beat(any_office, job_id, token).json()["job_status"] == "pausing"
    for _ in range(2):  # its answer may be lost, and it is asked again
        ended = any_office.end(job_id, token, "paused")
        assert (ended.status_code, ended.json()["status"], ended.json()["ended_at"]) == (200, "paused", None)
    assert ended.json()["progress"] == 40.0


def test_a_job_that_is_cancelled_while_it_pauses_ends_cancelled(office: Office) -> None:
    job_id, token = office.claimed_job()
    office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 3})
    ask(office, job_id, "pause")
    assert ask(office, job_id, "cancel").json()["status"] == "cancelling"
    assert ask(office, job_id, "pause").status_code == 409
    assert office.end(job_id, token, "paused").json()["status"] == "cancelled"


def test_a_paused_job_is_cancelled_at_once(office: Office) -> None:
    job_id = office.new_job()
    ask(office, job_id, "pause")
    cancelled = ask(office, job_id, "cancel").json()
    assert (cancelled["status"], bool(cancelled["ended_at"])) == ("cancelled", True)


def test_a_watchdog_pauses_a_job_and_leaves_the_reason(office: Office) -> None:
    job_id, token = office.claimed_job()
    office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 3})
    fault = {"kind": "diverged", "message": "the loss is NaN at step 3", "hint": "lower learning_rate"}
    office.end(job_id, token, "paused", error="the loss is NaN at step 3", errors=[fault])
    job = office.job(job_id)
    assert (job["status"], job["error"]) == ("paused", "the loss is NaN at step 3")
    [error] = office.call("GET", f"{JOBS}/{job_id}/errors", office.key("training")).json()
    assert (error["kind"], error["hint"]) == ("diverged", "lower learning_rate")


def test_without_prefect_nothing_is_resumed_and_the_answer_says_what_to_set(office: Office) -> None:
    job_id = office.new_job(config={"model": "m", "dataset": "d"})
    ask(office, job_id, "pause")
    answer = ask(office, job_id, "resume")
    assert (answer.status_code, "PREFECT_API_URL" in answer.json()["detail"]) == (503, True)
    assert office.job(job_id)["status"] == "paused"


@pytest.mark.parametrize("status", ["pending", "queued", "running", "completed"])
def test_what_has_not_stopped_or_is_done_is_not_resumed(office: Office, status: str) -> None:
    job_id = office.new_job()
    if status != "pending":
        token = office.claim(job_id)
    if status == "running":
        office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 3})
    if status == "completed":
        office.end(job_id, token)
    answer = ask(office, job_id, "resume")
    assert (
        answer.status_code,
        answer.json()["detail"].startswith(f"A {status} job cannot be resumed: "),
    ) == (409, True)


def test_a_silent_job_is_put_back_and_its_run_is_refused_from_then_on(any_office: Office) -> None:
    job_id, token = silent_job(any_office)
    [job] = close_lost(any_office)
    assert (job["id"], job["status"], job["attempt"], job["restarts"]) == (job_id, "pending", 1, 1)
    assert (job["flow_run_id"], job["error"]) == (None, None)
    assert job["run_key"]
    assert beat(any_office, job_id, token).status_code == 401
    assert any_office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 5}).status_code == 401
    assert any_office.end(job_id, token).status_code == 401
    again = any_office.call("POST", f"{JOBS}/{job_id}/claim", any_office.key("worker"), json=RUN).json()
    assert (again["attempt"], again["job"]["status"]) == (2, "queued")
    assert [event.details["status"] for event in audit(any_office, "job.lost")] == ["pending"]


def test_what_is_put_back_stays_in_the_answer_until_it_has_a_run(any_office: Office) -> None:
    job_id, _ = silent_job(any_office)
    first, second = close_lost(any_office), close_lost(any_office)
    assert [job["run_key"] for job in first] == [job["run_key"] for job in second]
    assert second[0]["restarts"] == 1
    body = {"run_key": first[0]["run_key"], "flow_run_id": "run-2"}
    key = any_office.key("worker")
    noted = any_office.call("POST", f"{JOBS}/{job_id}/launched", key, json=body)
    assert (noted.status_code, noted.json()["flow_run_id"]) == (200, "run-2")
    assert close_lost(any_office) == []
    other = any_office.call("POST", f"{JOBS}/{job_id}/launched", key, json=body | {"run_key": "another"})
    assert other.status_code == 409


@pytest.mark.parametrize("sign", ["heartbeat_at", "last_report_at", "claimed_at"])
def test_any_sign_of_life_is_enough(office: Office, sign: str) -> None:
    job_id, _ = silent_job(office)
    office.moved(job_id, **{sign: now() - timedelta(seconds=30)})
    assert close_lost(office) == []
    [lost] = close_lost(office, silent_seconds=20)
    assert lost["id"] == job_id


def test_a_job_is_started_again_as_often_as_it_may_then_it_fails_and_says_why(any_office: Office) -> None:
    job_id, _ = silent_job(any_office, max_restarts=1)
    assert close_lost(any_office)[0]["status"] == "pending"
    any_office.claim(job_id)
    any_office.moved(job_id, claimed_at=now() - LONG_AGO, last_report_at=None)
    [job] = close_lost(any_office)
    assert (job["status"], job["restarts"], bool(job["ended_at"])) == ("failed", 1, True)
    assert job["error"].startswith("lost: no sign of life for 7")
    assert "(attempt 2, host gpu-1, process 7)" in job["error"]
    assert f"tuneyard jobs resume {job_id}" in job["error"]
    errors = any_office.call("GET", f"{JOBS}/{job_id}/errors", any_office.key("training")).json()
    assert [(error["kind"], error["attempt"]) for error in errors] == [("lost", 1), ("lost", 2)]


def test_a_lost_run_that_was_to_stop_has_stopped(any_office: Office) -> None:
    cancelled, paused = silent_job(any_office)[0], silent_job(any_office)[0]
    ask(any_office, cancelled, "cancel")
    ask(any_office, paused, "pause")
    closed = {job["id"]: job["status"] for job in close_lost(any_office)}
    assert closed == {cancelled: "cancelled", paused: "paused"}


def test_two_that_close_the_lost_at_once_count_each_once(any_office: Office) -> None:
    lost = {silent_job(any_office)[0] for _ in range(6)}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: close_lost(any_office), range(4)))
    assert {job["id"] for answer in answers for job in answer} == lost
    assert [any_office.job(job_id)["restarts"] for job_id in lost] == [1] * 6


def test_another_workspace_s_silence_is_not_ours_to_close(office: Office) -> None:
    other = Office(office.served)
    job_id, _ = silent_job(other)
    assert close_lost(office) == []
    named = {"job_id": job_id, "attempt": 1, "reason": "dead"}
    assert office.call("POST", LOST, office.key("worker"), json={"runs": [named]}).status_code == 404
    assert other.job(job_id)["status"] == "running"
    other.http.close()


@pytest.mark.parametrize("claims", [False, True])
def test_a_trainer_that_sends_no_heartbeats_has_half_an_hour(office: Office, claims: bool) -> None:
    """One of the platform's own: it holds the token of a job that nobody claimed, or claimed it as an agent."""
    body, key = {"model_name": "m"}, office.key("training")
    made = office.call("POST", "/api/training/local/jobs", key, json=body).json()
    job_id = made["job_id"]
    if claims:
        agent = {"X-Agent-ID": "agent_1234"}
        made = office.call("POST", f"/api/training/agent/claim/{job_id}", key, headers=agent).json()
    office.call("PUT", f"{JOBS}/{job_id}/metrics", made["job_token"], json={"step": 3})
    for minutes in (29, 31):
        at = now() - timedelta(minutes=minutes)
        office.moved(job_id, last_report_at=at, claimed_at=at if claims else None)
        assert minutes == 31 or close_lost(office) == []
    [job] = close_lost(office)
    assert (job["id"], job["status"]) == (job_id, "failed")


def test_a_run_known_to_be_dead_is_closed_without_waiting_and_once(any_office: Office) -> None:
    job_id, _ = any_office.claimed_job()
    dead = {"job_id": job_id, "attempt": 1, "reason": "its process is gone"}
    [job] = close_lost(any_office, silent_seconds=None, runs=[dead, dead])
    assert (job["status"], job["restarts"]) == ("pending", 1)
    assert close_lost(any_office, silent_seconds=None, runs=[dead]) == []
    any_office.claim(job_id)
    assert close_lost(any_office, silent_seconds=None, runs=[dead]) == []
    assert any_office.job(job_id)["attempt"] == 2


def test_a_run_that_died_before_it_took_its_job_is_named_by_its_id(office: Office) -> None:
    job_id = office.new_job(flow_run_id="run-1")
    office.moved(job_id, run_key="k1", launched_at=now())
    dead = {"job_id": job_id, "attempt": 0, "reason": "its run crashed", "flow_run_id": "run-1"}
    assert close_lost(office, silent_seconds=None, runs=[dead | {"flow_run_id": "run-0"}]) == []
    [job] = close_lost(office, silent_seconds=None, runs=[dead])
    assert (job["status"], job["restarts"], job["flow_run_id"]) == ("pending", 1, None)
    assert job["run_key"] != "k1"
    assert close_lost(office, silent_seconds=None, runs=[dead]) == []


def test_a_run_that_hands_its_job_back_costs_no_restart(office: Office) -> None:
    job_id, token = office.claimed_job(max_restarts=0)
    back = {"job_id": job_id, "attempt": 1, "reason": "its worker was stopped", "handed_back": True}
    [job] = close_lost(office, silent_seconds=None, runs=[back])
    assert (job["status"], job["restarts"]) == ("pending", 0)
    assert beat(office, job_id, token).status_code == 401
    assert office.call("GET", f"{JOBS}/{job_id}/errors", office.key("training")).json() == []
