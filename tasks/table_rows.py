"""A table's rows, and the numbers in its columns; every cell that is none is a fault by line and column."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from tasks.data_source import open_source
from tasks.dataset import records_of
from tuneyard.errors import BadInput
from tuneyard.faults import Fault, RowFault, quoted, refuse

NUMBER = re.compile(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*", re.ASCII)


@dataclass(frozen=True)
class Table:
    """Rows with the lines that they begin at. `columns` are in the order of the file, or of its first row."""

    file: str
    sha256: str
    columns: tuple[str, ...]
    rows: list[tuple[int, dict[str, Any]]]


def read_table(uri: str) -> Table:
    """All rows of a data set.

    Args:
        uri: As `tasks.data_source.open_source` takes it.

    Raises:
        BadInput: it cannot be had, has no columns, or rows of it cannot be read.
    """
    source = open_source(uri)
    records = records_of(source, None)
    columns = records.columns
    if columns is None and records.rows:
        columns = tuple(records.rows[0][1])
    faults = list(records.faults) + _strangers(source.uri, records.rows, columns or ())
    if faults:
        refuse(sorted(faults, key=lambda fault: fault.line or 0))
    if not columns:
        raise BadInput("there are no rows in it, and no columns", file=source.uri)
    return Table(source.uri, source.sha256, columns, records.rows)


def _strangers(file: str, rows: list[tuple[int, dict[str, Any]]], columns: Sequence[str]) -> list[Fault]:
    known = frozenset(columns)
    problem = "is no column of the first row"
    return [
        RowFault("wrong_fields", problem, quoted(name)).at(file, line)
        for line, row in rows
        if not row.keys() <= known
        for name in row
        if name not in known
    ]


def demand_columns(table: Table, wanted: Sequence[str], field: str) -> None:
    """Raises BadInput where one of them is not in the table, or is wanted twice."""
    for name in wanted:
        if name not in table.columns:
            there = ", ".join(map(quoted, table.columns[:20])) + (", …" if len(table.columns) > 20 else "")
            raise BadInput(
                f"there is no column {quoted(name)}; there are {there}", file=table.file, field=field
            )
        if wanted.count(name) > 1:
            raise BadInput(f"the column {quoted(name)} is named twice", field=field)


def numbers(table: Table, columns: Sequence[str]) -> list[list[float]]:
    """The cells of these columns, row by row. Raises BadInput, for all cells at once, where some are no numbers."""
    found: list[list[float]] = []
    faults: list[Fault] = []
    for line, row in table.rows:
        cells: list[float] = []
        for name in columns:
            try:
                cells.append(number_in(row, name))
            except RowFault as fault:
                faults.append(fault.at(table.file, line))
        found.append(cells)
    if faults:
        refuse(faults)
    return found


def number_in(row: dict[str, Any], name: str) -> float:
    """One cell. Raises RowFault where it is no finite number."""
    value = row.get(name)
    if value is None or (isinstance(value, str) and not value.strip()):
        raise RowFault("wrong_fields", "is empty, and a number is needed", quoted(name))
    is_number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if not is_number and not (isinstance(value, str) and NUMBER.fullmatch(value)):
        raise RowFault("wrong_fields", f"{quoted(str(value))} is no number", quoted(name))
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise RowFault("wrong_fields", f"{quoted(str(value))} is no finite number", quoted(name))
    return number
