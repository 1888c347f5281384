# Generated from async_submissions.py by `python -m tests.unasync --write`; do not edit.
"""The client's part about prompts that are submitted to a model."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from tuneyard.errors import BadInput
from tuneyard.identifiers import fresh_id
from tuneyard.submission_shapes import (
    A_YEAR,
    WAIT,
    History,
    NewSubmission,
    Payload,
    Submission,
    SubmissionResult,
    SubmissionState,
)
from tuneyard.wire import Wire

JOBS = "/v1/jobs"


class Submissions:
    """Prompts that a model is to answer, as jobs that expire where no run takes them in time."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def submit(self, payload: Payload, ttl_seconds: int = WAIT, job_id: str | None = None) -> Submission:
        """Have a prompt answered; a request whose answer was lost is repeated as the same job.

        Args:
            payload: The prompt, the model that is to answer it, and a word for what it is.
            ttl_seconds: How long it may wait for a run.
            job_id: An id of yours; default: a new one.
        """
        if not 1 <= ttl_seconds <= A_YEAR:
            raise BadInput(f"between 1 and {A_YEAR} seconds", field="ttl_seconds")
        body = NewSubmission(payload=payload, ttl_seconds=ttl_seconds, job_id=job_id or fresh_id())
        return self._wire.ask(Submission, "POST", JOBS, body)

    def get(self, job_id: str) -> Submission:
        return self._wire.ask(Submission, "GET", _path(job_id))

    def result(self, job_id: str) -> SubmissionResult:
        """What the model answered. Raises Conflict while the job has not ended."""
        return self._wire.ask(SubmissionResult, "GET", _path(job_id, "result"))

    def cancel(self, job_id: str) -> Submission:
        """Raises Conflict where the job has ended."""
        return self._wire.ask(Submission, "POST", _path(job_id, "cancel"))

    def history(
        self,
        status: SubmissionState | str | None = None,
        type: str | None = None,  # noqa: A002 - the coordinator's word
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> History:
        """One page, the newest first."""
        params = {
            "status": status,
            "type": type,
            "from_time": from_time.isoformat() if from_time else None,
            "to_time": to_time.isoformat() if to_time else None,
            "limit": limit,
            "offset": offset,
        }
        return self._wire.ask(History, "GET", f"{JOBS}/history", params=params)


def _path(job_id: str, *rest: str) -> str:
    """The path of one job; an id that is a path's own word is none."""
    if not job_id.strip(".") or job_id == "history":
        raise BadInput(f"{job_id!r} is not an id", field="job_id")
    return "/".join((JOBS, quote(job_id, safe=""), *rest))
