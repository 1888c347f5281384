"""A job's life: it says that it is alive, is paused and resumed, and is closed when nothing is heard of it."""

from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, LaunchesDep, needs
from api.access.caller import Caller, JobCaller
from api.access.owned import hold_job, lock_job, own_job, owned_job
from api.job_ends import (
    ask_cancel,
    close_lost,
    end_overdue,
    is_run_of,
    is_silent,
    overdue_jobs,
    silent_for,
    silent_jobs,
)
from api.job_history import note
from api.job_removal import mark_deleted, remove_if_over
from api.job_starts import awaiting_run, start_awaited
from api.lifecycle import Event
from api.moves import move
from api.problems import Problem
from api.resuming import resume
from api.strict_json import StrictRoute
from tuneyard.shapes import (
    Beat,
    CloseLost,
    Heartbeat,
    Job,
    JobEventKind,
    JobStatus,
    Launched,
    LostRun,
    Resume,
)

router = APIRouter(prefix="/api/v1/jobs", tags=["jobs"], route_class=StrictRoute)


@router.post("/{job_id}/heartbeat")
def report_alive(holder: Annotated[JobCaller, own_job()], beat: Heartbeat, database: DatabaseDep) -> Beat:
    """A run is alive, and reads whether it is to go on. One that is refused with 401 has been replaced."""
    with database.writing() as session:
        job = hold_job(session, holder)
        if not JobStatus(job.status).is_final:
            _learn(job, beat)
    return Beat(job_status=JobStatus(job.status), at=tables.now())


def _learn(job: tables.Job, beat: Heartbeat) -> None:
    job.heartbeat_at = tables.now()
    job.wait_reason = beat.wait_reason
    if beat.stage is not None:
        job.stage = beat.stage
    if beat.pids is not None:
        job.pids = beat.pids
    if beat.gpu_uuids:
        if job.gpu_uuids != beat.gpu_uuids or job.gpu_released_at is not None:
            job.gpu_leased_at = job.heartbeat_at
        job.gpu_uuids, job.gpu_released_at = beat.gpu_uuids, None
    elif beat.gpu_uuids is not None and job.gpu_uuids and job.gpu_released_at is None:
        job.gpu_released_at = job.heartbeat_at


@router.post("/{job_id}/pause")
def pause_job(
    caller: Annotated[Caller, needs("jobs:write")],
    found: Annotated[tables.Job, owned_job("jobs:write")],
    database: DatabaseDep,
) -> Job:
    """A job that has not begun to train is paused at once; a run reads `pausing`, saves a checkpoint and ends."""
    return Job.model_validate(pause(database, caller, found))


def pause(database: DatabaseDep, caller: Caller, found: tables.Job) -> tables.Job:
    with database.writing() as session:
        job = lock_job(session, found.workspace_id, found.id)
        before = job.status
        move(job, Event.ASK_PAUSE)
        if job.status != before:
            kind = JobEventKind.PAUSED if job.status == JobStatus.PAUSED else JobEventKind.PAUSE_ASKED
            note(session, job, kind, f"Paused by {caller.name}", status=job.status)
            record_event(session, caller, "job.paused", "job", job.id, status=job.status)
    return job


@router.delete("/{job_id}", status_code=204)
def delete_job(
    caller: Annotated[Caller, needs("jobs:write")],
    found: Annotated[tables.Job, owned_job("jobs:write")],
    database: DatabaseDep,
) -> None:
    """Gone for every reader at once, with all that was reported of it; what it made stays. Where a run is at work on
    it, that hears `cancelling` and stops."""
    with database.writing() as session:
        job = lock_job(session, found.workspace_id, found.id)
        mark_deleted(session, caller, job)
        if not JobStatus(job.status).is_final:
            ask_cancel(session, caller, job)
        remove_if_over(session, job)


@router.post("/{job_id}/resume")
def resume_job(
    caller: Annotated[Caller, needs("jobs:write")],
    found: Annotated[tables.Job, owned_job("jobs:write")],
    database: DatabaseDep,
    launches: LaunchesDep,
    asked: Resume | None = None,
) -> Job:
    """Let a paused, failed or cancelled job go on from a checkpoint, in a new run; it is the same job.

    A config that the checkpoint does not allow is refused by that run.
    """
    return Job.model_validate(resume(database, launches, caller, found, asked or Resume()))


@router.post("/$close-lost", responses={404: {}})
def close_lost_jobs(
    caller: Annotated[Caller, needs("jobs:claim")],
    database: DatabaseDep,
    launches: LaunchesDep,
    asked: CloseLost | None = None,
) -> list[Job]:
    """Close the jobs whose runs are dead; what may be started again is `pending`, with a new `run_key`.

    Looking for silence, those that no run took in time are closed too, and the answer also holds what else awaits a
    run. Of all of them, those without a `flow_run_id` are the caller's to start, with the `run_key` as the run's
    idempotency key. Safe to be asked by several at once, and again.
    """
    asked = asked or CloseLost()
    closed = [job for run in asked.runs if (job := _close_named(database, caller, run))]
    if asked.silent_seconds is not None:
        closed += _close_silent(database, caller, timedelta(seconds=asked.silent_seconds))
        closed += _close_overdue(database, caller)
    awaiting = [job for job in closed if job.status == JobStatus.PENDING]
    if asked.silent_seconds is not None:
        with database.reading() as session:
            awaiting = awaiting_run(session, caller.workspace_id)
    started = start_awaited(database, launches, caller, awaiting)
    jobs = {job.id: job for job in (*closed, *started)}
    return [Job.model_validate(job) for job in jobs.values()]


def _close_named(database: DatabaseDep, caller: Caller, run: LostRun) -> tables.Job | None:
    """The job of a run that is known to be dead; None where it is not that run's any more."""
    with database.writing() as session:
        job = lock_job(session, caller.workspace_id, run.job_id, also_deleted=True)
        if not is_run_of(job, run):
            return None
        close_lost(session, caller, job, run.reason, handed_back=run.handed_back)
    return job


def _close_silent(database: DatabaseDep, caller: Caller, silence: timedelta) -> list[tables.Job]:
    with database.reading() as session:
        silent = silent_jobs(session, caller.workspace_id, silence)
    closed = []
    for found in silent:
        with database.writing() as session:
            job = lock_job(session, caller.workspace_id, found.id, also_deleted=True)
            if is_silent(job, silence):  # no sign of life, and no other caller, came between
                reason = f"no sign of life for {int(silent_for(job).total_seconds())} s"
                close_lost(session, caller, job, reason)
                closed.append(job)
    return closed


def _close_overdue(database: DatabaseDep, caller: Caller) -> list[tables.Job]:
    with database.reading() as session:
        overdue = overdue_jobs(session, caller.workspace_id)
    return [end_overdue(database, caller, job) for job in overdue]


@router.post("/{job_id}/launched")
def note_run(
    caller: Annotated[Caller, needs("jobs:claim")],
    found: Annotated[tables.Job, owned_job("jobs:claim")],
    launched: Launched,
    database: DatabaseDep,
) -> Job:
    """Whoever started the run of a pending job says which it is."""
    with database.writing() as session:
        job = lock_job(session, caller.workspace_id, found.id)
        if job.run_key != launched.run_key:
            raise Problem(409, f"The job {job.id} awaits another run than that of {launched.run_key}")
        if job.status == JobStatus.PENDING:
            job.flow_run_id = launched.flow_run_id
    return Job.model_validate(job)
