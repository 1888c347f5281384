"""What happened to a job, line by line: its events, its log and its errors. Written by its run, read with a key."""

from typing import Annotated

from fastapi import APIRouter, Query

from api import tables
from api.access.auth import DatabaseDep
from api.access.caller import JobCaller
from api.access.owned import Offset, hold_job, own_job, owned_job
from api.job_history import errors_of, events_page, lines_page, store_events, store_lines
from api.strict_json import StrictRoute
from tuneyard.shapes import (
    JobError,
    JobEvent,
    JobEventBatch,
    JobEventKind,
    LogBatch,
    LogLevel,
    LogLine,
    Page,
    Stored,
)
from tuneyard.values import Time

router = APIRouter(prefix="/api/v1/jobs/{job_id}", tags=["jobs"], route_class=StrictRoute)

ManyLines = Annotated[int, Query(ge=1, le=1000)]
After = Annotated[Time, Query(description="Lines after this moment.")]
Level = Annotated[LogLevel, Query(description="Lines of this level and graver ones.")]


@router.post("/events", status_code=201)
def add_events(
    holder: Annotated[JobCaller, own_job()], batch: JobEventBatch, database: DatabaseDep
) -> Stored:
    """Store a run's events; one that is sent again under its key is one event."""
    with database.writing() as session:
        store_events(session, hold_job(session, holder), batch.events)
    return Stored(count=len(batch.events))


@router.get("/events")
def read_events(
    job: Annotated[tables.Job, owned_job("jobs:read")],
    database: DatabaseDep,
    kind: JobEventKind | None = None,
    limit: ManyLines = 100,
    offset: Offset = 0,
) -> Page[JobEvent]:
    """The oldest first."""
    with database.reading() as session:
        return events_page(session, job, kind, limit, offset)


@router.post("/logs", status_code=201)
def add_lines(holder: Annotated[JobCaller, own_job()], batch: LogBatch, database: DatabaseDep) -> Stored:
    """Store a run's log lines; one that is sent again under its number is one line."""
    with database.writing() as session:
        store_lines(session, hold_job(session, holder), batch.lines)
    return Stored(count=len(batch.lines))


@router.get("/logs")
def read_lines(
    job: Annotated[tables.Job, owned_job("jobs:read")],
    database: DatabaseDep,
    after: After | None = None,
    level: Level | None = None,
    limit: ManyLines = 100,
    offset: Offset = 0,
) -> Page[LogLine]:
    """By attempt, then number."""
    with database.reading() as session:
        return lines_page(session, job, after, level, limit, offset)


@router.get("/errors")
def read_errors(job: Annotated[tables.Job, owned_job("jobs:read")], database: DatabaseDep) -> list[JobError]:
    """Whatever went wrong, of all attempts, the oldest first."""
    with database.reading() as session:
        return errors_of(session, job)
