"""Where a job and its Prefect run say different things, one rule says what is to be done."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.agreement import ForJob, ForRun, Run, for_job, for_run
from tuneyard.shapes import Job, JobStatus

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
RUN = "1f0c0d5e-0000-0000-0000-000000000001"


def job(status: str, **facts: Any) -> Job:
    facts = {"flow_run_id": RUN, "created_at": NOW - timedelta(hours=1), **facts}
    return Job(id="J1", kind="finetune", name="n", model="m", status=status, **facts)  # type: ignore[arg-type]


def run(state: str, seconds_ago: float = 5.0) -> Run:
    return Run(id=RUN, state=state, since=NOW - timedelta(seconds=seconds_ago), message="why", job_id="J1")


@pytest.mark.parametrize("state", ["CRASHED", "FAILED", "COMPLETED"])
def test_a_job_at_work_whose_run_has_ended_is_lost(state: str) -> None:
    for status in ("queued", "running", "pausing", "cancelling"):
        assert for_job(job(status), run(state)) == {ForJob.LOST}


def test_a_run_that_somebody_cancelled_cancels_its_job() -> None:
    assert for_job(job("running"), run("CANCELLING")) == {ForJob.CANCEL}
    assert for_job(job("cancelling"), run("CANCELLING")) == set()
    assert for_job(job("running"), run("CANCELLED")) == {ForJob.CANCEL, ForJob.LOST}
    assert for_job(job("pending"), run("CANCELLED")) == {ForJob.CANCEL}


def test_a_run_that_died_before_it_took_its_job_is_made_again_but_not_one_that_failed() -> None:
    assert for_job(job("pending"), run("CRASHED")) == {ForJob.LOST}
    assert for_job(job("pending", run_key="K1"), None) == {ForJob.LOST}
    assert for_job(job("pending"), None) == set(), "a job of somebody else's, whose run is none of ours"
    assert for_job(job("pending"), run("FAILED")) == {ForJob.FAIL}


@pytest.mark.parametrize("state", ["SCHEDULED", "PENDING", "RUNNING"])
def test_a_job_whose_run_goes_on_is_left_alone(state: str) -> None:
    for status in ("pending", "queued", "running", "pausing", "cancelling"):
        assert for_job(job(status), run(state)) == set()


def test_a_run_that_was_deleted_while_it_goes_on_is_judged_by_its_silence_alone() -> None:
    assert for_job(job("running"), None) == set()


@pytest.mark.parametrize("status", ["completed", "failed", "cancelled", "paused"])
def test_a_run_is_given_time_to_follow_its_job_and_is_then_brought_there(status: str) -> None:
    ended = {"ended_at": NOW - timedelta(seconds=5), "heartbeat_at": NOW - timedelta(seconds=5)}
    assert for_run(run("RUNNING"), job(status, **ended), False, NOW) is None
    later = NOW + timedelta(seconds=60)
    for state in ("PENDING", "RUNNING", "CANCELLING"):
        assert for_run(run(state), job(status, **ended), False, later) is ForRun.FOLLOW
    assert for_run(run("SCHEDULED"), job(status, **ended), False, NOW) is ForRun.FOLLOW
    assert for_run(run("RUNNING"), job(status, **ended), True, NOW) is ForRun.FOLLOW


def test_a_run_that_was_found_dead_is_shown_so_at_once() -> None:
    put_back = job("pending", flow_run_id=None)
    assert for_run(run("RUNNING"), put_back, True, NOW) is ForRun.CRASH


def test_a_run_that_has_just_begun_is_given_time_to_take_its_job() -> None:
    waiting = job("pending", flow_run_id=None)
    for found in (waiting, None, job("running", flow_run_id="another")):
        assert for_run(run("RUNNING"), found, False, NOW) is None
        assert for_run(run("RUNNING", 100), found, False, NOW) is ForRun.CRASH


def test_a_run_that_a_worker_took_and_never_began_is_offered_again() -> None:
    assert for_run(run("PENDING"), job("pending"), False, NOW) is None
    assert for_run(run("PENDING", 120), job("pending"), False, NOW) is ForRun.AGAIN


def test_what_is_under_way_is_left_alone_however_long_it_takes() -> None:
    for status in JobStatus:
        if status in ("queued", "running", "pausing", "cancelling"):
            assert for_run(run("RUNNING", 1e6), job(status), False, NOW) is None
    assert for_run(run("SCHEDULED", 1e6), job("pending"), False, NOW) is None
    assert for_run(run("SCHEDULED", 1e6), None, False, NOW) is None
