"""A fine-tune that the look before it refuses: one sentence for people, every fault for programs."""

from __future__ import annotations

from tuneyard.errors import BadInput
from tuneyard.shapes import LONGEST_ERROR, Diagnostic, NewJobError, Preflight

MOST = 200  # errors that the record takes with an end


class Refused(BadInput):
    """The first fault, and how many more there are.

    Attributes:
        errors: All of them.
    """

    def __init__(self, found: Preflight) -> None:
        faults = [one for one in found.diagnostics if one.severity == "error"]
        first = faults[0]
        more = f" (and {len(faults) - 1} more: tuneyard jobs errors)" if len(faults) > 1 else ""
        line = first.lines[0] if first.lines else None
        super().__init__(first.message + more, file=first.file, line=line, field=first.field)
        self.errors = [error for fault in faults for error in _errors(fault)][:MOST]


def _errors(fault: Diagnostic) -> list[NewJobError]:
    error = NewJobError(
        kind="bad_input", message=fault.message[:LONGEST_ERROR], file=fault.file, field=fault.field
    )
    return [error.model_copy(update={"line": line}) for line in fault.lines] or [error]
