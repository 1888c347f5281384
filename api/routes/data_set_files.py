"""Data sets that are kept here: uploaded once, known by their content, given back to whoever may read them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import Text, cast, func
from sqlmodel import Session, col

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, SettingsDep, needs
from api.access.caller import Caller
from api.access.owned import find, owned, record
from api.config_checks import DATASET
from api.database import Database
from api.downloads import BINARY, IfRangeHeader, RangeHeader, download_responses, file_answer
from api.identity import identity_of
from api.kept_place import Source
from api.openapi_words import or_again
from api.problems import Problem
from api.settings import Settings
from api.uploads import Incoming, receive
from tuneyard.data_kinds import KINDS, PACKED, ending_of, kind_of
from tuneyard.shapes import Dataset, JobStatus
from tuneyard.values import NO_NUL

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])
MISSING = "Data set not found"
_ENDINGS = "|".join(ending[1:] for ending in KINDS)
_PACKINGS = "|".join(ending[1:] for ending in sorted(PACKED))
FILE_NAME = rf"^[^/\\\x00-\x1f\x7f]{{0,240}}[^/\\.\x00-\x1f\x7f]\.({_ENDINGS})(\.({_PACKINGS}))?$"
FileName = Annotated[
    str, Query(description="Its ending says what is in it.", json_schema_extra={"pattern": FILE_NAME})
]
Name = Annotated[
    str | None,
    Query(min_length=1, max_length=255, pattern=NO_NUL, description="Default: the file's, without endings."),
]
_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary", "minLength": 1}}
_BODY = {"requestBody": {"required": True, "content": {BINARY: _FILE}}}


def _folder(settings: Settings, workspace_id: int) -> Path:
    return settings.datasets / str(workspace_id)


@router.post(
    "/$upload",
    status_code=201,
    responses=or_again(Dataset) | {413: {}, 507: {}},
    openapi_extra=_BODY,
)
async def upload_dataset(
    caller: Annotated[Caller, needs("datasets:write")],
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    response: Response,
    file_name: FileName,
    name: Name = None,
) -> Dataset:
    """Keep the body as the next version of a data set; what that name holds already answers 200."""
    _demand_known(file_name)
    row, is_new = await keep_file(database, settings, caller, request.stream(), file_name, name)
    if not is_new:
        response.status_code = 200
    return Dataset.model_validate(row)


async def keep_file(
    database: Database,
    settings: Settings,
    caller: Caller,
    body: AsyncIterator[bytes],
    file_name: str,
    name: str | None,
    form: type[Incoming] = Incoming,
) -> tuple[tables.Dataset, bool]:
    """The next version of a data set, and whether it is new.

    Args:
        form: What looks at the content on its way to the disk.

    Raises:
        Problem: As `receive`; 409 where somebody deleted that content in the same moment.
    """
    ending, kind = ending_of(file_name), kind_of(file_name)
    folder = _folder(settings, caller.workspace_id)
    packed = ending.count(".") > 1

    def make() -> Incoming:
        return form(folder, None if packed else kind)

    file = await receive(body, make, ending, settings.tuneyard_upload_limit)
    name = name or file_name[: -len(ending)]
    return await run_in_threadpool(_record, database, settings, caller, file, name, file_name)


def _demand_known(file_name: str) -> None:
    if not re.fullmatch(FILE_NAME, file_name, re.IGNORECASE):
        known = ", ".join(KINDS)
        raise Problem(422, f"a file's name that ends in one of {known} (also packed, .gz)", field="file_name")


def _record(
    database: Database, settings: Settings, caller: Caller, file: Incoming, name: str, file_name: str
) -> tuple[tables.Dataset, bool]:
    identity = identity_of(["uploaded", name, ending_of(file_name), file.sha256])
    same = owned(tables.Dataset, caller.workspace_id).where(tables.Dataset.identity == identity)
    key = tables.new_id()
    with database.writing() as session:
        row = tables.Dataset(
            id=key,
            uri=f"dataset:{key}",
            workspace_id=caller.workspace_id,
            identity=identity,
            name=name,
            sha256=file.sha256,
            rows=file.rows,
            version=_next_version(session, caller.workspace_id, name),
            file_name=file_name,
            size_bytes=file.size,
        )
        row, is_new = record(session, row, same, taken="That data set clashes with another")
        if not _path(settings, row).is_file():
            raise Problem(409, "The same content was deleted in this moment: upload it again")
        if is_new:
            record_event(session, caller, "dataset.created", "dataset", row.id, name=row.name)
    return row, is_new


def _next_version(session: Session, workspace_id: int, name: str) -> int:
    """One at a time in a workspace: PostgreSQL would give two the same."""
    _hold_workspace(session, workspace_id)
    query = owned(tables.Dataset, workspace_id).where(tables.Dataset.name == name)
    highest = query.with_only_columns(func.max(col(tables.Dataset.version)))
    return 1 + (session.scalar(highest) or 0)


def _hold_workspace(session: Session, workspace_id: int) -> None:
    session.get(tables.Workspace, workspace_id, with_for_update={"key_share": True})


def _path(settings: Settings, row: tables.Dataset) -> Path:
    """Where an uploaded one's content lies: once, however many rows say so."""
    return _folder(settings, row.workspace_id) / f"{row.sha256}{ending_of(row.file_name or '')}"


