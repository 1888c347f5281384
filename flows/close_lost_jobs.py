"""Find the jobs whose runs are dead, put them back or close them, and make record and Prefect say the same."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

from prefect import flow, get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.states import Completed, Crashed, Failed, Scheduled

from flows.agreement import AT_WORK, ForJob, ForRun, Run, for_job, for_run
from flows.job_run import job_folder
from flows.lost_runs import lost_run, put_back
from flows.prefect_runs import PrefectRuns, as_state
from flows.service_key import DEFAULT_CREDENTIALS, load
from tasks.run_processes import end_processes
from tasks.tenancy import dead_tenant
from tuneyard import Client
from tuneyard.configs import LookConfig
from tuneyard.errors import NotFound, TuneyardError
from tuneyard.shapes import Job, JobEnd, JobStatus, LostRun


@flow(name="close-lost-jobs")
def close_lost_jobs(config: LookConfig | None = None, credentials: str = DEFAULT_CREDENTIALS) -> State[Any]:
    """Close or run again the jobs whose runs are dead, and bring every job and its Prefect run to the same state.

    Safe on several hosts at once, and again: whatever it does is done once, whoever is first.

    Args:
        config: How many looks, how far apart; default: four, 15 s apart.
        credentials: Name of the Tuneyard credentials block.
    """
    config = config or LookConfig()
    try:
        with ExitStack() as held:
            service = held.enter_context(load(credentials).client())
            prefect = PrefectRuns(held.enter_context(get_client(sync_client=True)))
            prefect.drop_missed_looks()
            for round_ in range(config.looks):
                if round_:
                    time.sleep(config.interval_seconds)
                look(service, prefect, credentials, config.silent_seconds)
                prefect.end_overdue_readings()
    except TuneyardError as problem:
        get_run_logger().error("%s", problem)
        return Failed(message=str(problem))
    return Completed(message="Every job and its run say the same.")


def look(service: Client, prefect: PrefectRuns, credentials: str, silent: float) -> None:
    """One look: the jobs first, for a job ends before its run does."""
    jobs = open_jobs(service)
    dead = [*dead_here(jobs), *told_by_prefect(service, prefect, jobs)]
    closed = put_back(service, credentials, dead, silent)
    settle(service, prefect, lost=_runs_left(jobs, closed))


def open_jobs(service: Client) -> list[Job]:
    """Those that a run works on, and those that wait for the run that was made for them, or that recorded them."""
    waiting = [job for job in service.jobs.iter(JobStatus.PENDING) if job.flow_run_id]
    return waiting + [job for status in AT_WORK for job in service.jobs.iter(status)]


def dead_here(jobs: list[Job]) -> list[LostRun]:
    """The jobs whose process on this host is gone for certain: they need not be silent for a while first."""
    host = socket.gethostname()
    here = [job for job in jobs if job.host == host and job.status in AT_WORK]
    return [lost_run(job, "its process is gone") for job in here if _is_dead(job)]


def _is_dead(job: Job) -> bool:
    last = dead_tenant(job_folder(job))
    return last is not None and (last.attempt, last.flow_run_id) == (job.attempt, job.flow_run_id)


def told_by_prefect(service: Client, prefect: PrefectRuns, jobs: list[Job]) -> list[LostRun]:
    """Where somebody told Prefect alone, or Prefect saw the run die: the job hears of it; the lost ones come back."""
    runs = prefect.by_id(job.flow_run_id for job in jobs if job.flow_run_id)
    dead = []
    for job in jobs:
        run = runs.get(job.flow_run_id or "")
        for verdict in for_job(job, run):
            get_run_logger().warning("Job %s is %s, its run %s: %s", job.id, job.status, _shown(run), verdict)
            if verdict is ForJob.CANCEL:
                service.jobs.cancel(job.id)
            elif verdict is ForJob.FAIL and run is not None:
                error = f"Its run ended before it took the job: {run.message}"
                service.jobs.end(job.id, JobEnd(status="failed", error=error))
            else:
                dead.append(lost_run(job, f"its run {_shown(run)}"))
    return dead


def _shown(run: Run | None) -> str:
    return "is not known to Prefect" if run is None else f"is {run.state.lower()} ({run.message})"


def _runs_left(before: list[Job], closed: list[Job]) -> set[str]:
    """The runs that had these jobs and have them no more."""
    had = {job.id: job.flow_run_id for job in before if job.status in AT_WORK}
    return {
        run_id
        for job in closed
        if (run_id := had.get(job.id)) and (job.status.is_final or job.flow_run_id != run_id)
    }


def settle(service: Client, prefect: PrefectRuns, lost: set[str]) -> None:
    """Bring the runs that Prefect shows as going on to where their jobs are; what is left of the dead ones ends."""
    now = datetime.now(UTC)
    for run in prefect.open():
        job = _job(service, run)
        verdict = for_run(run, job, run.id in lost, now)
        if verdict is None:
            continue
        get_run_logger().warning(
            "Run %s %s, its job is %s: %s", run.id, _shown(run), job and job.status, verdict
        )
        if verdict is ForRun.AGAIN:
            prefect.set(run, Scheduled(message="The worker that took it was not heard of again."))
            continue
        end_processes(run.id)
        follows = verdict is ForRun.FOLLOW and job is not None
        prefect.set(run, as_state(job) if follows and job else Crashed(message=_why(job)))


def _job(service: Client, run: Run) -> Job | None:
    try:
        return service.jobs.get(run.job_id) if run.job_id else None
    except NotFound:
        return None


def _why(job: Job | None) -> str:
    if job is None:
        return "The run ended before it recorded a job."
    return f"The run is dead. Job {job.id} is {job.status} now, attempt {job.attempt}."
