"""What happened to a job, and what was found of a config, as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

from tuneyard.batch_shapes import Prediction
from tuneyard.display import Column, fields, plain, short_time, table
from tuneyard.shapes import Diagnostic, JobError, JobEvent, LogLine, PreflightFigures

LINES_SHOWN = 5
_UNITS = {"gb": " GiB", "percent": "%"}


def events_table(events: Iterable[JobEvent], now: datetime, width: int) -> str:
    columns = [
        Column("TIME (UTC)"),
        Column("TRY", right=True),
        Column("EVENT"),
        Column("STEP", right=True),
        Column("WHAT", elastic=True),
    ]
    rows = [(short_time(one.at, now), one.attempt, one.kind, one.step, one.message) for one in events]
    return table(columns, rows, width)


def event_line(event: JobEvent) -> str:
    step = "" if event.step is None else f"step {event.step}: "
    return f"{event.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}  {event.kind:12}  {step}{plain(event.message)}"


def log_line(line: LogLine) -> str:
    """The text as it is, a traceback's lines under one another, but for what a terminal would act on."""
    level = "" if line.level == "info" else f"{line.level.upper()}  "
    text = "\n    ".join(map(_printable, line.text.expandtabs().splitlines()))
    return f"{line.at.astimezone(UTC):%Y-%m-%d %H:%M:%S}  {level}{text}"


def _printable(text: str) -> str:
    return "".join(character if character.isprintable() else "?" for character in text)


def error_lines(error: JobError) -> str:
    """What went wrong, where, and what to do about it."""
    place = ":".join(str(part) for part in (error.file, error.line) if part is not None)
    where = "  ".join(plain(part) for part in (place, error.field) if part)
    head = f"{error.kind}  attempt {error.attempt}  {error.at.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"
    hint = f"  -> {plain(error.hint)}" if error.hint else None
    return "\n".join(
        part for part in (head, f"  {where}" if where else None, f"  {plain(error.message)}", hint) if part
    )


def diagnostic_lines(found: Iterable[Diagnostic]) -> str:
    return "\n".join(map(_diagnostic, found))


def _diagnostic(one: Diagnostic) -> str:
    lines = ",".join(str(line) for line in one.lines[:LINES_SHOWN])
    lines += ",..." if len(one.lines) > LINES_SHOWN else ""
    place = ":".join(part for part in (one.file or "", lines) if part)
    what = ": ".join(part for part in (one.field or "", one.message) if part)
    return "  ".join([f"{one.severity:7}", *(plain(part) for part in (place, what) if part)])


def figures_card(figures: PreflightFigures) -> str:
    """What a fine-tune will be like; what is not known is left out."""
    return fields(_figure(name, value) for name, value in figures.model_dump().items())


def _figure(name: str, value: object) -> tuple[str, object]:
    stem, _, unit = name.rpartition("_")
    title = (stem if unit in _UNITS else name).replace("_", " ").capitalize()
    if value is None:
        return title, None
    number = (
        f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
    )
    return title, f"{number}{_UNITS.get(unit, '')}"


def step_predictions_table(predictions: Iterable[Prediction], _now: datetime, width: int) -> str:
    columns = [
        Column("STEP", right=True),
        Column("#", right=True),
        Column("SCORE", right=True),
        Column("PROMPT", elastic=True),
        Column("EXPECTED", elastic=True),
        Column("ANSWER", elastic=True),
    ]
    rows = [
        (
            one.step,
            one.prompt_index,
            "error" if one.error else one.score,
            one.prompt,
            one.expected,
            one.error or one.response,
        )
        for one in predictions
    ]
    return table(columns, rows, width)
