"""A job that is deleted is gone for every reader at once; its run still hears that it is to stop, and ends it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlmodel import select

from api import tables
from tests.api_fixtures import RUN, Office
from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.cli_fixtures import terminal as terminal
from tests.test_api_metrics import push
from tuneyard.exit_codes import INTERRUPTED

JOBS = "/api/v1/jobs"


def delete(office: Office, job_id: str) -> int:
    return office.call("DELETE", f"{JOBS}/{job_id}", office.key("training")).status_code


def rows_of(office: Office) -> int:
    """How many rows of jobs, and of what hangs on them, the workspace has."""
    count = 0
    with office.served.database.reading() as session:
        for name in ("Job", "JobEvent", "JobLog", "Metric", "MetricBucket", "Prediction", "TestRun"):
            table: Any = getattr(tables, name)
            count += len(session.exec(select(table).where(table.workspace_id == office.workspace_id)).all())
    return count


@pytest.mark.parametrize("status", ["pending", "paused", "completed", "failed", "cancelled"])
def test_a_job_that_nobody_works_on_is_gone_with_all_its_rows(any_office: Office, status: str) -> None:
    job_id, token = any_office.claimed_job() if status != "pending" else (any_office.new_job(), "")
    if token:
        push(any_office, job_id, token, {"step": 1, "train_loss": 0.5})
        any_office.end(job_id, token, status)
    assert rows_of(any_office) > 0
    assert delete(any_office, job_id) == 204
    assert rows_of(any_office) == 0
    assert delete(any_office, job_id) == 404


def test_a_live_job_is_hidden_at_once_and_its_run_hears_that_it_is_to_stop(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    push(any_office, job_id, token, {"step": 1, "train_loss": 0.5})
    worker = any_office.key("worker")
    assert delete(any_office, job_id) == 204
    for path in ("", "/events", "/logs", "/errors", "/metrics", "/gpu", "/$stream", "/predictions"):
        assert any_office.call("GET", f"{JOBS}/{job_id}{path}", worker).status_code == 404, path
    assert any_office.call("GET", JOBS, worker).json()["total"] == 0
    for act in ("cancel", "pause", "resume", "claim"):
        body = RUN if act == "claim" else None
        assert any_office.call("POST", f"{JOBS}/{job_id}/{act}", worker, json=body).status_code == 404
    beat = any_office.call("POST", f"{JOBS}/{job_id}/heartbeat", token, json={})
    assert beat.json()["job_status"] == "cancelling"
    told = push(any_office, job_id, token, {"step": 2, "train_loss": 0.5})
    assert told["job_status"] == "cancelling"
    ended = any_office.end(job_id, token, "failed", error="was stopped")
    assert (ended.status_code, ended.json()["status"]) == (200, "cancelled")
    assert rows_of(any_office) == 0
    assert any_office.end(job_id, token).status_code == 401


def test_the_run_of_a_deleted_test_hears_of_it_with_its_answers(any_office: Office) -> None:
    worker = any_office.key("worker")
    test = any_office.call("POST", "/api/v1/batch-tests", worker, json={"suite": "s", "model": "m"}).json()
    token = any_office.claim(test["id"])
    assert delete(any_office, test["id"]) == 204
    path = f"/api/v1/batch-tests/{test['id']}"
    assert any_office.call("GET", path, worker).status_code == 404
    assert any_office.call("GET", "/api/v1/batch-tests", worker).json()["total"] == 0
    answers = {"predictions": [{"prompt_index": 0, "prompt": "a", "response": "b"}]}
    said = any_office.call("POST", f"{path}/predictions", token, json=answers)
    assert (said.status_code, said.json()["job_status"]) == (200, "cancelling")
    any_office.end(test["id"], token, "cancelled")
    assert rows_of(any_office) == 0


@pytest.mark.parametrize("named", [True, False], ids=["named", "silent"])
def test_what_a_dead_run_left_of_a_deleted_job_is_taken_away(any_office: Office, named: bool) -> None:
    job_id, _ = any_office.claimed_job()
    assert delete(any_office, job_id) == 204
    asked: dict[str, Any] = {
        "runs": [{"job_id": job_id, "attempt": 1, "reason": "dead"}],
        "silent_seconds": None,
    }
    if not named:
        long_ago = tables.now().replace(year=2020)
        any_office.moved(job_id, claimed_at=long_ago, heartbeat_at=long_ago, last_report_at=None)
        asked = {"silent_seconds": 60}
    closed = any_office.call("POST", f"{JOBS}/$close-lost", any_office.key("worker"), json=asked)
    assert [job["status"] for job in closed.json()] == ["cancelled"], closed.text
    assert rows_of(any_office) == 0


def test_the_trail_keeps_what_a_deleted_job_was(office: Office) -> None:
    job_id, _ = office.claimed_job(name="nightly")
    assert delete(office, job_id) == 204
    trail = office.call("GET", f"/api/v1/events?object_id={job_id}", office.key("admin")).json()["items"]
    [event] = [one for one in trail if one["action"] == "job.deleted"]
    assert event["details"] == {"name": "nightly", "kind": "finetune", "gpu_hours": 0.0, "energy_wh": None}


def test_counters_do_not_go_back_when_jobs_are_deleted(office: Office) -> None:
    job_id = office.new_job()
    key = office.key("monitoring")

    def count() -> str:
        lines = office.call("GET", "/metrics", key).text.splitlines()
        return next(line for line in lines if line.startswith("ml_train_jobs_total"))

    before = count()
    assert delete(office, job_id) == 204
    assert count() == before


def test_the_commands_ask_before_they_delete(terminal: Terminal) -> None:
    office = terminal.office
    terminal.use(office.key("all"))
    job_ids = [office.new_job(), office.new_job()]
    new = {"name": "n", "uri": "/x", "size_bytes": 1}
    model = office.call("POST", "/api/v1/artifacts", office.key("worker"), json=new).json()["id"]
    for group, ids in (("jobs", job_ids), ("models", [model])):
        no = terminal(group, "delete", *ids, stdin="n\n")
        assert (no.code, no.out) == (INTERRUPTED, "")
        assert all(terminal(group, "show", one).code == 0 for one in ids)
        yes = terminal.well(group, "delete", *ids, stdin="y\n")
        assert yes.out == "".join(f"{one}  deleted\n" for one in ids)
        assert terminal(group, "delete", ids[0], "--yes").code not in (0, INTERRUPTED)
