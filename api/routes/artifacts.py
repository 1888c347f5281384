"""Artifacts: what jobs made, where it lies and what it was made from."""

import json
from pathlib import PurePosixPath
from typing import Annotated, Any

from fastapi import APIRouter, Response
from pydantic import Discriminator, Tag
from sqlmodel import Session, col

from api import lineage, tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, PlaceDep, key_or_token, needs
from api.access.caller import Caller, JobCaller
from api.access.owned import KeptId, Limit, Offset, demand_id, find, hold_job, owned, page, record
from api.artifact_removal import delete_row, remove_files
from api.identity import identity_of
from api.numbered_pages import NumbersDep
from api.openapi_words import or_again
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.config_words import FORM
from tuneyard.shapes import Artifact, NewArtifact, NewArtifactData, NumberedPage, Page

router = APIRouter(prefix="/api/v1/artifacts", tags=["artifacts"], route_class=StrictRoute)


def _form(body: Any) -> str:
    is_data = isinstance(body, NewArtifactData) or (isinstance(body, dict) and "data" in body)
    return FORM + ("data" if is_data else "artifact")


Recording = Annotated[
    Annotated[NewArtifact, Tag(FORM + "artifact")] | Annotated[NewArtifactData, Tag(FORM + "data")],
    Discriminator(_form),
]


@router.post("", status_code=201, responses=or_again(Artifact) | {404: {}})
def create_artifact(
    who: Annotated[Caller | JobCaller, key_or_token("artifacts:write")],
    asked: Recording,
    database: DatabaseDep,
    response: Response,
) -> Artifact:
    """Record an artifact; written with a job token, it is that job's. The very same again answers 200."""
    new = _sound(_in_full(asked) if isinstance(asked, NewArtifactData) else asked)
    job_id = who.job_id if isinstance(who, JobCaller) else None
    identity = identity_of([new.model_dump(), job_id])
    same = owned(tables.Artifact, who.workspace_id).where(tables.Artifact.identity == identity)
    with database.writing() as session:
        job = hold_job(session, who, live=True) if isinstance(who, JobCaller) else None
        level = _level_under(session, who.workspace_id, new.parent_id)
        said = new.model_dump(exclude={"id"}) | {"identity": identity}
        earlier = _of_earlier_attempt(session, job, new)
        if earlier is not None:
            if earlier.identity != identity:
                _tell_anew(earlier, said)
                record_event(session, who, "artifact.changed", "artifact", earlier.id, name=earlier.name)
            return _again(response, earlier, level)
        key = new.id or _given_for(session, job) or tables.new_id()
        _demand_no_other_job_s(session, who.workspace_id, key, job_id)
        row = tables.Artifact(**said, id=key, workspace_id=who.workspace_id, job_id=job_id)
        row, is_new = record(session, row, same, taken=f"There is another artifact with the id {key} already")
        if is_new:
            record_event(session, who, "artifact.created", "artifact", row.id, name=row.name)
            _link_to_config(session, job, row)
    return shown(row, level) if is_new else _again(response, row, level)


def _again(response: Response, row: tables.Artifact, level: int) -> Artifact:
    response.status_code = 200
    return shown(row, level)


def _in_full(asked: NewArtifactData) -> NewArtifact:
    """One that has no files: what is said of it is all that it is."""
    artifact_id, name = asked.id or tables.new_id(), asked.data.get("name")
    return NewArtifact(
        id=artifact_id,
        kind="predictions" if "predictions" in asked.data else "report",
        name=name[:255] if isinstance(name, str) and name else artifact_id,
        uri=f"urn:tuneyard:artifact:{artifact_id}",
        size_bytes=len(json.dumps(asked.data)),
        parent_id=asked.parent_id,
        details=asked.data,
    )


def _of_earlier_attempt(session: Session, job: tables.Job | None, new: NewArtifact) -> tables.Artifact | None:
    """What an earlier attempt at the job recorded under the id that the job was given: a later one makes it again, in
    the same folder, and what was said of it at the time holds no more."""
    if job is None or new.id is None or new.id != job.artifact_id:
        return None
    mine = owned(tables.Artifact, job.workspace_id).where(tables.Artifact.job_id == job.id)
    row = session.exec(mine.where(tables.Artifact.id == new.id)).first()
    if row is not None and (row.kind, row.parent_id) != (new.kind, new.parent_id):
        _demand_no_children(session, row, new)
    return row


def _demand_no_children(session: Session, row: tables.Artifact, new: NewArtifact) -> None:
    """409 where something was made from it already: it stays what it is then, and no ring comes of its new parent."""
    children = owned(tables.Artifact, row.workspace_id).where(tables.Artifact.parent_id == row.id)
    if new.parent_id == row.id or session.exec(children).first():
        raise Problem(409, f"The artifact {row.id} stays a {row.kind}, made from what it was made from")


