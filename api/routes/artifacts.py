"""Artifacts: what jobs made, where it lies and what it was made from."""

from typing import Annotated

from fastapi import APIRouter, Response
from sqlmodel import col

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, key_or_token, needs
from api.access.caller import Caller, JobCaller
from api.access.owned import Limit, Offset, find, hold_job, owned, page, record
from api.identity import identity_of
from api.openapi_words import or_again
from api.strict_json import StrictRoute
from tuneyard.shapes import Artifact, NewArtifact, Page

router = APIRouter(prefix="/artifacts", tags=["artifacts"], route_class=StrictRoute)


@router.post("", status_code=201, responses=or_again(Artifact) | {404: {}})
def create_artifact(
    who: Annotated[Caller | JobCaller, key_or_token("artifacts:write")],
    new: NewArtifact,
    database: DatabaseDep,
    response: Response,
) -> Artifact:
    """Record an artifact; written with a job token, it is that job's. The very same again answers 200."""
    job_id = who.job_id if isinstance(who, JobCaller) else None
    identity = identity_of([new.model_dump(), job_id])
    same = owned(tables.Artifact, who.workspace_id).where(tables.Artifact.identity == identity)
    with database.writing() as session:
        if isinstance(who, JobCaller):
            hold_job(session, who, live=True)
        if new.parent_id is not None:
            find(session, tables.Artifact, who.workspace_id, new.parent_id, "Parent artifact not found")
        row = tables.Artifact(
            **new.model_dump(), workspace_id=who.workspace_id, identity=identity, job_id=job_id
        )
        row, is_new = record(session, row, same, taken="That artifact clashes with another")
        if is_new:
            record_event(session, who, "artifact.created", "artifact", row.id, name=row.name)
    if not is_new:
        response.status_code = 200
    return Artifact.model_validate(row)


@router.get("")
def list_artifacts(
    caller: Annotated[Caller, needs("artifacts:read")],
    database: DatabaseDep,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[Artifact]:
    """The newest first."""
    with database.reading() as session:
        query = owned(tables.Artifact, caller.workspace_id)
        return page(session, query, [col(tables.Artifact.pk).desc()], Artifact.model_validate, limit, offset)


@router.get("/{artifact_id}")
def get_artifact(
    caller: Annotated[Caller, needs("artifacts:read")], artifact_id: str, database: DatabaseDep
) -> Artifact:
    with database.reading() as session:
        row = find(session, tables.Artifact, caller.workspace_id, artifact_id, "Artifact not found")
    return Artifact.model_validate(row)
