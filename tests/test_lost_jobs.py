"""A job and its Prefect run come to say the same, whichever was told first, and whoever of them died."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import httpx
import psutil
import pytest

from deployments.local_stack import Stack
from tests.deployed import FINAL, ended, flow_run, prefect, runs_of, start, trainers, until
from tests.disturbed import Outcome, completed, outcome, reaches, states_of_runs, train, trainer_of
from tests.test_pause import ask


def look(stack: Stack, **config: Any) -> None:
    """One look of the scheduled flow's."""
    run_id = start(stack, "close-lost-jobs/gpu", {"config": {"looks": 1, **config}})
    assert ended(stack, run_id)["state_type"] == "COMPLETED"


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_run_that_hangs_is_lost_after_its_silence_and_nothing_of_it_is_left(
    stack: Stack, short_config: dict[str, Any], unbroken: Outcome
) -> None:
    job = reaches(stack, train(stack, short_config), 60)
    hung = [psutil.Process(job.pid), *trainers(job)]
    for process in hung:
        process.suspend()
    time.sleep(16)
    look(stack, silent_seconds=15)
    assert not [process for process in hung if process.is_running()]
    again = completed(stack, job.id)
    assert (again.restarts, again.attempt) == (1, 2)
    assert outcome(stack, again) == unbroken
    assert [state for state, _ in states_of_runs(stack, again)] == ["CRASHED", "COMPLETED"]


@pytest.mark.timeout(400)
def test_a_job_that_may_not_be_started_again_fails_and_says_what_it_died_of(
    stack: Stack, short_config: dict[str, Any]
) -> None:
    job = reaches(stack, train(stack, short_config | {"max_restarts": 0}), 1)
    trainer_of(job).kill()
    with stack.client() as client:
        failed = until(lambda: (found := client.jobs.get(job.id)).status.is_final and found)
    assert failed.status == "failed"
    assert "SIGKILL" in failed.error
    assert f"tuneyard jobs resume {job.id}" in failed.error
    assert states_of_runs(stack, job) == [("FAILED", "Failed")]


@pytest.fixture
def closed_queue(stack: Stack) -> Iterator[None]:
    """No worker takes a job meanwhile."""
    queue = f"{stack.prefect_url}/work_pools/gpu/queues/jobs"

    def close(paused: bool) -> None:
        """Prefect's server on SQLite answers 503 to one of several writers: it is asked again then."""
        until(lambda: httpx.patch(queue, json={"is_paused": paused}, timeout=30).is_success, 30)

    close(True)
    yield
    close(False)


@pytest.mark.usefixtures("closed_queue")
def test_what_is_stopped_before_it_begins_is_stopped_on_both_sides(
    stack: Stack, short_config: dict[str, Any]
) -> None:
    with stack.client() as client:
        in_prefect, in_record, paused = [client.jobs.get(train(stack, short_config)) for _ in range(3)]
        runs = [runs_of(stack, job.id)[0]["id"] for job in (in_prefect, in_record, paused)]
        assert prefect(stack, "flow-run", "cancel", runs[0]).returncode == 0
        assert client.jobs.cancel(in_record.id).status == "cancelled"
        assert ask(stack, paused, "pause")["status"] == "paused"
        look(stack)
        assert client.jobs.get(in_prefect.id).status == "cancelled"
    states = [(run["state_type"], run["state_name"]) for run in (flow_run(stack, run) for run in runs)]
    assert states == [("CANCELLED", "Cancelled"), ("CANCELLED", "Cancelled"), ("CANCELLED", "Paused")]


def test_a_run_that_a_dead_worker_left_running_ends_as_its_job_did(stack: Stack, unbroken: Outcome) -> None:
    with stack.client() as client:
        *_, job = client.jobs.iter(status="completed", kind="finetune")  # the oldest: it ended a while ago
    assert job.flow_run_id
    forced = {"state": {"type": "RUNNING", "name": "Running"}, "force": True}
    url = f"{stack.prefect_url}/flow_runs/{job.flow_run_id}/set_state"
    until(lambda: httpx.post(url, json=forced, timeout=30).is_success, 30)
    assert flow_run(stack, job.flow_run_id)["state_type"] not in FINAL
    time.sleep(max(0.0, 21 - (time.time() - job.ended_at.timestamp())) if job.ended_at else 0.0)
    look(stack)
    assert flow_run(stack, job.flow_run_id)["state_type"] == "COMPLETED"
