"""Prompts that a model is to answer, as `/v1/jobs` shows them."""

from __future__ import annotations

from enum import StrEnum
from typing import Any

from pydantic import Field

from tuneyard.shapes import Request, Shape
from tuneyard.values import ClientId, CountFromOne, Text, Utc

A_YEAR = 31_536_000  # seconds
WAIT = 900


class SubmissionState(StrEnum):
    """queued: no run works on it yet. canceled: also while its run is still stopping."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELED = "canceled"
    EXPIRED = "expired"


class Payload(Request):
    """`model`: an alias, an artifact's id, or what a config's `model` may be; none: the alias `production`."""

    type: Text = Field("inference", min_length=1, max_length=100, description="A word of the client's own.")
    prompt: Text = Field(min_length=1)
    model: Text | None = Field(None, min_length=1, max_length=1024)
    max_tokens: CountFromOne = Field(256, le=65_536, description="The longest answer.")


class NewSubmission(Request):
    """`job_id`: asked again under the same one, it is one job."""

    payload: Payload
    ttl_seconds: CountFromOne = Field(
        900, le=A_YEAR, description="How long it may wait for a run to take it."
    )
    job_id: ClientId | None = None


class Submission(Shape):
    job_id: str
    state: SubmissionState
    assigned_miner_id: str | None = Field(None, description="The host that works on it.")
    requested_at: Utc
    expires_at: Utc | None = None
    started_at: Utc | None = None
    completed_at: Utc | None = None
    error: str | None = None
    payload: dict[str, Any]
    result: dict[str, Any] | None = None


class SubmissionResult(Shape):
    """What became of it; `result`, `text` and `usage` of one that did not complete are null."""

    job_id: str
    state: SubmissionState
    text: str | None = None
    usage: dict[str, int] | None = None
    result: dict[str, Any] | None = None
    error: str | None = None
    receipt: None = Field(None, description="Nobody is paid here.")


class History(Shape):
    items: list[Submission]
    total: int
    limit: int
    offset: int
    from_time: Utc | None = None
    to_time: Utc | None = None
