"""What is wrong with a data set: every fault by file and line, gathered first and said together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NoReturn

from tuneyard.errors import BadInput

SHOWN = 20  # faults in one error, and lines in one diagnostic
LONGEST_QUOTE = 80  # characters of the data in a message

Code = Literal["unreadable_row", "wrong_fields", "empty_text", "wrong_turns"]


@dataclass(frozen=True, slots=True)
class Fault:
    """One row that cannot be used, and why. `line` as in `tasks.examples`; None: the file as a whole."""

    code: Code
    problem: str
    file: str
    line: int | None
    field: str | None = None

    def __str__(self) -> str:
        return str(BadInput(self.problem, file=self.file, line=self.line, field=self.field))


class RowFault(Exception):
    """Raised while one row is read; whoever knows the file and line makes a Fault of it."""

    def __init__(self, code: Code, problem: str, field: str | None = None) -> None:
        super().__init__(problem)
        self.code: Code = code
        self.problem = problem
        self.field = field

    def at(self, file: str, line: int) -> Fault:
        return Fault(self.code, self.problem, file, line, self.field)


def refuse(faults: Sequence[Fault]) -> NoReturn:
    """Raises BadInput for the first fault; its message goes on with the next ones and their number."""
    first, rest = faults[0], faults[1:SHOWN]
    words = first.problem
    if rest:
        words = "\n".join([words, *map(str, rest), f"{len(faults)} rows cannot be used"])
        if len(faults) > SHOWN:
            words += f"; these are the first {SHOWN}"
    raise BadInput(words, file=first.file, line=first.line, field=first.field)


def quoted(text: str) -> str:
    """A piece of somebody's data as it may stand in a message: short, on one line, printable."""
    short = text if len(text) <= LONGEST_QUOTE else text[: LONGEST_QUOTE - 1] + "…"
    return short if short.isprintable() and short else ascii(short)
