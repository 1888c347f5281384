"""A cancel, whoever was told first, ends the work, its processes and both states."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack import Stack
from tests.deployed import ended, job_of, prefect, start, trainers, until
from tests.disturbed import reaches, states_of_runs, train, trainer_of
from tuneyard.errors import NotFound
from tuneyard.shapes import Job, NewJob


@pytest.fixture
def endless(tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    """A fine-tune that would go on for hours."""
    rows = tmp_path / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"prompt": f"Say {n}", "completion": str(n)}) + "\n" for n in range(50))
    )
    return {
        "model": str(tiny_model),
        "dataset": str(rows),
        "epochs": 1000,
        "batch_size": 1,
        "report_every": 5,
    }


def _running(stack: Stack, run_id: str) -> Job:
    with stack.client() as client:
        job: Job = until(
            lambda: next(
                (j for j in client.jobs.list(flow_run_id=run_id).items if j.status == "running"), None
            )
        )
    assert trainers(job)
    return job


def test_a_job_cancelled_through_the_api_stops_and_is_cancelled_in_both_places(
    stack: Stack, endless: dict[str, Any]
) -> None:
    run_id = start(stack, "finetune/gpu", {"config": endless})
    job = _running(stack, run_id)
    with stack.client() as client:
        assert client.jobs.cancel(job.id).status == "cancelling"
    assert ended(stack, run_id)["state_type"] == "CANCELLED"
    assert job_of(stack, run_id).status == "cancelled"
    assert not trainers(job)


@pytest.mark.slow
def test_the_runs_of_deleted_jobs_stop_and_leave_nothing(stack: Stack, endless: dict[str, Any]) -> None:
    """Of one that is at work, and of one that was deleted before its run began."""
    late = start(stack, "finetune/gpu", {"config": endless, "job_id": "deleted-before"})
    run_id = start(stack, "finetune/gpu", {"config": endless})
    job = _running(stack, run_id)
    with stack.client() as client:
        client.jobs.delete(job.id)
        with pytest.raises(NotFound):
            client.jobs.get(job.id)
        assert [ended(stack, one)["state_type"] for one in (run_id, late)] == ["CANCELLED"] * 2
        assert not trainers(job)
        again = client.jobs.create(NewJob(id=job.id, model="another"))  # its row, and with it its id, is free
        assert (again.attempt, client.jobs.events(job.id).total) == (0, 0)
        client.jobs.delete(job.id)


def test_a_run_cancelled_in_prefect_stops_and_is_cancelled_in_both_places(
    stack: Stack, endless: dict[str, Any]
) -> None:
    run_id = start(stack, "finetune/gpu", {"config": endless})
    job = _running(stack, run_id)
    assert prefect(stack, "flow-run", "cancel", run_id).returncode == 0
    assert ended(stack, run_id)["state_type"] == "CANCELLED"
    until(lambda: job_of(stack, run_id).status.is_final)
    assert job_of(stack, run_id).status == "cancelled"
    assert not trainers(job)


@pytest.mark.timeout(400)
def test_a_trainer_that_does_not_listen_is_gone_within_45_seconds_of_the_cancel(
    stack: Stack, endless: dict[str, Any]
) -> None:
    job = reaches(stack, train(stack, endless), 5)
    trainer_of(job).suspend()  # no signal but SIGKILL reaches it now
    with stack.client() as client:
        client.jobs.cancel(job.id)
        asked = time.monotonic()
        until(lambda: client.jobs.get(job.id).status == "cancelled" and not trainers(job), 45)
    assert time.monotonic() - asked < 45
    assert states_of_runs(stack, job) == [("CANCELLED", "Cancelled")]
