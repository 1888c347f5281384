"""The training platform's paths for metrics: its trainers write them with the job token, its clients read them.

A number that is not finite is null in what is read here: the platform's clients know no word for it.
"""

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool
from starlette.responses import Response

from api import tables
from api.access.auth import DatabaseDep
from api.access.owned import JobId, Offset, find
from api.dialects.finetunelab.bodies import PointsBody, PointsOfBody
from api.dialects.finetunelab.jobs import MISSING, TrainingCaller, TrainingJob
from api.dialects.finetunelab.words import point_in_words
from api.given import Open, object_in, required, shape_of
from api.metric_body import NUMBERS, RawRoute, Row, quick_job_rows, quick_rows, row_of
from api.metric_formats import items_of
from api.metric_reads import Wanted, points, total
from api.openapi_words import OWN_WORDS
from api.problems import Problem
from api.routes.metrics import ManyPoints, TokenDigest, json_in, keep, own_run, rows_in
from tuneyard.shapes import MetricPoint, Reported
from tuneyard.values import NOT_FINITE

router = APIRouter(tags=["training platform"], route_class=RawRoute)
IN_BYTES = OWN_WORDS | {"response_model": Reported, "responses": {400: {}, 413: {}}}
EPOCH = 1 + NUMBERS.index("epoch")


def _job_is_named(request: Request, _: TrainingCaller) -> None:
    if not request.query_params.get("job_id"):
        raise Problem(400, "job_id query parameter is required")


@router.get(
    "/api/training/local/metrics",
    dependencies=[Depends(_job_is_named)],
    responses={400: {}, 404: {}},
    response_model=Open,
)
def read_metrics_of(
    caller: TrainingCaller,
    database: DatabaseDep,
    job_id: Annotated[str, Query(min_length=1)],
    limit: ManyPoints = 1000,
    offset: Offset = 0,
) -> Response:
    """A job's points by step."""
    with database.reading() as session:
        job = find(session, tables.Job, caller.workspace_id, job_id, MISSING)
    return _points(database, job, limit, offset)


@router.get("/api/training/local/{job_id}/metrics", response_model=Open)
@router.get("/api/training/jobs/{job_id}/metrics", response_model=Open)
def read_metrics(job: TrainingJob, database: DatabaseDep) -> Response:
    """A job's whole history by step."""
    return _points(database, job, None, 0)


def _points(database: DatabaseDep, job: tables.Job, limit: int | None, offset: int) -> Response:
    with database.reading() as session:
        found = points(session, job, Wanted(limit=limit, offset=offset))
        count = total(session, job)
    page = {"total": count, "limit": limit or count, "offset": offset}
    metrics = [point_in_words(item) for item in items_of(found, with_objects=True)]
    content = orjson.dumps({"job_id": job.id, "metrics": metrics} | page, option=orjson.OPT_UTC_Z)
    return Response(content, media_type="application/json")


@router.put("/api/training/local/{job_id}/metrics", **IN_BYTES)
@router.post("/api/training/jobs/{job_id}/metrics", **IN_BYTES)
async def write_metrics(
    request: Request,
    job_id: JobId,
    digest: TokenDigest,
    body: PointsBody = None,
) -> Response:
    """One point, or `metrics`: a list of them."""
    rows = await rows_in(body, quick_rows)
    if rows is None or not _have_epochs(rows):
        await own_run(request, job_id, MISSING)
        rows = await run_in_threadpool(_rows, _object(body))
    return await keep(request, digest, job_id, rows, MISSING)


@router.post("/api/training/local/metrics", **IN_BYTES | {"responses": {400: {}, 404: {}, 413: {}}})
async def write_metrics_of(request: Request, digest: TokenDigest, body: PointsOfBody = None) -> Response:
    """Points of the job that the body names, which must be the token's."""
    read = await rows_in(body, quick_job_rows)
    if read is None or not _have_epochs(read[1]):
        await own_run(request, None)
        given = _object(body)
        required(given, "job_id", "metrics")
        await own_run(request, str(given["job_id"]), MISSING)
        read = str(given["job_id"]), await run_in_threadpool(_rows, given)
    job_id, rows = read
    return await keep(request, digest, job_id, rows, MISSING)


def _have_epochs(rows: list[Row]) -> bool:
    return all(row[EPOCH] is not None for row in rows)


def _object(body: Any) -> Open:
    return object_in(None if body is None else json_in(body, strictly=False))


def _rows(given: Open) -> list[Row]:
    if "metrics" not in given:
        return [_row(given)]
    metrics = given["metrics"]
    if not isinstance(metrics, list) or not metrics:
        raise Problem(400, "metrics must be a list with at least one point")
    return [_row(object_in(point)) for point in metrics]


def _row(given: Open) -> Row:
    """A point; numbers under names that are no column of ours are kept in `extra`."""
    required(given, "step", "epoch")
    known = {
        name: value for name, value in given.items() if name in MetricPoint.model_fields and name != "extra"
    }
    others = {name: value for name, value in given.items() if name not in MetricPoint.model_fields}
    extra = given["extra"] if isinstance(given.get("extra"), dict) else {}
    return row_of(shape_of(MetricPoint, known | {"extra": _numbers(extra) | _numbers(others)}))


def _numbers(fields: Open) -> Open:
    return {
        name: value
        for name, value in fields.items()
        if type(value) in (int, float) or (isinstance(value, str) and value in NOT_FINITE)
    }
