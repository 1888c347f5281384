"""What an artifact is made of: its files, to be listed and downloaded, and its family."""

import re
from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api import lineage, tables
from api.access.auth import DatabaseDep, PlaceDep, needs
from api.access.caller import Caller
from api.access.owned import KeptId, Offset, is_anothers_job
from api.database import Database
from api.downloads import BINARY, TAR, IfRangeHeader, RangeHeader, download_responses, file_answer
from api.identity import identity_of
from api.kept_place import Place
from api.problems import Problem
from api.routes.artifacts import find_artifact
from api.tar_layout import tar_of
from tuneyard.shapes import ArtifactTree, KeptFile, Page

router = APIRouter(prefix="/api/v1/artifacts/{artifact_id}", tags=["artifacts"], responses={400: {}})
Reader = Annotated[Caller, needs("artifacts:read")]
FileLimit = Annotated[int, Query(ge=1, le=1000)]


def _find(database: Database, caller: Caller, artifact_id: str) -> tables.Artifact:
    with database.reading() as session:
        return find_artifact(session, caller, artifact_id)


def _files_of(row: tables.Artifact) -> list[KeptFile]:
    return [KeptFile.model_validate(file) for file in row.files or ()]


@router.get("/files")
def list_files(
    caller: Reader, artifact_id: KeptId, database: DatabaseDep, limit: FileLimit = 1000, offset: Offset = 0
) -> Page[KeptFile]:
    """What was recorded of each file, by path."""
    files = _files_of(_find(database, caller, artifact_id))
    return Page(items=files[offset : offset + limit], total=len(files), limit=limit, offset=offset)


@router.get("/$tree")
def get_tree(
    caller: Reader,
    artifact_id: KeptId,
    database: DatabaseDep,
    root: Annotated[bool, Query(description="Begin at its oldest ancestor.")] = False,
) -> ArtifactTree:
    """The artifact with all that was made from it, from generation to generation."""
    with database.reading() as session:
        row = find_artifact(session, caller, artifact_id)
        top = lineage.oldest(session, caller.workspace_id, row.id) if root else row.id
        return lineage.tree(session, caller.workspace_id, top)


@router.get("/$download", response_class=Response, responses=download_responses(BINARY, TAR))
@router.head("/$download", include_in_schema=False)
def download_artifact(
    caller: Reader,
    artifact_id: KeptId,
    request: Request,
    database: DatabaseDep,
    place: PlaceDep,
    path: Annotated[
        str | None, Query(description="One of its files; default: the only one, or all as a tar.")
    ] = None,
    _range: RangeHeader = None,
    _if_range: IfRangeHeader = None,
) -> Response:
    """One file, or all of them as a tar; its bytes follow from the list of files, so that it can be gone on with."""
    row = _find(database, caller, artifact_id)
    _demand_own_folder(database, caller, place, row)
    files = _files_of(row)
    if not files:
        raise Problem(409, "No files were recorded with it: there is nothing to download")
    if path is None and len(files) > 1:
        return _tar(request, place, row, files)
    named = {file.path: file for file in files}
    file = files[0] if path is None else named.get(path)
    if file is None:
        raise Problem(404, "The artifact has no such file: its `files` lists what there is")
    return file_answer(request, place.sources(row.uri, [file]), file.sha256, file.path.rpartition("/")[2])


def _tar(request: Request, place: Place, row: tables.Artifact, files: Sequence[KeptFile]) -> Response:
    digest = identity_of([file.model_dump() for file in files])
    name = re.sub(r"[^\w.-]+", "-", row.name) or row.id
    return file_answer(request, tar_of(place.sources(row.uri, files)), digest, f"{name}.tar", TAR)


def _demand_own_folder(database: Database, caller: Caller, place: Place, row: tables.Artifact) -> None:
    """Runs keep what they make under their job's id. Whoever may record artifacts in one workspace is not to read
    through that what another's jobs made."""
    owner = place.parts_of(row.uri)[0]
    with database.reading() as session:
        if is_anothers_job(session, caller.workspace_id, owner):
            raise Problem(409, "It lies in a folder of another's job")
