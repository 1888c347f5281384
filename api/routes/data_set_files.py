"""Data sets that are kept here: uploaded once, known by their content, given back to whoever may read them."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fsspec.implementations.local import LocalFileSystem
from sqlalchemy import func
from sqlmodel import Session, col

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, SettingsDep, needs
from api.access.caller import Caller
from api.access.owned import find, owned, record
from api.database import Database
from api.downloads import BINARY, IfRangeHeader, RangeHeader, download_responses, file_answer
from api.identity import identity_of
from api.kept_place import Source
from api.openapi_words import or_again
from api.problems import Problem
from api.settings import Settings
from api.uploads import Incoming, receive
from tuneyard.data_kinds import KINDS, PACKED, ending_of, kind_of
from tuneyard.shapes import Dataset
from tuneyard.values import NO_NUL

router = APIRouter(prefix="/api/v1/datasets", tags=["datasets"])
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
) -> tuple[tables.Dataset, bool]:
    """The next version of a data set, and whether it is new. Raises Problem as `receive`."""
    ending, kind = ending_of(file_name), kind_of(file_name)
    folder = _folder(settings, caller.workspace_id)
    packed = ending.count(".") > 1

    def make() -> Incoming:
        return Incoming(folder, None if packed else kind)

    file = await receive(body, make, ending, settings.tuneyard_upload_limit)
    name = name or file_name[: -len(ending)]
    return await run_in_threadpool(_record, database, caller, file, name, file_name)


def _demand_known(file_name: str) -> None:
    if not re.fullmatch(FILE_NAME, file_name, re.IGNORECASE):
        known = ", ".join(KINDS)
        raise Problem(422, f"a file's name that ends in one of {known} (also packed, .gz)", field="file_name")


def _record(
    database: Database, caller: Caller, file: Incoming, name: str, file_name: str
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
        if is_new:
            record_event(session, caller, "dataset.created", "dataset", row.id, name=row.name)
    return row, is_new


def _next_version(session: Session, workspace_id: int, name: str) -> int:
    """One at a time in a workspace: PostgreSQL would give two the same."""
    session.get(tables.Workspace, workspace_id, with_for_update={"key_share": True})
    query = owned(tables.Dataset, workspace_id).where(tables.Dataset.name == name)
    highest = query.with_only_columns(func.max(col(tables.Dataset.version)))
    return 1 + (session.scalar(highest) or 0)


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
        row = find(session, tables.Dataset, caller.workspace_id, dataset_id, "Data set not found")
    if row.file_name is None or row.size_bytes is None:
        raise Problem(409, "It was recorded, not uploaded: this API does not have its rows")
    path = _folder(settings, caller.workspace_id) / f"{row.sha256}{ending_of(row.file_name)}"
    if not path.is_file() or path.stat().st_size != row.size_bytes:
        raise Problem(409, f"{row.file_name} is not on this API's disk as it was uploaded")
    source = Source(LocalFileSystem(), str(path), row.file_name, row.size_bytes)
    return file_answer(request, [source], row.sha256, row.file_name)
