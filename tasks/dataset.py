"""Reads what a model is taught with; every row that cannot be used is a fault by file and line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tasks.data_source import Source, open_source
from tasks.examples import Example, Taught
from tasks.row_forms import ALL_FIELDS, FIELDS, Form, form_of, taught_by, unused_fields
from tuneyard.errors import BadInput
from tuneyard.faults import Fault, RowFault, quoted, refuse
from tuneyard.records import Records, read_records
from tuneyard.stored_file import demand_kind, unpacked
from tuneyard.suite_files import read_suite as read_suite


@dataclass(frozen=True)
class Dataset:
    """A data set as it was read: what can be taught, and what is wrong with the rest.

    `sha256` is that of the stored bytes. `unused` names the fields that the form has no use for, with the lines that
    have them; a table's columns stand there with none.
    """

    uri: str
    sha256: str
    form: Form
    rows: list[Taught]
    faults: list[Fault]
    unused: dict[str, list[int]]


def read_dataset(uri: str, form: Form | Literal["auto"] = "auto") -> Dataset:
    """Everything in a data set.

    Args:
        uri: As `tasks.data_source.open_source` takes it.
        form: The form of every row; auto: that of the first record.

    Raises:
        BadInput: it cannot be had or opened, holds no row, or its first record's form is unknown.
    """
    source = open_source(uri)
    records = records_of(source, ALL_FIELDS)
    if not records.rows:
        if records.faults:
            refuse(records.faults)
        raise BadInput("there are no rows in it", file=source.uri)
    found = _form(records, source.uri) if form == "auto" else form
    rows, faults, unused = _sorted_out(records, found, source.uri)
    faults = sorted([*records.faults, *faults], key=lambda fault: fault.line or 0)
    return Dataset(source.uri, source.sha256, found, rows, faults, unused)


@dataclass(frozen=True)
class Row:
    """One training example; `line` counts from 1 in the file it came from."""

    prompt: str
    completion: str
    line: int


@dataclass(frozen=True)
class Rows:
    """A whole training file. `sha256` is that of the file's bytes."""

    rows: list[Row]
    sha256: str
    path: Path


def read_rows(path: Path) -> Rows:
    """The training rows {prompt, completion} of a file.

    Raises:
        BadInput: the file is missing, unreadable or empty, or rows of it are not such rows.
    """
    found = whole(read_dataset(str(path), "prompt_completion"))
    rows = [
        Row(row.turns[0].text, row.turns[1].text, row.line) for row in found.rows if isinstance(row, Example)
    ]
    return Rows(rows, found.sha256, path)


def whole(dataset: Dataset) -> Dataset:
    """The data set itself. Raises BadInput, for all faults at once, if a row of it cannot be used."""
    if dataset.faults:
        refuse(dataset.faults)
    return dataset


def records_of(source: Source, wanted: frozenset[str] | None) -> Records:
    """Its files as one; `wanted` as in `read_records`."""
    return _joined(
        [read_records(unpacked(file), demand_kind(file), source.uri, wanted) for file in source.files]
    )


def _joined(parts: list[Records]) -> Records:
    """A hub data set's files as one: its rows are counted through, as the hub's own viewer does."""
    if len(parts) == 1:
        return parts[0]
    joined = Records(columns=parts[0].columns if parts else None)
    for part in parts:
        before = len(joined.rows) + len(joined.faults)
        lines = sorted([line for line, _ in part.rows] + [fault.line or 0 for fault in part.faults])
        number = {line: before + at for at, line in enumerate(lines, start=1)}
        joined.rows += [(number[line], record) for line, record in part.rows]
        joined.faults += [
            Fault(fault.code, fault.problem, fault.file, number[fault.line or 0], fault.field)
            for fault in part.faults
        ]
    return joined


def _form(records: Records, file: str) -> Form:
    line, first = records.rows[0]
    found = form_of(dict.fromkeys(records.columns) if records.columns is not None else first)
    if found is None:
        fields = ", ".join(map(quoted, records.columns or first)) or "none"
        known = "; ".join(f"{form}: {', '.join(names)}" for form, names in FIELDS.items())
        problem = f"its fields ({fields}) are those of no form. The forms are {known}"
        raise BadInput(problem, file=file, line=None if records.columns else line)
    return found


def _sorted_out(
    records: Records, form: Form, file: str
) -> tuple[list[Taught], list[Fault], dict[str, list[int]]]:
    """(what is taught, what cannot be, the fields not used and the lines they stand in)."""
    rows: list[Taught] = []
    faults: list[Fault] = []
    unused: dict[str, list[int]] = {name: [] for name in records.columns or () if name not in FIELDS[form]}
    strict = records.columns is None and form == "prompt_completion"
    for line, record in records.rows:
        extra = unused_fields(record, form) if records.columns is None else []
        try:
            if strict and extra:
                known = ", ".join(FIELDS[form])
                raise RowFault("wrong_fields", f"unknown field; a row may have {known}", quoted(extra[0]))
            rows.append(taught_by(record, form, line, file))
        except RowFault as fault:
            faults.append(fault.at(file, line))
            continue
        for name in extra:
            unused.setdefault(name, []).append(line)
    return rows, faults, unused