@router.get("/{dataset_id}/$download", response_class=Response, responses=download_responses(BINARY))
@router.head("/{dataset_id}/$download", include_in_schema=False)
def download_dataset(
    caller: Annotated[Caller, needs("datasets:read")],
    dataset_id: str,
    request: Request,
    database: DatabaseDep,
    settings: SettingsDep,
    _range: RangeHeader = None,
    _if_range: IfRangeHeader = None,
) -> Response:
    """The file as it was uploaded."""
    with database.reading() as session:
        row = find(session, tables.Dataset, caller.workspace_id, dataset_id, MISSING)
    return content_of(request, settings, row)


def content_of(request: Request, settings: Settings, row: tables.Dataset) -> Response:
    """The answer that is its file, whole or the part that is asked for."""
    if row.file_name is None or row.size_bytes is None:
        raise Problem(409, "It was recorded, not uploaded: this API does not have its rows")
    path = _path(settings, row)
    if not path.is_file() or path.stat().st_size != row.size_bytes:
        raise Problem(409, f"{row.file_name} is not on this API's disk as it was uploaded")
    source = Source(LocalFileSystem(), str(path), row.file_name, row.size_bytes)
    return file_answer(request, [source], row.sha256, row.file_name)


@router.delete("/{dataset_id}", status_code=204)
def delete_dataset(
    caller: Annotated[Caller, needs("datasets:write")],
    dataset_id: str,
    database: DatabaseDep,
    settings: SettingsDep,
) -> None:
    """Also its file, where no other data set has the same. One that a job still needs is refused; what was trained on
    it stays."""
    remove(database, settings, caller, dataset_id)


def remove(
    database: Database, settings: Settings, caller: Caller, dataset_id: str, missing: str = MISSING
) -> tables.Dataset:
    """What it was.

    Raises:
        Problem: 404; 409 where a job that has not ended names it.
    """
    with database.writing() as session:
        _hold_workspace(session, caller.workspace_id)
        row = find(session, tables.Dataset, caller.workspace_id, dataset_id, missing)
        _demand_idle(session, row)
        session.delete(row)
        record_event(session, caller, "dataset.deleted", "dataset", row.id, name=row.name)
        session.flush()
        same = owned(tables.Dataset, row.workspace_id).where(tables.Dataset.sha256 == row.sha256)
        path = _path(settings, row)
        kept = [_path(settings, other) for other in session.exec(same) if other.file_name is not None]
        if row.file_name is not None and path not in kept:
            path.unlink(missing_ok=True)
    return row


def _demand_idle(session: Session, row: tables.Dataset) -> None:
    """That no job which may still run has it in its config, whatever the field is called."""
    live = [status.value for status in JobStatus if not status.is_final]
    mine = owned(tables.Job, row.workspace_id).where(col(tables.Job.status).in_(live))
    needing = mine.where(cast(col(tables.Job.config), Text).contains(f'"{DATASET}{row.id}"', autoescape=True))
    if (job := session.exec(needing).first()) is not None:
        raise Problem(409, f"The {job.status} job {job.id} needs it: cancel that first")
