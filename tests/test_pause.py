"""A job that is paused saves what it has and lets go; resumed, it comes to what it would have come to."""

from __future__ import annotations

import time
from typing import Any

import httpx
import pytest

from deployments.local_stack import Stack
from flows.heartbeat import BEAT_SECONDS
from tests.deployed import runs_of, trainers, until
from tests.disturbed import STEPS, Outcome, completed, outcome, reaches, states_of_runs, train
from tests.test_crash import held
from tuneyard.shapes import Job


def ask(stack: Stack, job: Job, what: str) -> dict[str, Any]:
    answer = httpx.post(
        f"{stack.api_url}/api/v1/jobs/{job.id}/{what}", headers={"X-API-Key": stack.key("user")}, timeout=30
    )
    found: dict[str, Any] = answer.raise_for_status().json()
    return found


@pytest.mark.timeout(600)
def test_a_paused_job_goes_on_from_its_own_checkpoint_as_if_it_had_never_stopped(
    stack: Stack, short_config: dict[str, Any], unbroken: Outcome
) -> None:
    job = reaches(stack, train(stack, short_config | {"checkpoint_every": 10 * STEPS}), 120)
    with held(stack, job.id):  # a fast machine would have come to the end before the run hears of it
        assert ask(stack, job, "pause")["status"] == "pausing"
        time.sleep(BEAT_SECONDS + 1)
    with stack.client() as client:
        paused = until(lambda: (found := client.jobs.get(job.id)).status == "paused" and found)
    assert not trainers(job)
    assert (paused.restarts, paused.ended_at) == (0, None)
    assert states_of_runs(stack, job) == [("CANCELLED", "Paused")]
    assert paused.last_checkpoint, "nothing but the pause asked for one"

    assert ask(stack, job, "resume")["status"] == "pending"
    ended = completed(stack, job.id)
    assert (ended.restarts, ended.attempt) == (0, 2)
    assert ended.resumed_at
    assert outcome(stack, ended) == unbroken
    assert [state for state, _ in states_of_runs(stack, job)] == ["CANCELLED", "COMPLETED"]
    assert len(runs_of(stack, job.id)) == 2
