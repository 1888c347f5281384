"""Jobs that wait: how many are before each, and what for."""

from bisect import bisect_left
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from sqlmodel import Session, col

from api.access.owned import find, owned
from api.database import Database
from api.tables import Job, now, progress_of
from tuneyard import shapes
from tuneyard.shapes import JobKind, JobStatus

WAITING = (JobStatus.PENDING, JobStatus.QUEUED)
SOON = timedelta(seconds=10)  # in which a worker takes a run, where one is free


def shown_jobs(session: Session, rows: Sequence[Job]) -> list[shapes.Job]:
    """A workspace's jobs as they are read; those that wait say why."""
    waiting = _all_waiting(session, rows[0].workspace_id) if any(map(waits, rows)) else []
    return [_shown(row, bisect_left(waiting, row.pk)) for row in rows]


def shown_job(session: Session, row: Job) -> shapes.Job:
    return shown_jobs(session, [row])[0]


def shown_row(database: Database, row: Any) -> shapes.Job:
    """The job of a row of the table's columns."""
    if not waits(row):
        return shapes.Job.model_validate({**row._mapping, "progress": progress_of(row)})
    with database.reading() as session:
        return shown_job(session, find(session, Job, row.workspace_id, row.id, "Job not found"))


def waits(row: Any) -> bool:
    return row.status in WAITING


def _all_waiting(session: Session, workspace_id: int) -> list[int]:
    """The numbers of the workspace's waiting jobs. With every kind named, the index answers alone."""
    waiting = owned(Job, workspace_id).where(col(Job.kind).in_(list(JobKind)), col(Job.status).in_(WAITING))
    return list(session.execute(waiting.with_only_columns(col(Job.pk)).order_by(col(Job.pk))).scalars())


def _shown(row: Job, place: int) -> shapes.Job:
    job = shapes.Job.model_validate(row)
    if not waits(row):
        return job
    reason = job.wait_reason or _why(row, place)
    return job.model_copy(update={"queue_position": place, "wait_reason": reason})


def _why(row: Job, before: int) -> str | None:
    """Why no run has taken a pending job yet; None for one that nobody was asked to run, or only just."""
    if row.status != JobStatus.PENDING or row.launched_at is None:
        return None
    since = now() - row.launched_at
    if since < SOON:
        return None
    others = f"; {before} before it" if before else ""
    if row.flow_run_id is None:
        return f"Prefect has had no run for it for {_roughly(since)}{others}"
    return f"no worker has taken it for {_roughly(since)}{others}"


def _roughly(time: timedelta) -> str:
    """In steps, so that what is shown does not change with each look."""
    seconds = int(time.total_seconds())
    if seconds < 60:
        return f"{seconds // 10 * 10} s"
    return f"{seconds // 60} min" if seconds < 7200 else f"{seconds // 3600} h"
