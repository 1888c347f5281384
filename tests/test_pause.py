"""A job that is paused saves what it has and lets go; resumed, it comes to what it would have come to."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from deployments.local_stack import Stack
from tests.deployed import runs_of, trainers, until
from tests.disturbed import Outcome, completed, outcome, reaches, states_of_runs, train
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
    job = reaches(stack, train(stack, short_config), 120)
    assert ask(stack, job, "pause")["status"] == "pausing"
    with stack.client() as client:
        paused = until(lambda: (found := client.jobs.get(job.id)).status == "paused" and found)
    assert not trainers(job)
    assert (paused.restarts, paused.ended_at) == (0, None)
    assert states_of_runs(stack, job) == [("CANCELLED", "Paused")]
    assert paused.last_checkpoint
    assert paused.last_checkpoint % 50, "it was saved where it stopped, not where the next one was due"

    assert ask(stack, job, "resume")["status"] == "pending"
    ended = completed(stack, job.id)
    assert (ended.restarts, ended.attempt) == (0, 2)
    assert ended.resumed_at
    assert outcome(stack, ended) == unbroken
    assert [state for state, _ in states_of_runs(stack, job)] == ["CANCELLED", "COMPLETED"]
    assert len(runs_of(stack, job.id)) == 2
