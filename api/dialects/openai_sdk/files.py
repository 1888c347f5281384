"""OpenAI's files: a file is a data set of JSON lines that was uploaded, and its id is the data set's."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any, Literal

import orjson
from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import Response

from api import tables
from api.access.auth import DatabaseDep, SettingsDep, needs
from api.access.caller import Caller
from api.access.owned import find
from api.cursor_pages import uploads_after
from api.dialects.openai_sdk.words import PURPOSE, file_in_words, listed
from api.downloads import BINARY, download_responses
from api.form_parts import Form
from api.given import Open
from api.problems import Problem
from api.routes.data_set_files import FILE_NAME, content_of, keep_file, remove
from api.strict_json import StrictRoute
from api.uploads import Incoming
from tuneyard.data_kinds import Kind, kind_of

router = APIRouter(prefix="/v1/files", tags=["OpenAI"], route_class=StrictRoute)

MISSING = "No such File object"
EMPTY = "The file is empty"
LONGEST_ROW = 16 * 2**20
BOM = b"\xef\xbb\xbf"
After = Annotated[str | None, Query(max_length=100, description="The last id of the page before.")]
ManyFiles = Annotated[int, Query(ge=1, le=10_000)]
Reader = Annotated[Caller, needs("datasets:read")]
Writer = Annotated[Caller, needs("datasets:write")]
_ROW = r'\{"[a-z]+": "[ !#-[^-~]*"\}'  # the least of what is taken
_BODY: dict[str, Any] = {
    "type": "object",
    "required": ["file", "purpose"],
    "properties": {
        "file": {
            "type": "string",
            "contentMediaType": "application/jsonl",
            "description": "JSON lines: an object with at least one field on each.",
            "minLength": 9,
            "pattern": rf"^{_ROW}(\n{_ROW})*\n?$",
        },
        "purpose": {"const": PURPOSE},
    },
    "additionalProperties": False,
}
_FORM = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _BODY}}}}


def uploaded(file_id: str, caller: Reader, database: DatabaseDep) -> tables.Dataset:
    with database.reading() as session:
        row = find(session, tables.Dataset, caller.workspace_id, file_id, MISSING)
    if row.file_name is None:  # it was recorded where it lies: there is no file here
        raise Problem(404, MISSING)
    return row


File = Annotated[tables.Dataset, Depends(uploaded)]


class Rows(Incoming):
    """Lines of JSON objects; the first that is none is refused by its number."""

    def __init__(self, folder: Path, kind: Kind | None) -> None:
        super().__init__(folder, kind)
        self._line = 0
        self._begun = b""

    def write(self, content: bytes) -> None:
        first, *others = content.split(b"\n")
        self._begun += first
        for line in others:
            self._look()
            self._begun = line
        if len(self._begun) > LONGEST_ROW:
            raise self._refusal(f"it is longer than {LONGEST_ROW} bytes", self._line + 1)
        super().write(content)

    def publish(self, ending: str) -> Path:
        self._look()
        if not self.rows and not self._begun.strip():
            raise Problem(400, EMPTY, field="file")
        return super().publish(ending)

    def _look(self) -> None:
        self._line += 1
        text = self._begun.removeprefix(BOM) if self._line == 1 else self._begun
        try:
            row = orjson.loads(text) if text.strip() else None
        except orjson.JSONDecodeError as problem:
            raise self._refusal(f"not JSON: {problem.msg}", self._line) from None
        if text.strip() and not (isinstance(row, dict) and row):
            raise self._refusal("a row is a JSON object with fields", self._line)

    def _refusal(self, problem: str, line: int) -> Problem:
        return Problem(400, f"Invalid file format. Line {line}: {problem}", field="file")


@router.post("", openapi_extra=_FORM, responses={400: {}, 413: {}, 507: {}})
async def create_file(caller: Writer, request: Request, database: DatabaseDep, settings: SettingsDep) -> Open:
    """Keep a file of JSON lines. The same content under the same name again is the file that is there."""
    form = Form(request.stream(), request.headers.get("Content-Type", ""))
    file_name = _named(await form.until_file())
    content = _with_purpose(form)
    try:
        row, _ = await keep_file(database, settings, caller, content, file_name, None, Rows)
    except Problem as problem:
        if problem.status != 422:
            raise
        raise Problem(400, EMPTY, field="file") from None
    return file_in_words(row)


async def _with_purpose(form: Form) -> AsyncIterator[bytes]:
    """The file's content; nothing is kept of it where the form's fields, which may come after it, are wrong."""
    async for piece in form.content():
        yield piece
    if form.fields.get("purpose") != PURPOSE:
        raise Problem(400, f"the purpose of a file is {PURPOSE!r} here", field="purpose")
    if unknown := form.fields.keys() - {"purpose"}:
        known = "a file here has a purpose, and does not expire"
        raise Problem(400, f"unknown field; {known}", field=min(unknown)[:100])


def _named(said: str) -> str:
    """The file's name, which ends in .jsonl here."""
    if kind_of(said) not in (None, "jsonl") or not said.isprintable():
        raise Problem(400, "a .jsonl file: others are uploaded with `tuneyard datasets upload`", field="file")
    name = (said or "upload")[-200:]
    if re.fullmatch(FILE_NAME, name, re.IGNORECASE) and name.lower().endswith(".jsonl"):
        return name
    return f"{name.strip('.') or 'upload'}.jsonl"


@router.get("", responses={404: {}})
def list_files(
    caller: Reader,
    database: DatabaseDep,
    purpose: Annotated[str | None, Query(max_length=100)] = None,
    after: After = None,
    limit: ManyFiles = 100,
    order: Literal["asc", "desc"] = "desc",
) -> Open:
    """The newest first."""
    if purpose not in (None, PURPOSE):
        return listed([], has_more=False)
    with database.reading() as session:
        found, more = uploads_after(
            session, caller.workspace_id, after, limit, MISSING, upwards=order == "asc"
        )
    return listed([file_in_words(row) for row in found], more)


@router.get("/{file_id}")
def retrieve_file(file: File) -> Open:
    """What a file is called and holds."""
    return file_in_words(file)


@router.get("/{file_id}/content", response_class=Response, responses=download_responses(BINARY))
def read_file(file: File, request: Request, settings: SettingsDep) -> Response:
    """The file as it was uploaded."""
    return content_of(request, settings, file)


@router.delete("/{file_id}")
def delete_file(caller: Writer, file_id: str, database: DatabaseDep, settings: SettingsDep) -> Open:
    """409 where a job that has not ended needs it."""
    row = remove(database, settings, caller, file_id, MISSING)
    return {"id": row.id, "object": "file", "deleted": True}
