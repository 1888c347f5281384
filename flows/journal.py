"""What happens in a run, told to the record: its events, every line of its log, what a model in training answers.

All are written into spools in the job's folder and sent from the background: the API being away neither slows the
work nor loses a line. What one attempt leaves unsent, the next one on the same host sends.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tasks.happening import ANSWERS, SPOOL, event_line
from tuneyard import Client
from tuneyard.batch_shapes import NewPrediction
from tuneyard.outbox import Outbox
from tuneyard.shapes import LogLevel, NewJobEvent, NewLogLine, RunEventKind
from tuneyard.spool import Spool

PREFECT_LOGS = ("prefect.flow_runs", "prefect.task_runs")
PUSH_PATIENCE = 1.0
LONGEST_LINE = 10_000


class Journal(logging.Handler):
    """One attempt's events and log lines.

    A handler, so that what Prefect's engine and its tasks say is in the job's log as well.
    """

    def __init__(self, writer: Client, job_id: str, folder: Path) -> None:
        super().__init__(logging.INFO)
        self._writer = writer
        self._job_id = job_id
        lines = Spool(folder, "log")
        self._numbers = itertools.count(lines.count())
        self._events = Outbox(
            Spool(folder, SPOOL),
            NewJobEvent.model_validate_json,
            self._push_events,
            f"events of job {job_id}",
        )
        self._answers = Outbox(
            Spool(folder, ANSWERS),
            NewPrediction.model_validate_json,
            self._push_answers,
            f"answers of job {job_id}",
        )
        self._lines = Outbox(
            lines, NewLogLine.model_validate_json, self._push_lines, f"log lines of job {job_id}"
        )

    def event(self, kind: RunEventKind, message: str, *, step: int | None = None, **details: Any) -> None:
        """Note what happened, now."""
        self._events.put(event_line(kind, message, step, details))

    def emit(self, record: logging.LogRecord) -> None:
        """One log record, a traceback included."""
        line = NewLogLine(
            number=next(self._numbers),
            at=datetime.fromtimestamp(record.created, UTC),
            level=_level(record.levelno),
            text=self.format(record).replace("\0", "�")[:LONGEST_LINE],
        )
        self._lines.put(line.model_dump_json().encode())

    def send_rest(self, patience: float) -> int:
        """Send what is left, for at most `patience` seconds; how much stays in the job's folder."""
        return sum(box.close(patience) for box in (self._events, self._answers, self._lines))

    @contextmanager
    def hearing(self) -> Iterator[None]:
        """In the `with` block, what Prefect logs of this run is written down."""
        loggers = [logging.getLogger(name) for name in PREFECT_LOGS]
        for logger in loggers:
            logger.addHandler(self)
        try:
            yield
        finally:
            for logger in loggers:
                logger.removeHandler(self)

    def look(self) -> None:
        """The trainer may have written events and answers."""
        self._events.look()
        self._answers.look()

    def _push_events(self, events: list[NewJobEvent]) -> None:
        self._writer.jobs.add_events(self._job_id, events, patience=PUSH_PATIENCE)

    def _push_answers(self, answers: list[NewPrediction]) -> None:
        self._writer.jobs.add_predictions(self._job_id, answers, patience=PUSH_PATIENCE)

    def _push_lines(self, lines: list[NewLogLine]) -> None:
        self._writer.jobs.add_lines(self._job_id, lines, patience=PUSH_PATIENCE)


def _level(number: int) -> LogLevel:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warning"
    return "info" if number >= logging.INFO else "debug"
