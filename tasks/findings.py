"""How a look at the data says what it found."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from tasks.dataset import Dataset
from tuneyard.errors import BadInput
from tuneyard.faults import SHOWN, Fault, quoted
from tuneyard.shapes import Diagnostic

MOST_FIELDS = 50  # that are named one by one: data may have a new name in every row
Severity = Literal["error", "warning", "info"]


def finding(
    severity: Severity,
    code: str,
    message: str,
    file: str | None,
    lines: Iterable[int],
    field: str | None = None,
) -> list[Diagnostic]:
    """One diagnostic about the rows that begin at these lines; none where there is no such row."""
    found = sorted(lines)
    if not found:
        return []
    return [
        Diagnostic(
            severity=severity,
            code=code,
            message=message,
            field=field,
            file=file,
            lines=found[:SHOWN],
            count=len(found),
        )
    ]


def fault_findings(dataset: Dataset) -> list[Diagnostic]:
    """The rows that could not be read, one diagnostic for each thing that is wrong; and what is not used of a row."""
    groups: dict[tuple[str, str, str], list[Fault]] = {}
    for fault in dataset.faults:
        key = (fault.code, fault.problem, _of_any_turn(fault.field))
        if key not in groups and len(groups) >= MOST_FIELDS:
            key = (fault.code, fault.problem, "")
        groups.setdefault(key, []).append(fault)
    found = [
        diagnostic
        for (code, problem, field), faults in groups.items()
        for diagnostic in finding(
            "error", code, problem, dataset.uri, [fault.line or 0 for fault in faults], field or None
        )
    ]
    return found + _unused(dataset)


def _unused(dataset: Dataset) -> list[Diagnostic]:
    names = list(dataset.unused)
    found = [
        Diagnostic(
            severity="warning",
            code="unused_field",
            message=f"is not used: rows of the form {dataset.form} have no such field",
            field=quoted(name),
            file=dataset.uri,
            lines=dataset.unused[name][:SHOWN],
            count=len(dataset.unused[name]) or len(dataset.rows),
        )
        for name in names[:MOST_FIELDS]
    ]
    if rest := names[MOST_FIELDS:]:
        message = f"{len(rest)} more fields are not used"
        found.append(
            Diagnostic(
                severity="warning", code="unused_field", message=message, file=dataset.uri, count=len(rest)
            )
        )
    return found


def refusal(error: BadInput, code: str = "bad_input") -> Diagnostic:
    """The diagnostic of what stopped the look itself."""
    lines = [] if error.line is None else [error.line]
    return Diagnostic(
        severity="error", code=code, message=error.problem, field=error.field, file=error.file, lines=lines
    )


def _of_any_turn(field: str | None) -> str:
    """messages.3.content and messages.5.content are the same thing in two rows."""
    return re.sub(r"\.\d+", "[]", field or "")


def some(names: Sequence[str], most: int = 3) -> str:
    """A few names for a message."""
    rest = len(names) - most
    return ", ".join(names[:most]) + (f" and {rest} more" if rest > 0 else "")
