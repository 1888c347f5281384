"""From a job that awaits its run to that run: asked of Prefect once the job is recorded, and noted on its row."""

import logging
from typing import Any

from sqlmodel import Session, col

from api.access.caller import Caller
from api.access.owned import lock_job, owned
from api.database import Database
from api.job_ends import apply_end
from api.launches import Launches, PrefectAway, RunRefused
from api.moves import await_run
from api.problems import Problem
from api.tables import Job
from tuneyard.shapes import JobEnd, JobKind, JobStatus

log = logging.getLogger("tuneyard.api")


def start_run(database: Database, launches: Launches, who: Caller, job: Job) -> Job:
    """Have Prefect make the run that takes a pending job; the job as it is then. Asked twice, it is one run.

    Raises:
        PrefectAway, RunRefused: There is no run; the job is as it was.
    """
    assert job.run_key is not None
    run_id = launches.start(
        JobKind(job.kind),
        job.run_key,
        job.name,
        {"config": job.config, "job_id": job.id},
        ["tuneyard", f"job:{job.id}"],
    )
    with database.writing() as session:
        fresh = lock_job(session, who.workspace_id, job.id)
        if fresh.run_key == job.run_key and fresh.flow_run_id is None:  # it may have been claimed by now
            fresh.flow_run_id = run_id
    return fresh


def start_or_fail(database: Database, launches: Launches, who: Caller, job: Job) -> Job:
    """The same; where there is no run, the job does not stay open.

    Raises:
        PrefectAway, RunRefused: The job has failed with that text.
    """
    try:
        return start_run(database, launches, who, job)
    except Problem as problem:
        fail_unstarted(database, who, job, problem.detail)
        raise


def fail_unstarted(database: Database, who: Caller, job: Job, reason: str) -> Job:
    """End a job that still awaits the run it was to get."""
    with database.writing() as session:
        fresh = lock_job(session, who.workspace_id, job.id)
        if fresh.status == JobStatus.PENDING and fresh.run_key == job.run_key:
            apply_end(session, who, fresh, JobEnd(status="failed", error=f"It was not started: {reason}"))
    return fresh


def start_awaited(database: Database, launches: Launches, who: Caller, jobs: list[Job]) -> list[Job]:
    """The same for several jobs. What Prefect refuses has failed; while Prefect is away, the rest goes on waiting."""
    done: list[Job] = []
    for at, job in enumerate(jobs):
        try:
            done.append(start_run(database, launches, who, job))
        except RunRefused as refusal:
            done.append(fail_unstarted(database, who, job, refusal.detail))
        except PrefectAway as away:
            if launches.is_configured:
                log.warning("%s jobs go on waiting for their runs: %s", len(jobs) - at, away)
            return done + jobs[at:]
    return done


def awaiting_run(session: Session, workspace_id: int) -> list[Job]:
    """The workspace's jobs for which Prefect has no run yet."""
    job = Job
    query = owned(job, workspace_id).where(
        job.status == JobStatus.PENDING, col(job.run_key).is_not(None), col(job.flow_run_id).is_(None)
    )
    return list(session.exec(query.order_by(col(job.pk))))


def awaiting_trainer(session: Session, workspace_id: int) -> Job | None:
    """The oldest fine-tune that nobody has taken and no run is to take: free for a trainer of somebody's own."""
    job = Job
    query = owned(job, workspace_id).where(
        job.status == JobStatus.PENDING,
        job.kind == JobKind.FINETUNE,
        col(job.run_key).is_(None),
        col(job.flow_run_id).is_(None),
        col(job.claimed_at).is_(None),
        col(job.deleted_at).is_(None),
    )
    return session.exec(query.order_by(col(job.pk)).limit(1)).first()


def run_recorded(
    database: Database, launches: Launches, who: Caller, found: Job, config: dict[str, Any]
) -> Job:
    """Have Prefect run a job that was only recorded.

    Raises:
        Problem: 409 where somebody has taken it or a run is on its way; 503 as `start_or_fail`.
    """
    launches.demand(JobKind(found.kind))
    with database.writing() as session:
        job = lock_job(session, who.workspace_id, found.id)
        if job.status != JobStatus.PENDING or job.run_key or job.flow_run_id or job.claimed_at:
            raise Problem(409, f"The job {job.id} has been taken already: it is {job.status}")
        job.config = config
        await_run(job)
    return start_or_fail(database, launches, who, job)
