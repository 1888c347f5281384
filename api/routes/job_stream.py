"""A job as it goes on: its state and its metrics, sent as they come (server-sent events)."""

from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from api import tables
from api.access.auth import DoorDep, needs
from api.access.caller import Caller
from api.access.owned import JobId, demand_id, owned_job
from api.askers import words_of
from api.job_followers import Feeds, Follower
from api.job_marks import MARK, Mark

router = APIRouter(prefix="/api/v1/jobs/{job_id}", tags=["jobs"])
HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

Last = Annotated[str | None, Header(pattern=MARK, description="The id of the last event that came.")]
WithPoints = Annotated[bool, Query(description="false: the state alone.")]
FromStart = Annotated[bool, Query(description="false: of the points, only those that come from now on.")]


def _demand_id(job_id: JobId) -> None:
    demand_id(job_id)


@router.get(
    "/$stream",
    response_class=Response,
    responses={
        400: {},
        200: {"content": {"text/event-stream": {}}, "description": "Events, until the job has ended."},
        204: {"description": "The job has ended, and all of it was sent before."},
    },
)
async def stream_job(
    request: Request,
    caller: Annotated[Caller, needs("metrics:read")],
    _could_be: Annotated[None, Depends(_demand_id)],
    job: Annotated[tables.Job, owned_job("metrics:read")],
    door: DoorDep,
    last_event_id: Last = None,
    metrics: WithPoints = True,
    history: FromStart = True,
) -> Response:
    """`state`: the job, as it is read; `metrics`: a list of points by attempt and step, one that was filled in since
    once more; `note`: why the stream ends before the job has. With `Last-Event-ID` it goes on behind that event.

    Of a job that was asked for in another system's words, the state alone is told, and in those words.
    """
    feeds: Feeds = request.app.state.feeds
    feed = await feeds.of(job.workspace_id, job.id)
    mark = Mark.read(last_event_id) if last_event_id else None
    if mark is None and not history:
        mark = feed.mark.without_state()
    may_stay = partial(door.look_up, door.still_in, caller)
    words = words_of(request, job.labels)
    follower = Follower(door.database, feed, mark, metrics and words is None, may_stay)
    if follower.has_it_all:
        return Response(status_code=204)
    events = follower.events() if words is None else words.told(follower.events())
    return StreamingResponse(events, headers=HEADERS, media_type="text/event-stream")
