"""Prompts to submit, from a CSV, JSON or JSON Lines file; columns that nobody here knows are passed over."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tuneyard.data_kinds import Kind, kind_of
from tuneyard.errors import BadInput
from tuneyard.forms import filled
from tuneyard.records import read_records
from tuneyard.stored_file import StoredFile, local_content, unpacked
from tuneyard.submission_shapes import WAIT, Payload

FIELDS = frozenset({"type", "prompt", "model", "ttl", "ttl_seconds", "max_tokens"})


@dataclass(frozen=True)
class Row:
    """One row: what to submit, or why it cannot be."""

    line: int
    payload: Payload | None
    ttl: int = WAIT
    fault: str | None = None


def read_rows(path: Path, kind: Kind | None = None) -> list[Row]:
    """Every row of a file, in its order. Raises BadInput where nothing of it can be read."""
    file = StoredFile(str(path), local_content(path))
    found = read_records(unpacked(file), kind or kind_of(file.name) or "json", file.name, FIELDS)
    rows = [Row(fault.line or 0, None, fault=fault.problem) for fault in found.faults]
    rows += [_row(line, record) for line, record in found.rows]
    if not rows:
        raise BadInput("there are no prompts in it", file=file.name)
    return sorted(rows, key=lambda row: row.line)


def _row(line: int, record: dict[str, Any]) -> Row:
    said = {name: record[name] for name in ("type", "prompt", "model") if record.get(name) not in (None, "")}
    try:
        if record.get("max_tokens") not in (None, ""):
            said["max_tokens"] = whole(record["max_tokens"], "max_tokens")
        wait = whole(record.get("ttl") or record.get("ttl_seconds") or WAIT, "ttl")
        return Row(line, filled(Payload, **said), wait)
    except BadInput as fault:
        return Row(line, None, fault=str(fault))


def whole(given: object, field: str) -> int:
    """A whole number, which a CSV file has as text."""
    try:
        return int(str(given))
    except ValueError:
        raise BadInput(f"{given!r} is no whole number", field=field) from None
