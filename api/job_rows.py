"""Jobs as they are read, made from their rows: what `shapes.Job` would be as JSON, in a tenth of its time.

The databases give out times and JSON as the text that they are or can be cast to, and it goes into the answer as it
is. `tests/test_job_rows.py` holds the answers equal to the shape's.
"""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cache
from typing import Any

import orjson
from sqlalchemy import JSON, Select, String, Text, bindparam, func, or_, type_coerce
from sqlalchemy import cast as as_type
from sqlalchemy import select as columns

from api.access.owned import NOT_DELETED
from api.database import Database
from api.problems import Problem
from api.tables import Job, UtcTime, progress_of
from api.waiting import WAITING, why_waiting
from tuneyard import shapes
from tuneyard.shapes import JobKind

_TABLE: Any = Job.__table__  # type: ignore[attr-defined]
FIELDS = ["pk", *(name for name in shapes.Job.model_fields if name in _TABLE.columns)]
_TIMES = [name for name in FIELDS if isinstance(_TABLE.columns[name].type, UtcTime)]
_OPEN = [name for name in FIELDS if isinstance(_TABLE.columns[name].type, JSON)]
Fields = dict[str, Any]
_HEARD_OF = (
    "created_at",
    "claimed_at",
    "launched_at",
    "started_at",
    "last_report_at",
    "heartbeat_at",
    "resumed_at",
    "ended_at",
)
_EMPTY = {name: b"[]" if name in ("gpu_uuids", "pids") else b"{}" for name in _OPEN}

# The numbers of a workspace's waiting jobs. With every kind named, the index answers alone.
_WAITING = (
    columns(_TABLE.columns["pk"])
    .where(_TABLE.columns["workspace_id"] == bindparam("workspace_id"))
    .where(or_(*(_TABLE.columns["kind"] == kind.value for kind in JobKind)))
    .where(or_(*(_TABLE.columns["status"] == status.value for status in WAITING)))
    .order_by(_TABLE.columns["pk"])
)


def _as_text(column: Any, is_sqlite: bool) -> Any:
    if column.name not in (*_TIMES, *_OPEN):
        return column
    text = type_coerce(column, String) if is_sqlite else as_type(column, Text)
    return text.label(column.name)


@cache
def _asking(is_sqlite: bool, *narrowed_by: str) -> Select[Any]:
    """The workspace's jobs for which each of those columns holds what is given for it."""
    shown = (_as_text(_TABLE.columns[name], is_sqlite) for name in FIELDS)
    return _narrowed(columns(*shown), narrowed_by)


@cache
def _counting(*narrowed_by: str) -> Select[Any]:
    return _narrowed(columns(func.count().label("jobs")).select_from(_TABLE), narrowed_by)


def _narrowed(query: Select[Any], names: Iterable[str]) -> Select[Any]:
    for name in ("workspace_id", *names):
        query = query.where(_TABLE.columns[name] == bindparam(name))
    return query.where(NOT_DELETED)


@cache
def _page(is_sqlite: bool, *narrowed_by: str) -> Select[Any]:
    newest = _asking(is_sqlite, *narrowed_by).order_by(_TABLE.columns["pk"].desc())
    return newest.limit(bindparam("limit")).offset(bindparam("offset"))


def find_job(database: Database, workspace_id: int, job_id: str) -> Fields:
    """The workspace's job; `explained` makes its answer.

    Raises:
        Problem: 404.
    """
    row = None
    if "\0" not in job_id:  # PostgreSQL refuses to be asked
        row = database.first_row(_asking(database.is_sqlite, "id"), workspace_id=workspace_id, id=job_id)
    if row is None:
        raise Problem(404, "Job not found")
    return job_of(row)


def jobs_page(database: Database, workspace_id: int, limit: int, offset: int, **wanted: str | None) -> bytes:
    """The newest jobs whose columns are as `wanted`, where that is not None."""
    given: dict[str, Any] = {name: value for name, value in wanted.items() if value is not None}
    given_in_all = {"workspace_id": workspace_id, **given}
    query = _page(database.is_sqlite, *given)
    jobs = [job_of(row) for row in database.all_rows(query, **given_in_all, limit=limit, offset=offset)]
    explain(database, workspace_id, jobs)
    for job in jobs:
        del job["pk"]
    total = database.first_row(_counting(*given), **given_in_all).jobs
    return orjson.dumps({"items": jobs, "total": total, "limit": limit, "offset": offset})


def job_of(row: Sequence[Any]) -> Fields:
    """A job's fields by name, and its row's number as `pk`."""
    job = dict(zip(FIELDS, row, strict=True))
    heard_of = [
        text for name in _HEARD_OF if (text := job[name])
    ]  # which sort as they are, in either database
    job["updated_at"] = _time(max(heard_of))
    for name in _TIMES:
        if job[name] is not None:
            job[name] = _time(job[name])
    for name in _OPEN:
        job[name] = orjson.Fragment(job[name] or _EMPTY[name])
    job |= {"submitted_at": job["created_at"], "finished_at": job["ended_at"], "error_traceback": None}
    if job["error"] and "Traceback" in job["error"]:
        job["error_traceback"] = job["error"]
    job["diverged"] = bool(job["diverged"])
    job["progress"] = progress_of(job["status"], job["total_steps"], job["current_step"])
    job["queue_position"] = None
    return job


def _time(text: str) -> str:
    """`2026-11-21 18:00:00.120000`, or PostgreSQL's `2026-11-21 18:00:00.12+00` -> `2026-11-21T18:00:00.120000Z`."""
    text = text.partition("+")[0].replace(" ", "T", 1)
    whole, _, part = text.partition(".")
    return f"{whole}Z" if part.strip("0") == "" else f"{whole}.{part:0<6}Z"


def explain(database: Database, workspace_id: int, jobs: Sequence[Fields]) -> None:
    """Say of those jobs of a workspace that wait what for, and how many are before them."""
    waiting = [job for job in jobs if job["status"] in WAITING]
    before = [row.pk for row in database.all_rows(_WAITING, workspace_id=workspace_id)] if waiting else []
    for job in waiting:
        place = job["queue_position"] = bisect_left(before, job["pk"])
        launched = job["launched_at"] and datetime.fromisoformat(job["launched_at"])
        reason = job["wait_reason"]
        job["wait_reason"] = reason or why_waiting(job["status"], launched, job["flow_run_id"], place)


def explained(database: Database, job: Fields, workspace_id: int) -> bytes:
    """One job's answer, looked up further where it waits."""
    explain(database, workspace_id, [job])
    return orjson.dumps({name: value for name, value in job.items() if name != "pk"})
