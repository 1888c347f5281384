"""Readings of GPU hosts."""

from typing import Annotated

from fastapi import APIRouter
from sqlalchemy import func, tuple_
from sqlmodel import col, select

from api import tables
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import owned
from api.database import insert_into
from api.strict_json import StrictRoute
from tuneyard.shapes import HostSample, HostSampleBatch, Stored

router = APIRouter(prefix="/gpus", tags=["gpus"], route_class=StrictRoute)


@router.post("/samples", status_code=201)
def add_samples(
    caller: Annotated[Caller, needs("gpus:write")], batch: HostSampleBatch, database: DatabaseDep
) -> Stored:
    """Store readings; the same host and moment again change nothing."""
    rows = [sample.model_dump() | {"workspace_id": caller.workspace_id} for sample in batch.samples]
    with database.writing() as session:
        insert = insert_into(session, tables.HostSample.__table__)  # type: ignore[attr-defined]
        session.connection().execute(insert.on_conflict_do_nothing(), rows)
    return Stored(count=len(rows))


@router.get("")
def newest_samples(caller: Annotated[Caller, needs("gpus:read")], database: DatabaseDep) -> list[HostSample]:
    """The newest reading of each host, by its name."""
    sample = tables.HostSample
    newest = (
        select(sample.host, func.max(sample.taken_at))
        .where(sample.workspace_id == caller.workspace_id)
        .group_by(col(sample.host))
    )
    query = owned(sample, caller.workspace_id).where(
        tuple_(col(sample.host), col(sample.taken_at)).in_(newest)
    )
    with database.reading() as session:
        rows = session.exec(query.order_by(col(sample.host))).all()
    return [HostSample.model_validate(row.model_dump(exclude={"pk", "workspace_id"})) for row in rows]
