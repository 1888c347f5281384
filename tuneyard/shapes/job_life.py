"""A job's life: signs of it, events, log lines, errors, what is to be done about it."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field

from tuneyard.shapes.jobs import LONGEST_STAGE, JobStatus
from tuneyard.shapes.shape import Request, Shape
from tuneyard.values import Count, Flag, GpuUuid, JsonObject, Restarts, Seconds, Text, Time, Utc


class Heartbeat(Request):
    """Sent every 10 s while a run is alive, also while it waits. Without `wait_reason` it does not wait; what else is
    left out stays as it is."""

    stage: Text | None = Field(None, max_length=LONGEST_STAGE)
    wait_reason: Text | None = Field(None, max_length=LONGEST_STAGE)
    gpu_uuids: list[GpuUuid] | None = Field(
        None, max_length=64, description="The cards it holds; none: it has let them go."
    )
    pids: list[Count] | None = Field(None, max_length=1000)


class Beat(Shape):
    """A run that reads `cancelling` or `pausing` stops; one that is answered with 401 has been replaced."""

    job_status: JobStatus
    at: Utc


class JobEventKind(StrEnum):
    """The first are a run's to tell; the others are added where they happen, in the record."""

    WAITING = "waiting"
    LEASED = "leased"
    STARTED = "started"
    CHECKPOINT = "checkpoint"
    OOM_BACKOFF = "oom_backoff"
    WATCHDOG = "watchdog"
    EVALUATED = "evaluated"
    GPU_RELEASED = "gpu_released"
    RESUMED = "resumed"
    CLAIMED = "claimed"
    PAUSE_ASKED = "pause_asked"
    PAUSED = "paused"
    CANCEL_ASKED = "cancel_asked"
    LOST = "lost"
    REQUEUED = "requeued"
    ENDED = "ended"


RunEventKind = Literal[
    "waiting",
    "leased",
    "started",
    "checkpoint",
    "oom_backoff",
    "watchdog",
    "evaluated",
    "gpu_released",
    "resumed",
]


class NewJobEvent(Request):
    """`key`: sent again under the same key, by the same attempt, it is one event.

    A `checkpoint` names its `step`; `details: {"best": true}` marks the best one so far.
    """

    kind: RunEventKind
    message: Text = Field(min_length=1, max_length=2000)
    step: Count | None = None
    details: JsonObject = Field(default_factory=dict)
    at: Time | None = Field(None, description="When it happened; default: now.")
    key: Text | None = Field(None, min_length=1, max_length=100)


class JobEventBatch(Request):
    events: list[NewJobEvent] = Field(min_length=1, max_length=500)


class JobEvent(Shape):
    id: str
    at: Utc
    attempt: int
    kind: JobEventKind
    message: str
    step: int | None = None
    details: dict[str, Any] = Field(default_factory=dict)


LogLevel = Literal["debug", "info", "warning", "error"]


class NewLogLine(Request):
    """`number` counts the attempt's lines: sent again under the same number, it is one line."""

    number: Count
    at: Time
    level: LogLevel = "info"
    text: Text = Field(max_length=10_000)


class LogBatch(Request):
    lines: list[NewLogLine] = Field(min_length=1, max_length=1000)


class LogLine(Shape):
    attempt: int
    number: int
    at: Utc
    level: LogLevel
    text: str


class JobError(Shape):
    at: Utc
    attempt: int
    kind: str
    message: str
    file: str | None = None
    line: int | None = None
    field: str | None = None
    hint: str | None = None


class Resume(Request):
    """Where to begin and what to change; with nothing said it goes on from the newest whole checkpoint, as it was.
    A `checkpoint` that is named decides, whatever `from_best` says."""

    checkpoint: Text | None = Field(
        None, min_length=1, max_length=1024, description="For example checkpoint-500."
    )
    from_best: Flag = False
    config: JsonObject | None = Field(None, description="Fields of the config that are to be different.")
    max_restarts: Restarts | None = None


class LostRun(Request):
    """A run that somebody knows to be dead. It is named by its attempt; one that died before it took its job, by the
    `flow_run_id` that the job still has. What is not the job's newest changes nothing."""

    job_id: Text = Field(min_length=1, max_length=100)
    attempt: Count
    flow_run_id: Text | None = Field(None, max_length=64)
    reason: Text = Field(min_length=1, max_length=1000)
    handed_back: Flag = Field(
        False, description="It let go in good order, its worker being stopped: the restart does not count."
    )


class CloseLost(Request):
    """`silent_seconds`: how long nothing may be heard of a job's run; null: only the `runs` that are named."""

    silent_seconds: Seconds | None = 60
    runs: list[LostRun] = Field(default_factory=list, max_length=1000)


class Launched(Request):
    """The run that Prefect made for the job's `run_key`."""

    run_key: Text = Field(max_length=26)
    flow_run_id: Text = Field(min_length=1, max_length=64)
