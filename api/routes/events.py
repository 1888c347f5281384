"""The audit trail, to read. Events are added beside the acts themselves, and never changed."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlmodel import col, or_

from api import tables
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import Limit, Offset, owned, page
from api.strict_json import StrictRoute
from tuneyard.shapes import AuditEvent, Page
from tuneyard.values import NO_NUL, Time

router = APIRouter(prefix="/api/v1/events", tags=["audit"], route_class=StrictRoute)

Name = Annotated[str, Query(max_length=255, pattern=NO_NUL)]
Actor = Annotated[str, Query(max_length=255, pattern=NO_NUL, description="The actor's id or name.")]
Since = Annotated[Time, Query(description="Events of this moment and later.")]
Until = Annotated[Time, Query(description="Events before this moment.")]


@router.get("")
def list_events(
    caller: Annotated[Caller, needs("events:read")],
    database: DatabaseDep,
    action: Name | None = None,
    actor: Actor | None = None,
    object_kind: Name | None = None,
    object_id: Name | None = None,
    since: Since | None = None,
    until: Until | None = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[AuditEvent]:
    """The newest first. A batch test's events are under `object_kind=job`, as it is one."""
    event = tables.AuditEvent
    query = owned(event, caller.workspace_id)
    exact = (event.action, action), (event.object_kind, object_kind), (event.object_id, object_id)
    for column, value in exact:
        if value is not None:
            query = query.where(column == value)
    if actor is not None:
        query = query.where(or_(event.actor_id == actor, event.actor_name == actor))
    if since is not None:
        query = query.where(col(event.at) >= since)
    if until is not None:
        query = query.where(col(event.at) < until)
    with database.reading() as session:
        return page(session, query, [col(event.pk).desc()], AuditEvent.model_validate, limit, offset)
