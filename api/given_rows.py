"""Rows that come in a request: checked, and kept as a data set that the run reads as any other."""

import json
import re
from collections.abc import AsyncIterator

from anyio import from_thread

from api.access.caller import Caller
from api.database import Database
from api.problems import Problem
from api.routes.data_set_files import keep_file
from api.settings import Settings
from tuneyard.shapes import Table

LONGEST_FILE_NAME = 100
ULID = re.compile(r"[0-7][0-9A-HJKMNP-TV-Z]{25}")


def keep_rows(
    database: Database, settings: Settings, caller: Caller, rows: Table, name: str, field: str
) -> str:
    """`dataset:<id>` of the rows; the same under that name again are the same data set. Called in a worker's thread.

    JSON Lines, which keep each cell as it is. Where there are no rows a CSV's header alone keeps the columns.

    Raises:
        Problem: 409 naming the column or the row that is not as the others; else as `keep_file`.
    """
    demand_even(rows, field)
    content, ending = _lines(rows) if rows.data else (_header(rows), ".csv")

    async def body() -> AsyncIterator[bytes]:
        yield content

    file_name = (re.sub(r"[^\w .-]+", "-", name).strip(" .-") or "rows")[:LONGEST_FILE_NAME] + ending
    row, _ = from_thread.run(keep_file, database, settings, caller, body(), file_name, name)
    return row.uri


def unknown(object_id: str) -> int:
    """The status for what a request with rows names and is not here: clients of seed 002, whose ids are ULIDs, know it
    as 400; any other id is answered as everywhere."""
    return 400 if ULID.fullmatch(object_id) else 404


def demand_even(rows: Table, field: str) -> None:
    """Raises Problem, 409, where a column is named twice or a row has more or fewer cells than there are columns."""
    for at, column in enumerate(rows.columns):
        if column in rows.columns[:at]:
            raise Problem(409, f"the column {column!r} is named twice", field=f"{field}.columns.{at}")
    for at, cells in enumerate(rows.data):
        if len(cells) != len(rows.columns):
            words = f"row {at + 1} has {len(cells)} cells, and there are {len(rows.columns)} columns"
            raise Problem(409, words, field=f"{field}.data.{at}")


def _lines(rows: Table) -> tuple[bytes, str]:
    lines = (json.dumps(dict(zip(rows.columns, cells, strict=True))) for cells in rows.data)
    return ("\n".join(lines) + "\n").encode(), ".jsonl"


def _header(rows: Table) -> bytes:
    quoted = ('"' + column.replace('"', '""') + '"' for column in rows.columns)
    return (",".join(quoted) + "\n").encode()
