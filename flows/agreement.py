"""What is to be done where a job and its Prefect run say different things. Pure: whoever asks carries it out.

Either side may have been told first: somebody cancels in Prefect's UI or through the API, a worker dies and leaves
its run `Running`, a run crashes and leaves its job `running`. The record decides what becomes of the job, except
where only Prefect was told.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from tuneyard.shapes import Job, JobStatus

AT_WORK = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING)
ENDING = timedelta(seconds=20)  # between a job's end and its run's, which the run itself brings about
CLAIMING = timedelta(seconds=75)  # between a run's start and its claim, an API that blinks included
STARTING = timedelta(seconds=90)  # between a worker's taking a run and its first word


@dataclass(frozen=True)
class Run:
    """A flow run as Prefect shows it; `job_id` is known from its tag or its parameter."""

    id: str
    state: str  # a StateType: SCHEDULED, PENDING, RUNNING, CANCELLING, PAUSED, COMPLETED, FAILED, CRASHED, CANCELLED
    since: datetime
    message: str
    job_id: str | None = None

    @property
    def is_final(self) -> bool:
        return self.state in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


class ForJob(StrEnum):
    """What is to become of a job, by its run's state."""

    CANCEL = "cancel"  # somebody cancelled the run: the job's own run hears of it, if it lives
    LOST = "lost"  # the run is dead: put back, or whatever was asked for
    FAIL = "fail"  # the run ended before it took the job, and would do so again


class ForRun(StrEnum):
    """What is to become of a run, by its job's status."""

    FOLLOW = "follow"  # it ends as its job did
    CRASH = "crash"  # it is dead, or replaced
    AGAIN = "again"  # a worker took it and was not heard of again: another may


def for_job(job: Job, run: Run | None) -> set[ForJob]:
    """For a job that is at work, or that waits for its run to start. `run` None: Prefect knows no such run."""
    if run is None:
        # Deleted, perhaps while it went on: a living run is heard of, and its silence is.
        awaited = job.status == JobStatus.PENDING and job.run_key is not None
        return {ForJob.LOST} if awaited else set()
    if run.state in ("CRASHED", "COMPLETED"):
        return {ForJob.LOST}
    if run.state == "FAILED":
        return {ForJob.FAIL if job.status == JobStatus.PENDING else ForJob.LOST}
    if run.state == "CANCELLED":
        return {ForJob.CANCEL} if job.status == JobStatus.PENDING else {ForJob.CANCEL, ForJob.LOST}
    if run.state == "CANCELLING" and job.status != JobStatus.CANCELLING:
        return {ForJob.CANCEL}
    return set()


def for_run(run: Run, job: Job | None, lost: bool, now: datetime) -> ForRun | None:
    """For a run that Prefect does not show as ended.

    Args:
        job: The job that it was to work on, if it is known.
        lost: It has just been found to be dead.
    """
    if job is not None and (job.status.is_final or job.status == JobStatus.PAUSED):
        ended = job.ended_at or job.heartbeat_at or job.created_at
        waits = run.state in ("SCHEDULED", "PAUSED")
        return ForRun.FOLLOW if lost or waits or now - ended > ENDING else None
    if lost:
        return ForRun.CRASH
    if job is not None and job.flow_run_id == run.id and job.status in AT_WORK:
        return None
    if run.state == "PENDING":
        return ForRun.AGAIN if now - run.since > STARTING else None
    if run.state in ("RUNNING", "CANCELLING"):
        return ForRun.CRASH if now - run.since > CLAIMING else None
    return None
