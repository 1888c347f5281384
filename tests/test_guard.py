"""What the watchdog sees on a real run is an event of the job, and what the config wants is done."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack import Stack
from tests.deployed import trainers, until
from tests.disturbed import train
from tests.tiny_model import make_broken_model
from tuneyard.shapes import Job, JobEvent


def at_rest(stack: Stack, job_id: str) -> tuple[Job, list[JobEvent]]:
    """The job once nothing works on it any more, and what its watchdog said."""
    with stack.client() as client:

        def look() -> Job | None:
            job = client.jobs.get(job_id)
            return job if job.status.is_final or job.status == "paused" else None

        job: Job = until(look)
        until(lambda: not trainers(job), 30)
        return job, [event for event in client.jobs.events(job_id).items if event.kind == "watchdog"]


@pytest.mark.timeout(300)
def test_a_run_that_diverges_is_paused_where_the_config_wants_that(
    stack: Stack, short_config: dict[str, Any], tmp_path: Path
) -> None:
    broken = make_broken_model(tmp_path / "broken")
    asked = short_config | {"model": str(broken), "watchdog": {"nan": "pause"}}
    job, said = at_rest(stack, train(stack, asked))
    assert (job.status, job.error) == ("paused", None)
    assert [(event.details["fault"], event.details["action"]) for event in said] == [("nan", "pause")]
    assert "diverged" in said[0].message


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_run_without_room_for_its_checkpoints_is_stopped_where_the_config_wants_that(
    stack: Stack, short_config: dict[str, Any]
) -> None:
    wants = {"disk": "stop", "disk_gb": 1e9}
    job, said = at_rest(stack, train(stack, short_config | {"watchdog": wants}))
    assert job.status == "failed"
    assert job.error is not None
    assert job.error.startswith("Stopped by the watchdog.")
    assert "GB of disk are left for checkpoints" in job.error
    assert [(event.details["fault"], event.details["action"]) for event in said] == [("disk", "stop")]
