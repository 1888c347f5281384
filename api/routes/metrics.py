"""Metrics: written by the run that holds the job's token, read with a key."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter, Query
from pydantic import Discriminator, Tag

from api import tables
from api.access.auth import DatabaseDep
from api.access.caller import JobCaller
from api.access.owned import Offset, hold_job, own_job, owned_job
from api.lifecycle import Event
from api.metric_store import history, store
from api.moves import move
from api.problems import FORM
from api.strict_json import StrictRoute
from tuneyard.shapes import JobStatus, MetricBatch, MetricPoint, MetricRow, Page, Reported

router = APIRouter(prefix="/jobs/{job_id}/metrics", tags=["metrics"], route_class=StrictRoute)


def _form(body: Any) -> str:
    is_batch = isinstance(body, MetricBatch) or (isinstance(body, dict) and "metrics" in body)
    return FORM + ("batch" if is_batch else "point")


PointOrBatch = Annotated[
    Annotated[MetricPoint, Tag(FORM + "point")] | Annotated[MetricBatch, Tag(FORM + "batch")],
    Discriminator(_form),
]
ManyPoints = Annotated[int, Query(ge=1, le=5000)]


@router.put("")
@router.post("")
def report_metrics(
    holder: Annotated[JobCaller, own_job()], body: PointOrBatch, database: DatabaseDep
) -> Reported:
    """Store one point or a batch of them; sending one again stores it once."""
    points = body.metrics if isinstance(body, MetricBatch) else [body]
    return report(database, holder, points)


def report(database: DatabaseDep, holder: JobCaller, points: Sequence[MetricPoint]) -> Reported:
    """Store a run's points. The first turns its job running; those that come late, once it has ended, do not."""
    with database.writing() as session:
        job = hold_job(session, holder)
        move(job, Event.REPORT)
        store(session, job, points)
        job.last_report_at = tables.now()
    return Reported(count=len(points), job_status=JobStatus(job.status))


@router.get("")
def read_metrics(
    job: Annotated[tables.Job, owned_job("metrics:read")],
    database: DatabaseDep,
    limit: ManyPoints = 1000,
    offset: Offset = 0,
) -> Page[MetricRow]:
    """By step. Of a step that a resumed run has reported again, the newest attempt's point."""
    with database.reading() as session:
        return history(session, job.pk, limit, offset)
