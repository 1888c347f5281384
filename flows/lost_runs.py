"""A run that is dead, and the job that it leaves: closed in the record, and run again while that may be.

The record decides and counts, once, whoever says it first: a lost run is named by its job and attempt, and an
attempt that is no longer the job's newest changes nothing.
"""

from __future__ import annotations

from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun, State
from prefect.flows import Flow

from flows.agreement import AT_WORK
from flows.prefect_runs import PrefectRuns
from flows.service_key import DEFAULT_CREDENTIALS, load
from tuneyard import Client
from tuneyard.shapes import CloseLost, Job, JobStatus, Launched, LostRun

LONGEST_REASON = 1000


def put_back(
    service: Client, credentials: str, dead: list[LostRun], silent: float | None = None
) -> list[Job]:
    """Close these runs, and those not heard of for `silent` seconds; the jobs, each with a run if it goes on.

    Args:
        credentials: Name of the block that the new runs are to use.
    """
    jobs = service.jobs.close_lost(CloseLost(silent_seconds=silent, runs=dead))
    waiting = [job for job in jobs if job.status == JobStatus.PENDING and job.flow_run_id is None]
    if waiting:
        with get_client(sync_client=True) as prefect:
            runs = PrefectRuns(prefect)
            for job in waiting:
                assert job.run_key is not None, "a job that waits for a run has its key"
                launched = Launched(run_key=job.run_key, flow_run_id=runs.start(job, credentials))
                service.jobs.launched(job.id, launched)
    return jobs


def close_run(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:  # noqa: ARG001
    """Hook for cancelled and crashed runs: what the run left at work is cancelled, or put back.

    It runs in a process of its own and knows only the run's id. The trainer needs no stopping: the kernel ends
    it with its parent.
    """
    credentials = (flow_run.parameters or {}).get("credentials", DEFAULT_CREDENTIALS)
    with load(credentials).client() as service:
        left = [job for job in service.jobs.list(flow_run_id=str(flow_run.id)).items if job.status in AT_WORK]
        if state.is_cancelling() or state.is_cancelled():
            for job in left:
                service.jobs.cancel(job.id)
        reason = f"its run ended without a word: {state.message or state.name}"
        put_back(service, credentials, [lost_run(job, reason) for job in left])


def lost_run(job: Job, reason: str) -> LostRun:
    """The run that has the job, or was to take it, as the record knows it."""
    return LostRun(
        job_id=job.id, attempt=job.attempt, flow_run_id=job.flow_run_id, reason=reason[:LONGEST_REASON]
    )
