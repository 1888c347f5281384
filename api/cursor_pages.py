"""Pages behind an object that the asker names: for clients that do not count rows. The newest first."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import String, cast
from sqlmodel import Session, col

from api.access.owned import owned
from api.problems import Problem
from api.tables import Dataset, Job
from tuneyard.shapes import JobKind


def rows_after(
    session: Session,
    query: Any,
    table: Any,
    after: str | None,
    limit: int,
    missing: str,
    *,
    upwards: bool = False,
) -> tuple[list[Any], bool]:
    """A query's rows behind the one whose id is `after`, and whether there are more; `upwards`: the oldest first.

    Raises:
        Problem: 404 with the text of `missing` where the query has no such row.
    """
    if after is not None:
        last = None if "\0" in after else session.exec(query.where(table.id == after)).first()
        if last is None:
            raise Problem(404, missing)
        query = query.where(table.pk > last.pk if upwards else table.pk < last.pk)
    order = table.pk.asc() if upwards else table.pk.desc()
    found = session.exec(query.order_by(order).limit(limit + 1)).all()
    return list(found[:limit]), len(found) > limit


def uploads_after(
    session: Session, workspace_id: int, after: str | None, limit: int, missing: str, *, upwards: bool
) -> tuple[list[Dataset], bool]:
    """Data sets that are kept here, with their files."""
    query = owned(Dataset, workspace_id).where(col(Dataset.file_name).is_not(None))
    return rows_after(session, query, Dataset, after, limit, missing, upwards=upwards)


def jobs_after(
    session: Session,
    workspace_id: int,
    kind: JobKind,
    labels: Mapping[str, str] | None,
    after: str | None,
    limit: int,
    missing: str,
) -> tuple[list[Job], bool]:
    """Jobs of one kind that have these labels among theirs; None: jobs that have none at all."""
    query = owned(Job, workspace_id).where(Job.kind == kind.value)
    if labels is None:
        query = query.where(cast(col(Job.labels), String) == "{}")
    for name, value in (labels or {}).items():
        query = query.where(col(Job.labels)[name].as_string() == value)
    return rows_after(session, query, Job, after, limit, missing)
