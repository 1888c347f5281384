"""What happens in a run, as a line of the job's spool of events: written in the run, sent by its flow."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

from tuneyard.shapes import NewJobEvent, RunEventKind

SPOOL = "events"
ANSWERS = "predictions"  # the spool of what a model in training answers
LONGEST = 2000


def event_line(kind: RunEventKind, message: str, step: int | None, details: dict[str, Any]) -> bytes:
    """The event, now. Its key is its own, so that sent twice it is one."""
    event = NewJobEvent(
        kind=kind,
        message=message[:LONGEST],
        step=step,
        details=details,
        at=datetime.now(UTC),
        key=uuid4().hex,
    )
    return event.model_dump_json().encode()
