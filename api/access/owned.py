"""The one door to rows: whatever is read or written is narrowed to the caller's workspace here.

Another workspace's object is not found, in the very words of one that never was.
"""

import re
from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Path, Query
from sqlalchemy import bindparam, func
from sqlalchemy import select as columns
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, SQLModel, col, or_, select
from sqlmodel.sql.expression import SelectOfScalar

from api.access.auth import DatabaseDep, key_or_token, needs, token_holder
from api.access.caller import Caller, JobCaller
from api.database import Database
from api.problems import Problem
from api.tables import Artifact, AuditEvent, Job, Workspace, token_is_over
from tuneyard.shapes import JobStatus, Page
from tuneyard.values import CLIENT_ID

Stored = TypeVar("Stored", bound=SQLModel)
Shown = TypeVar("Shown")

_JOB = columns(*Job.__table__.c).where(  # type: ignore[attr-defined]
    col(Job.workspace_id) == bindparam("workspace_id"),
    col(Job.id) == bindparam("id"),
    col(Job.deleted_at).is_(None),
)
# Only a cancelling job is there and deleted. Its state is in the index that counts are read from; asked of each row,
# whether it is deleted takes a list of 100 000 jobs fourteen times as long.
NOT_DELETED = or_(col(Job.status) != JobStatus.CANCELLING.value, col(Job.deleted_at).is_(None))
Limit = Annotated[int, Query(ge=1, le=100)]
Offset = Annotated[int, Query(ge=0, le=2**53)]
# What a path may name: an id, or a word of ours as `$schema`, which is not there for every method.
_NAMED = CLIENT_ID.replace("^[", "^[$")
KeptId = Annotated[
    str, Path(description="What can be no id is refused with 400.", json_schema_extra={"pattern": _NAMED})
]
JobId = Annotated[str, Path(description="The job's id.")]


def owned(table: type[Stored], workspace_id: int) -> SelectOfScalar[Stored]:
    """A select of the workspace's rows alone. A job that was deleted is none of them, from that moment on."""
    query = select(table).where(table.workspace_id == workspace_id)  # type: ignore[attr-defined]
    return query.where(NOT_DELETED) if table is Job else query


def every_job(workspace_id: int) -> SelectOfScalar[Job]:
    """Also those that were deleted while their runs were at work, until these have stopped."""
    return select(Job).where(Job.workspace_id == workspace_id)


def find(session: Session, table: type[Stored], workspace_id: int, object_id: str, missing: str) -> Stored:
    """The workspace's object of that id, or 404 with the text of `missing`."""
    row = find_any(session, table, workspace_id, object_id)
    if row is None:
        raise Problem(404, missing)
    return row


def demand_id(object_id: str) -> None:
    """400 for what can be nobody's id, in the words that seed 002's clients know."""
    if not re.fullmatch(_NAMED, object_id):
        raise Problem(400, f"Invalid ULID format: {object_id[:100]}", type="urn:tuneyard:error:invalid-ulid")


def find_any(session: Session, table: type[Stored], workspace_id: int, object_id: str) -> Stored | None:
    """The workspace's object of that id, if there is one."""
    if "\0" in object_id:  # PostgreSQL refuses to be asked
        return None
    return session.exec(owned(table, workspace_id).where(table.id == object_id)).first()  # type: ignore[attr-defined]


def find_job_row(database: Database, workspace_id: int, job_id: str) -> Any:
    """The workspace's job as the table's columns, without an object around them: read in a fifth of the time.

    Raises:
        Problem: 404.
    """
    row = None
    if "\0" not in job_id:
        row = database.first_row(_JOB, workspace_id=workspace_id, id=job_id)
    if row is None:
        raise Problem(404, "Job not found")
    return row


def is_anothers_job(session: Session, workspace_id: int, job_id: str) -> bool:
    """Whether other workspaces have a job of that id, or deleted one, and this one never did: what lies in the job's
    folder is theirs."""
    deleted = select(AuditEvent.workspace_id).where(
        col(AuditEvent.workspace_id).in_(select(Workspace.pk)),  # what the events' index begins with
        AuditEvent.object_kind == "job",
        AuditEvent.object_id == job_id,
        col(AuditEvent.action).in_(("job.deleted", "test.deleted")),
    )
    holders = {*session.exec(select(Job.workspace_id).where(Job.id == job_id)), *session.exec(deleted)}
    return bool(holders) and workspace_id not in holders


