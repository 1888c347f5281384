"""Data sets: which rows a model was trained on, by digest."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from sqlmodel import col

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, key_or_token, needs
from api.access.caller import Caller, JobCaller
from api.access.owned import Limit, Offset, find, hold_job, owned, page, record
from api.identity import identity_of
from api.openapi_words import or_again
from api.strict_json import StrictRoute
from tuneyard.shapes import Dataset, NewDataset, Page
from tuneyard.values import NO_NUL

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"], route_class=StrictRoute)


@router.post("", status_code=201, responses=or_again(Dataset))
def create_dataset(
    who: Annotated[Caller | JobCaller, key_or_token("datasets:write")],
    new: NewDataset,
    database: DatabaseDep,
    response: Response,
) -> Dataset:
    """Record a data set; the same name, uri and sha256 again answer the one that is there, with 200."""
    identity = identity_of([new.name, new.uri, new.sha256])
    same = owned(tables.Dataset, who.workspace_id).where(tables.Dataset.identity == identity)
    with database.writing() as session:
        if isinstance(who, JobCaller):
            hold_job(session, who, live=True)
        row = tables.Dataset(**new.model_dump(), workspace_id=who.workspace_id, identity=identity)
        row, is_new = record(session, row, same, taken="That data set clashes with another")
        if is_new:
            record_event(session, who, "dataset.created", "dataset", row.id, name=row.name)
    if not is_new:
        response.status_code = 200
    return Dataset.model_validate(row)


@router.get("")
def list_datasets(
    caller: Annotated[Caller, needs("datasets:read")],
    database: DatabaseDep,
    limit: Limit = 50,
    offset: Offset = 0,
    name: Annotated[str | None, Query(max_length=255, pattern=NO_NUL)] = None,
) -> Page[Dataset]:
    """The newest first; with `name`, the versions of that one."""
    with database.reading() as session:
        query = owned(tables.Dataset, caller.workspace_id)
        if name is not None:
            query = query.where(tables.Dataset.name == name)
        return page(session, query, [col(tables.Dataset.pk).desc()], Dataset.model_validate, limit, offset)


@router.get("/{dataset_id}")
def get_dataset(
    caller: Annotated[Caller, needs("datasets:read")], dataset_id: str, database: DatabaseDep
) -> Dataset:
    """One version of a data set."""
    with database.reading() as session:
        row = find(session, tables.Dataset, caller.workspace_id, dataset_id, "Data set not found")
    return Dataset.model_validate(row)
