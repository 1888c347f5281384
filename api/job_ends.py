"""How a job ends: as it is told to, once, or because nothing is heard of its run any more."""

from collections.abc import Sequence
from datetime import datetime, timedelta

from sqlmodel import Session, col

from api.access.audit import record_event
from api.access.caller import Caller, JobCaller
from api.access.owned import every_job, lock_job, owned
from api.database import Database
from api.job_history import note, note_errors
from api.job_removal import remove_if_over
from api.lifecycle import ENDINGS, Event, when_lost
from api.moves import await_run, move
from api.tables import Job, now
from tuneyard.shapes import JobEnd, JobEventKind, JobStatus, LostRun, NewJobError

AT_WORK = (JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING)
# A trainer of somebody's own, which has no process that we know of, sends no heartbeats: only a report every few steps,
# which may be slow ones.
QUIET_TRAINER = timedelta(minutes=30)
EXPIRED = "expired"  # the `end_asked` of a job that no run took in time


def apply_end(session: Session, who: Caller | JobCaller, job: Job, end: JobEnd) -> None:
    """End a locked job, or pause it; the same again changes nothing.

    Raises:
        IllegalMove: It has ended otherwise.
    """
    asked = job.end_asked if JobStatus(job.status).is_final else None
    if end.status in (job.status, asked):
        return
    move(job, ENDINGS[end.status])
    job.end_asked = end.status
    job.error = end.error
    job.result = end.result
    paused = job.status == JobStatus.PAUSED
    kind = JobEventKind.PAUSED if paused else JobEventKind.ENDED
    by = "its run" if isinstance(who, JobCaller) else who.name
    message = f"Paused by {by}" if paused else f"Ended as {job.status} by {by}"
    note_errors(session, job, kind, message, _errors(job, end), status=job.status)
    record_event(session, who, "job.paused" if paused else "job.ended", "job", job.id, status=job.status)
    remove_if_over(session, job)


def ask_cancel(session: Session, who: Caller, job: Job) -> None:
    """Cancel a locked job; one that a run works on is cancelled once that has heard of it."""
    before = job.status
    move(job, Event.CANCEL)
    if job.status != before:
        kind = JobEventKind.ENDED if job.status == JobStatus.CANCELLED else JobEventKind.CANCEL_ASKED
        note(session, job, kind, f"Cancelled by {who.name}", status=job.status)
        record_event(session, who, "job.cancelled", "job", job.id, status=job.status)


def _errors(job: Job, end: JobEnd) -> Sequence[NewJobError]:
    """What the end says of errors; where it says none, its one text."""
    if end.errors or job.status == JobStatus.COMPLETED or (job.status == JobStatus.PAUSED and not end.error):
        return end.errors
    if job.status == JobStatus.CANCELLED:
        return [NewJobError(kind="cancelled", message=end.error or "The job was cancelled")]
    return [NewJobError(kind="work_failed", message=end.error or "The run gave no reason")]


def is_overdue(job: Job) -> bool:
    """Whether a job waits whose time for a run to take it is over."""
    awaited = job.status == JobStatus.PENDING and job.attempt == 0
    return awaited and job.expires_at is not None and job.expires_at <= now()


def end_overdue(database: Database, who: Caller, found: Job) -> Job:
    """The job; it has failed now if it was overdue."""
    if not is_overdue(found):
        return found
    with database.writing() as session:
        job = lock_job(session, found.workspace_id, found.id)
        if is_overdue(job) and job.expires_at is not None:
            seconds = round((job.expires_at - job.created_at).total_seconds())
            error = f"It expired: no run took it within {seconds} s"
            apply_end(session, who, job, JobEnd(status="failed", error=error))
            job.end_asked = EXPIRED
    return job


def overdue_jobs(session: Session, workspace_id: int) -> list[Job]:
    """The workspace's jobs that no run took in time."""
    late = owned(Job, workspace_id).where(
        Job.status == JobStatus.PENDING, Job.attempt == 0, col(Job.expires_at) <= now()
    )
    return list(session.exec(late.order_by(col(Job.pk))))


def silent_jobs(session: Session, workspace_id: int, silence: timedelta) -> list[Job]:
    """The workspace's jobs whose runs have not been heard of for so long."""
    query = every_job(workspace_id).where(col(Job.status).in_(AT_WORK)).order_by(col(Job.pk))
    return [job for job in session.exec(query) if is_silent(job, silence)]


def is_silent(job: Job, silence: timedelta) -> bool:
    """Whether a job that is at work has given no sign of life for so long."""
    if not job.pid and job.heartbeat_at is None:
        silence = max(silence, QUIET_TRAINER)
    return job.status in AT_WORK and silent_for(job) > silence


def silent_for(job: Job) -> timedelta:
    since: datetime = job.last_sign or job.created_at
    return now() - since


def is_run_of(job: Job, run: LostRun) -> bool:
    """Whether a run is the one that has the job now, or that was to take it."""
    if job.status == JobStatus.PENDING:
        return run.flow_run_id is not None and run.flow_run_id == job.flow_run_id
    return job.status in AT_WORK and run.attempt == job.attempt


def close_lost(session: Session, who: Caller, job: Job, reason: str, *, handed_back: bool = False) -> None:
    """Do with a locked job whose run is dead what there is to do: end what was to end, start the rest again while it
    may. Its token dies: a run that was only thought dead is refused from now on.

    Args:
        handed_back: The run let go of the job by itself; that is no loss, and does not count as one.
    """
    event = when_lost(JobStatus(job.status), 1 if handed_back else _restarts_left(job))
    where = f" (attempt {job.attempt}, host {job.host}, process {job.pid})" if job.attempt else ""
    error = NewJobError(kind="lost", message=f"lost: {reason}{where}", hint=_hint(job, event))
    if not handed_back:
        note_errors(session, job, JobEventKind.LOST, error.message, [error])
    move(job, event)
    job.token_digest = None
    if event is Event.REQUEUE:
        await_run(job)
        job.restarts += not handed_back
        counted = "handed back" if handed_back else f"restart {job.restarts} of {job.max_restarts}"
        note(session, job, JobEventKind.REQUEUED, f"Waits for a new run, {counted}: {reason}")
    elif event is Event.FAIL:
        job.error = f"{error.message}. {error.hint}"
    record_event(
        session, who, "job.lost", "job", job.id, status=job.status, attempt=job.attempt, reason=reason
    )
    remove_if_over(session, job)


def _restarts_left(job: Job) -> int:
    """None where no run of ours ever was to have the job: nobody could start it again."""
    return job.max_restarts - job.restarts if job.pid or job.run_key else 0


def _hint(job: Job, event: Event) -> str | None:
    if event is not Event.FAIL:
        return None
    tried = f"It was started again {job.restarts} times. " if job.restarts else ""
    return f"{tried}Look at its host, then go on from its last checkpoint: tuneyard jobs resume {job.id}"
