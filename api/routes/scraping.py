"""`/metrics`, for Prometheus: what the server has done, and how the key's workspace stands."""

from typing import Annotated

from fastapi import APIRouter, Request
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.responses import PlainTextResponse, Response

from api.access.auth import DatabaseDep, SettingsDep, needs
from api.access.caller import Caller
from api.counts import Counts
from api.scrape import Workspace
from api.strict_json import StrictRoute

router = APIRouter(tags=["system"], route_class=StrictRoute)


@router.get("/metrics", response_class=PlainTextResponse)
def scrape(
    caller: Annotated[Caller, needs("server:read")],
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
) -> Response:
    """In Prometheus's text format. Requests, reports and refusals are all the server's since its start; jobs, the
    queue, tests and cards are the workspace's, as they are now."""
    counts: Counts = request.app.state.counts
    with database.reading() as session:
        workspace = Workspace(session, caller.workspace_id, settings).shown()
    return Response(counts.shown() + workspace, headers={"Content-Type": CONTENT_TYPE_PLAIN_0_0_4})
