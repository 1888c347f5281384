"""Metrics: written by the run that holds the job's token, read with a key."""

import hashlib
from collections.abc import Callable, Coroutine, Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, Header, Query, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from pydantic import Discriminator, Tag, TypeAdapter, ValidationError
from starlette.responses import Response, StreamingResponse

from api import tables
from api.access.auth import DatabaseDep, admit, find_run, job_token_alone, token_to_check
from api.access.door import Door
from api.access.owned import JobId, Offset, demand_own, owned_job
from api.database import Database
from api.metric_body import RawBody, RawRequest, RawRoute, Row, quick_rows, row_of
from api.metric_formats import (
    MEDIA,
    Format,
    accepted,
    as_arrow,
    as_csv,
    as_parquet,
    chart_as_json,
    page_of_columns,
    page_of_rows,
)
from api.metric_reads import Wanted, chart, chunks, points, total
from api.metric_store import MetricStore
from api.strict_json import BrokenJson
from tuneyard.config_words import FORM
from tuneyard.shapes import (
    MetricBatch,
    MetricBuckets,
    MetricColumns,
    MetricPage,
    MetricPoint,
    Reported,
)
from tuneyard.values import ShownAs

QUICK = 2**18  # bytes that are read where they arrive; more goes to a thread


class ReportRoute(RawRoute):
    """A report that is all right is stored without FastAPI's looking for what the endpoint wants to be given, which
    takes as long as the rest of it. Any other, and who is refused, goes the long way."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()

        async def handle_quickly(request: Request) -> Response:
            if request.method == "GET":
                return await handle(request)
            raw = RawRequest(request.scope, request.receive)
            return await _stored(raw) or await handle(raw)

        return handle_quickly


async def _stored(request: RawRequest) -> Response | None:
    digest = job_token_alone(request)
    if digest is None or request.headers.get("content-type") != "application/json":
        return None
    body = await request.json()
    rows = quick_rows(body.data) if len(body.data) <= QUICK and not body.problem else None
    if rows is None:
        return None
    return await keep(request, digest, request.path_params["job_id"], rows)


router = APIRouter(prefix="/api/v1/jobs/{job_id}/metrics", tags=["metrics"], route_class=ReportRoute)


def _form(body: Any) -> str:
    is_batch = isinstance(body, MetricBatch) or (isinstance(body, dict) and "metrics" in body)
    return FORM + ("batch" if is_batch else "point")


PointOrBatch = Annotated[
    Annotated[MetricPoint, Tag(FORM + "point")] | Annotated[MetricBatch, Tag(FORM + "batch")],
    Discriminator(_form),
]
_CHECKED: TypeAdapter[MetricPoint | MetricBatch] = TypeAdapter(PointOrBatch)
ManyPoints = Annotated[int, Query(ge=1, le=5000)]
TokenDigest = Annotated[str, Depends(token_to_check)]
IN_BYTES: dict[str, Any] = {
    "response_model": Reported,
    "responses": {400: {}, 413: {}},
    "openapi_extra": {"requestBody": {"required": True}},
}


@router.put("", **IN_BYTES)
@router.post("", **IN_BYTES)
async def report_metrics(
    request: Request,
    job_id: JobId,
    digest: TokenDigest,
    body: Annotated[Any, Body(), ShownAs(PointOrBatch)] = None,
) -> Response:
    """Store one point or a batch of them, at most 8 MiB, as it is or gzipped; sending one again stores it once.

    Where one of a batch is wrong, none is stored.
    """
    rows = await rows_in(body, quick_rows)
    if rows is None:
        await own_run(request, job_id)
        rows = await run_in_threadpool(_checked, body)
    return await keep(request, digest, job_id, rows)


async def rows_in(body: Any, read: Any) -> Any:
    """What `read` makes of the bytes; None where it takes a closer look."""
    if not isinstance(body, RawBody) or body.problem:
        return None
    if len(body.data) > QUICK:
        return await run_in_threadpool(read, body.data)
    return read(body.data)


async def own_run(request: Request, job_id: str | None, missing: str = "Job not found") -> None:
    """Before a body is looked at more closely: that the token holds, and is that job's.

    Raises:
        Problem: 401 or 404.
    """
    door: Door = request.app.state.door
    holder = await door.look_up(find_run, request, door)
    if job_id is not None:
        await run_in_threadpool(demand_own, door.database, holder, job_id, missing)


def _checked(body: Any) -> list[Row]:
    value = json_in(body)
    try:
        read = _CHECKED.validate_python(value)
    except ValidationError as problem:
        errors = problem.errors(include_url=False, include_input=False, include_context=False)
        raise RequestValidationError(
            [error | {"loc": ("body", *error["loc"])} for error in errors], body=value
        ) from None
    return [row_of(point) for point in (read.metrics if isinstance(read, MetricBatch) else [read])]


def json_in(body: Any, *, strictly: bool = True) -> Any:
    """A body's JSON; where it is none, a BrokenJson, or strictly a refusal.

    Raises:
        Problem: 413 or 400 for bytes that cannot be taken.
        RequestValidationError: There is no body.
    """
    if isinstance(body, RawBody):
        if body.problem:
            raise body.problem
        value = body.read()
        if strictly and isinstance(value, BrokenJson):
            raise RequestValidationError([], body=value)
        return value
    if body is None:
        raise RequestValidationError([{"loc": ("body",), "msg": "Field required", "type": "missing"}])
    return body


async def keep(
    request: Request,
    digest: str,
    job_id: str | None,
    rows: list[Row],
    missing: str = "Job not found",
) -> Response:
    """Have a run's rows stored, and say so after the commit.

    Raises:
        Problem: 401 for a token that is none or another job's; 404 for a job that is not there.
    """
    door: Door = request.app.state.door
    store: MetricStore = request.app.state.metrics
    written = await store.write(digest, job_id, rows)
    if written.status and written.who:
        request.app.state.feeds.tell(written.who.workspace_id, written.who.job_id)
    holder = await door.look_up(admit, request, door, written.who)
    if not written.status:
        await run_in_threadpool(demand_own, door.database, holder, job_id or "", missing)
    request.app.state.counts.stored(len(rows), int(request.headers.get("content-length") or 0))
    content = f'{{"success":true,"count":{len(rows)},"job_status":"{written.status}"}}'
    return Response(content, media_type="application/json")


Chosen = Annotated[
    str | None,
    Query(
        max_length=2000,
        description="Names with commas between: columns, or what stands in `extra`; default: all.",
    ),
]
Cursor = Annotated[str | None, Query(pattern="^[0-9]{1,16}$", description="The page before's `next_cursor`.")]
Most = Annotated[
    int | None,
    Query(
        ge=1,
        le=5000,
        description="In place of points: at most so many buckets, each with n, min, max and mean.",
    ),
]
How = Annotated[Format | None, Query(description="Default: what `Accept` names, else json.")]
SomePoints = Annotated[
    int | None, Query(ge=1, le=10_000, description="Default: 1000; for csv, arrow and parquet: all.")
]


@router.get(
    "",
    response_model=MetricPage | MetricColumns | MetricBuckets,
    responses={
        200: {"content": {media: {} for media in MEDIA.values() if media != "application/json"}},
        304: {"description": "As it was when it had that ETag."},
    },
)
def read_metrics(
    job: Annotated[tables.Job, owned_job("metrics:read")],
    database: DatabaseDep,
    limit: SomePoints = None,
    offset: Offset = 0,
    cursor: Cursor = None,
    columns: Chosen = None,
    attempt: Annotated[int | None, Query(ge=0, le=2**31 - 1)] = None,
    buckets: Most = None,
    format: How = None,  # noqa: A002
    accept: Annotated[str, Header()] = "",
    if_none_match: Annotated[str, Header()] = "",
) -> Response:
    """By step. Of a step that a resumed run has reported again, the newest attempt's point.

    A number that is not finite is "NaN", "Infinity" or "-Infinity". `buckets` reads what is kept summed up, as JSON.
    """
    how = format or accepted(accept)
    named = tuple(dict.fromkeys(filter(None, columns.split(",")))) if columns else None
    after = None if cursor is None else int(cursor)
    wanted = Wanted(named, attempt, after, limit, offset)
    tag = _tag(job, wanted, buckets, how)
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept"}
    if tag in (given.strip().removeprefix("W/") for given in if_none_match.split(",")):
        return Response(status_code=304, headers=headers)
    if buckets is not None:
        with database.reading() as session:
            content = chart_as_json(chart(session, job, buckets, attempt), named)
        return Response(content, headers=headers, media_type="application/json")
    if how in (Format.JSON, Format.COLUMNS):
        return Response(_page(database, job, wanted, how), headers=headers, media_type="application/json")
    return StreamingResponse(_stream(database, job, wanted, how), headers=headers, media_type=MEDIA[how])


def _tag(job: tables.Job, wanted: Wanted, buckets: int | None, how: Format) -> str:
    """Changes with every write of the job's metrics."""
    what = repr((job.pk, job.attempt, job.metrics_version, wanted, buckets, how.value))
    return f'"{hashlib.blake2b(what.encode(), digest_size=12).hexdigest()}"'


def _page(database: Database, job: tables.Job, wanted: Wanted, how: Format) -> bytes:
    limit = wanted.limit or 1000
    with database.reading() as session:
        found = points(session, job, wanted.limited(limit, by_row=how is Format.JSON))
        page = {
            "total": total(session, job, wanted.attempt),
            "limit": limit,
            "offset": wanted.offset,
            "next_cursor": None if found.next_step is None else str(found.next_step),
        }
    return page_of_rows(found, page) if how is Format.JSON else page_of_columns(found, page)


def _stream(database: Database, job: tables.Job, wanted: Wanted, how: Format) -> Iterator[bytes]:
    found = chunks(database, job, wanted)
    if how is Format.CSV:
        return as_csv(found)
    return as_arrow(found, wanted) if how is Format.ARROW else as_parquet(found, wanted)