def _tell_anew(row: tables.Artifact, said: dict[str, Any]) -> None:
    for name, value in said.items():
        setattr(row, name, value)


def _given_for(session: Session, job: tables.Job | None) -> str | None:
    """The id that the run's job was given for what it makes, unless that is there already."""
    if job is None or job.artifact_id is None:
        return None
    taken = owned(tables.Artifact, job.workspace_id).where(tables.Artifact.id == job.artifact_id)
    return None if session.exec(taken).first() else job.artifact_id


def _demand_no_other_job_s(session: Session, workspace_id: int, key: str, job_id: str | None) -> None:
    promised = owned(tables.Job, workspace_id).where(tables.Job.artifact_id == key, tables.Job.id != job_id)
    if session.exec(promised).first():
        raise Problem(409, f"The id {key} is kept for what another job makes", field="id")


def _link_to_config(session: Session, job: tables.Job | None, row: tables.Artifact) -> None:
    """What was made with a kept config is among that config's artifacts."""
    if job is None or job.config_id is None:
        return
    kept = session.exec(
        owned(tables.Config, job.workspace_id).where(tables.Config.id == job.config_id)
    ).first()
    if kept is not None:
        link = {"config_pk": kept.pk, "artifact_pk": row.pk, "workspace_id": job.workspace_id}
        session.add(tables.ConfigArtifact(**link))


def _sound(new: NewArtifact) -> NewArtifact:
    """The same, its files by path. (Refused with 409: no schema can tell a client that this is wrong.)"""
    paths = {file.path for file in new.files}
    if len(paths) < len(new.files):
        raise Problem(409, "a path is named twice", field="files")
    for path in paths:
        if above := [str(folder) for folder in PurePosixPath(path).parents if str(folder) in paths]:
            raise Problem(409, f"{above[0]} is named as a file and as the folder of {path}", field="files")
    there = sum(file.size_bytes for file in new.files)
    if new.files and new.size_bytes != there:
        raise Problem(409, f"its files have {there} bytes together, not {new.size_bytes}", field="size_bytes")
    return new.model_copy(update={"files": sorted(new.files, key=lambda file: file.path)})


def _level_under(session: Session, workspace_id: int, parent_id: str | None) -> int:
    if parent_id is None:
        return 0
    find(session, tables.Artifact, workspace_id, parent_id, "Parent artifact not found")
    level = lineage.levels(session, workspace_id, [parent_id])[parent_id] + 1
    if level > lineage.DEEPEST:
        raise Problem(
            409, f"The parent has {lineage.DEEPEST} ancestors already, which is the most there may be"
        )
    return level


def shown(row: tables.Artifact, level: int) -> Artifact:
    return Artifact.model_validate(row).model_copy(update={"level": level})


@router.get("", responses={409: {}})
def list_artifacts(
    caller: Annotated[Caller, needs("artifacts:read")],
    database: DatabaseDep,
    numbers: NumbersDep,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[Artifact] | NumberedPage[Artifact]:
    """The newest first, without their content."""
    if numbers is not None:
        limit, offset = numbers.size, numbers.offset
    with database.reading() as session:
        query = owned(tables.Artifact, caller.workspace_id).options(lineage.WITHOUT_FILES)
        newest = [col(tables.Artifact.pk).desc()]
        found = page(session, query, newest, lambda row: shown(row, 0).without_content(), limit, offset)
        levels = lineage.levels(session, caller.workspace_id, [one.id for one in found.items])
    for one in found.items:
        one.level = levels[one.id]
    return found if numbers is None else numbers.of(found, found.items)


def find_artifact(session: Session, caller: Caller, artifact_id: str) -> tables.Artifact:
    demand_id(artifact_id)
    return find(session, tables.Artifact, caller.workspace_id, artifact_id, "Artifact not found")


@router.get("/{artifact_id}", responses={400: {}})
def get_artifact(
    caller: Annotated[Caller, needs("artifacts:read")], artifact_id: KeptId, database: DatabaseDep
) -> Artifact:
    """What it is, where it lies and what it was made from."""
    with database.reading() as session:
        row = find_artifact(session, caller, artifact_id)
        level = lineage.levels(session, caller.workspace_id, [row.id])[row.id]
    return shown(row, level)


@router.delete("/{artifact_id}", status_code=204, responses={400: {}})
def delete_artifact(
    caller: Annotated[Caller, needs("artifacts:write")],
    artifact_id: KeptId,
    database: DatabaseDep,
    place: PlaceDep,
) -> None:
    """Only one that no alias stands for, nothing was made from and no job works with. Its files go where they lie in
    the API's own place and are no other artifact's; copies on other hosts stay."""
    with database.writing() as session:
        row = find_artifact(session, caller, artifact_id)
        files = delete_row(session, caller, row, place)
    remove_files(place, row.uri, files)