def is_used_elsewhere(session: Session, artifact: Artifact, above: Sequence[str]) -> bool:
    """Whether another artifact, of whichever workspace, lies at the same place, in it, or around it."""
    uri = artifact.uri.rstrip("/")
    there = col(Artifact.uri).in_([uri, uri + "/", *above, *(f"{one}/" for one in above)])
    inside = col(Artifact.uri).startswith(uri + "/", autoescape=True)
    return (
        session.exec(select(Artifact.pk).where(Artifact.pk != artifact.pk, there | inside)).first()
        is not None
    )


def record(session: Session, row: Stored, same: SelectOfScalar[Stored], taken: str) -> tuple[Stored, bool]:
    """Store a row, unless `same` finds it stored already; (the row that is there, whether it is new).

    Two that record the same at once get one row. A row that clashes with another than `same` is a 409 with the
    text of `taken`.
    """
    if found := session.exec(same).first():
        return found, False
    try:
        with session.begin_nested():
            session.add(row)
    except IntegrityError:
        if found := session.exec(same).first():
            return found, False
        raise Problem(409, taken) from None
    return row, True


def page(
    session: Session,
    query: Any,
    order: Sequence[Any],
    show: Callable[[Any], Shown],
    limit: int,
    offset: int,
) -> Page[Shown]:
    """One page of a query, and how many rows it has in all."""
    total = session.exec(select(func.count()).select_from(query.subquery())).one()
    rows = session.exec(query.order_by(*order).limit(limit).offset(offset)).all()
    items = [show(row) for row in rows]
    return Page(items=items, total=total, limit=limit, offset=offset)


def owned_job(permission: str, *, scope: str | None = None, missing: str = "Job not found") -> Any:
    """Declares that a route is about the job its path names, which the caller's key must be allowed to see.

    In the signature it comes before the body, so that a missing job is told before a wrong body.
    """

    def load(
        job_id: JobId, caller: Annotated[Caller, needs(permission, scope)], database: DatabaseDep
    ) -> Job:
        with database.reading() as session:
            return find(session, Job, caller.workspace_id, job_id, missing)

    return Depends(load)


def own_job(missing: str = "Job not found") -> Any:
    """Declares that a route is for the run that holds the token of the job its path names."""

    def check(
        job_id: JobId, holder: Annotated[JobCaller, Depends(token_holder)], database: DatabaseDep
    ) -> JobCaller:
        demand_own(database, holder, job_id, missing)
        return holder

    return Depends(check)


def demand_own(database: DatabaseDep, holder: JobCaller, job_id: str, missing: str = "Job not found") -> None:
    """401 where the token is another job's than this one of its workspace; 404 where there is no such job."""
    if job_id == holder.job_id:
        return
    with database.reading() as session:
        find(session, Job, holder.workspace_id, job_id, missing)
    raise Problem(401, "Unauthorized: Invalid token")


def job_or_own(permission: str) -> Any:
    """Declares a route about one job, for a key with the permission or for the run that holds its token."""

    def load(
        job_id: JobId, who: Annotated[Caller | JobCaller, key_or_token(permission)], database: DatabaseDep
    ) -> Caller | JobCaller:
        if isinstance(who, JobCaller):
            demand_own(database, who, job_id)
            return who
        with database.reading() as session:
            find(session, Job, who.workspace_id, job_id, "Job not found")
        return who

    return Depends(load)


def lock_job(session: Session, workspace_id: int, job_id: str, *, also_deleted: bool = False) -> Job:
    """The job, and nobody else changes it until this transaction ends."""
    jobs = every_job(workspace_id) if also_deleted else owned(Job, workspace_id)
    job = session.exec(jobs.where(Job.id == job_id).with_for_update()).first()
    if job is None:
        raise Problem(404, "Job not found")
    return job


def hold_job(session: Session, holder: JobCaller, *, live: bool = False) -> Job:
    """The run's job, locked: the last word on whether its token still holds.

    A newer attempt may have claimed it since the token was looked up; what an old one still sends must not be
    stored after that.

    Raises:
        Problem: 401 where the token is dead by now; with `live`, also where the job has ended.
    """
    job = lock_job(session, holder.workspace_id, holder.job_id, also_deleted=True)
    ended = live and JobStatus(job.status).is_final
    if job.token_digest != holder.token_digest or ended or token_is_over(job.ended_at):
        raise Problem(401, "Unauthorized: Invalid token")
    return job
