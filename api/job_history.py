"""What happened to a job: its events and its log lines, each stored once whatever is sent twice, and its errors."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from api.cursor_pages import rows_after
from api.database import insert_into
from api.tables import Job, JobEvent, JobLog, new_id, now
from tuneyard import shapes
from tuneyard.shapes import (
    JobError,
    JobEventKind,
    LogLevel,
    LogLine,
    NewJobError,
    NewJobEvent,
    NewLogLine,
    Page,
)

LEVELS: tuple[LogLevel, ...] = ("debug", "info", "warning", "error")
_EVENTS = JobEvent.__table__  # type: ignore[attr-defined]
_LINES = JobLog.__table__  # type: ignore[attr-defined]


def note(session: Session, job: Job, kind: JobEventKind, message: str, **details: Any) -> None:
    """Add an event of the record's own to a locked job."""
    session.add(
        JobEvent(
            workspace_id=job.workspace_id,
            job_pk=job.pk,
            attempt=job.attempt,
            kind=kind,
            message=message,
            details=details,
        )
    )


def note_errors(
    session: Session,
    job: Job,
    kind: JobEventKind,
    message: str,
    errors: Iterable[NewJobError],
    **details: Any,
) -> None:
    """Add an event that tells of errors: `errors_of` finds them there."""
    found = [error.model_dump(exclude_none=True) for error in errors]
    note(session, job, kind, message, **details, errors=found)


def store_events(session: Session, job: Job, events: Sequence[NewJobEvent]) -> None:
    """Store a run's events under the job's attempt, and what they say of it on its row, which is locked."""
    owner = {"workspace_id": job.workspace_id, "job_pk": job.pk, "attempt": job.attempt}
    rows = [
        owner | event.model_dump() | {"id": new_id(), "at": event.at or now(), "step": event.step}
        for event in events
    ]
    session.connection().execute(insert_into(session, _EVENTS).on_conflict_do_nothing(), rows)
    for event in events:
        _follow(job, event)


def _follow(job: Job, event: NewJobEvent) -> None:
    when = event.at or now()
    if event.kind == "gpu_released":
        job.gpu_released_at = when
    is_late = job.checkpoint_at is not None and when < job.checkpoint_at
    if event.kind == "checkpoint" and event.step is not None and not is_late:
        job.last_checkpoint, job.checkpoint_at = event.step, when
        if event.details.get("best") is True:
            job.best_checkpoint = event.step


def events_page(
    session: Session, job: Job, kind: JobEventKind | None, limit: int, offset: int
) -> Page[shapes.JobEvent]:
    """The job's events in the order in which they were stored."""
    mine = [_EVENTS.c.job_pk == job.pk]
    if kind is not None:
        mine.append(_EVENTS.c.kind == kind.value)
    total = session.exec(select(func.count()).select_from(JobEvent).where(*mine)).one()
    query = select(JobEvent).where(*mine).order_by(col(JobEvent.pk)).limit(limit).offset(offset)
    items = [shapes.JobEvent.model_validate(row) for row in session.exec(query)]
    return Page(items=items, total=total, limit=limit, offset=offset)


def events_after(
    session: Session, job: Job, after: str | None, limit: int, kind: JobEventKind | None = None
) -> tuple[list[shapes.JobEvent], bool]:
    """The newest first, behind the one whose id is `after`; and whether there are more."""
    query = select(JobEvent).where(col(JobEvent.job_pk) == job.pk)
    if kind is not None:
        query = query.where(JobEvent.kind == kind.value)
    found, more = rows_after(session, query, JobEvent, after, limit, "No such event")
    return [shapes.JobEvent.model_validate(row) for row in found], more


def errors_of(session: Session, job: Job) -> list[JobError]:
    """Whatever went wrong with the job, oldest first, over all its attempts."""
    query = (
        select(JobEvent)
        .where(col(JobEvent.job_pk) == job.pk)
        .where(col(JobEvent.kind).in_([JobEventKind.ENDED, JobEventKind.PAUSED, JobEventKind.LOST]))
        .order_by(col(JobEvent.pk))
    )
    return [
        JobError.model_validate(error | {"at": event.at, "attempt": event.attempt})
        for event in session.exec(query)
        for error in event.details.get("errors", ())
    ]


def store_lines(session: Session, job: Job, lines: Sequence[NewLogLine]) -> None:
    """Store a run's log lines under the job's attempt, in the caller's transaction."""
    owner = {"workspace_id": job.workspace_id, "job_pk": job.pk, "attempt": job.attempt}
    rows = [owner | line.model_dump() for line in lines]
    session.connection().execute(insert_into(session, _LINES).on_conflict_do_nothing(), rows)


def append_lines(session: Session, job: Job, texts: Sequence[str]) -> None:
    """Store lines that came without numbers behind those that the attempt of a locked job has."""
    mine = (_LINES.c.job_pk == job.pk, _LINES.c.attempt == job.attempt)
    first = session.exec(select(func.coalesce(func.max(JobLog.number), -1)).where(*mine)).one() + 1
    at = now()
    lines = [NewLogLine(number=number, at=at, text=text) for number, text in enumerate(texts, first)]
    store_lines(session, job, lines)


def lines_page(
    session: Session, job: Job, after: Any, level: LogLevel | None, limit: int, offset: int
) -> Page[LogLine]:
    """The job's log by attempt, then number; with `level`, those lines and graver ones."""
    mine = [_LINES.c.job_pk == job.pk]
    if after is not None:
        mine.append(_LINES.c.at > after)
    if level is not None:
        mine.append(_LINES.c.level.in_(LEVELS[LEVELS.index(level) :]))
    total = session.exec(select(func.count()).select_from(JobLog).where(*mine)).one()
    query = (
        select(_LINES).where(*mine).order_by(_LINES.c.attempt, _LINES.c.number).limit(limit).offset(offset)
    )
    items = [LogLine.model_validate(row) for row in session.execute(query).mappings()]
    return Page(items=items, total=total, limit=limit, offset=offset)
