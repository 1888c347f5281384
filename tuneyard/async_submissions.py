"""The client's part about prompts that are submitted to a model."""

from __future__ import annotations

from datetime import datetime
from urllib.parse import quote

from tuneyard.async_wire import AsyncWire
from tuneyard.errors import BadInput
from tuneyard.forms import filled
from tuneyard.identifiers import fresh_id
from tuneyard.submission_shapes import (
    WAIT,
    History,
    NewSubmission,
    Submission,
    SubmissionResult,
    SubmissionState,
)

JOBS = "/v1/jobs"


class AsyncSubmissions:
    """Prompts that a model is to answer, as jobs that expire where no run takes them in time."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def submit(
        self,
        prompt: str,
        model: str | None = None,
        type: str = "inference",  # noqa: A002 - the coordinator's word
        ttl_seconds: int = WAIT,
        max_tokens: int | None = None,
        job_id: str | None = None,
    ) -> Submission:
        """Have a prompt answered; a request whose answer was lost is repeated as the same job.

        Args:
            prompt: What the model is to answer.
            model: An alias, an artifact's id, or what a config's `model` may be; default: the alias production.
            type: A word of your own, to find it by.
            ttl_seconds: How long it may wait for a run.
            max_tokens: The longest answer; default: 256.
            job_id: An id of yours; default: a new one.

        Example:
            job = await client.submissions.submit("What is the date?", model="org/base", ttl_seconds=60)
        """
        given = {"type": type, "prompt": prompt, "model": model, "max_tokens": max_tokens}
        said = {name: value for name, value in given.items() if value is not None}
        body = filled(NewSubmission, payload=said, ttl_seconds=ttl_seconds, job_id=job_id or fresh_id())
        return await self._wire.ask(Submission, "POST", JOBS, body)

    async def get(self, job_id: str) -> Submission:
        """What became of it.

        Example:
            job = await client.submissions.submit("What is the date?", model="org/base")
            print((await client.submissions.get(job.job_id)).state)
        """
        return await self._wire.ask(Submission, "GET", _path(job_id))

    async def result(self, job_id: str) -> SubmissionResult:
        """What the model answered. Raises Conflict while the job has not ended.

        Example:
            job = await client.submissions.submit("What is the date?", model="org/base")
            await client.submissions.cancel(job.job_id)
            print((await client.submissions.result(job.job_id)).text)
        """
        return await self._wire.ask(SubmissionResult, "GET", _path(job_id, "result"))

    async def cancel(self, job_id: str) -> Submission:
        """Raises Conflict where the job has ended.

        Example:
            job = await client.submissions.submit("What is the date?", model="org/base")
            await client.submissions.cancel(job.job_id)
        """
        return await self._wire.ask(Submission, "POST", _path(job_id, "cancel"))

    async def history(
        self,
        status: SubmissionState | str | None = None,
        type: str | None = None,  # noqa: A002 - the coordinator's word
        from_time: datetime | None = None,
        to_time: datetime | None = None,
        limit: int = 20,
        offset: int = 0,
    ) -> History:
        """One page, the newest first.

        Example:
            for job in (await client.submissions.history(status="failed")).items:
                print(job.payload["prompt"], job.error)
        """
        params = {
            "status": status,
            "type": type,
            "from_time": from_time.isoformat() if from_time else None,
            "to_time": to_time.isoformat() if to_time else None,
            "limit": limit,
            "offset": offset,
        }
        return await self._wire.ask(History, "GET", f"{JOBS}/history", params=params)


def _path(job_id: str, *rest: str) -> str:
    """The path of one job; an id that is a path's own word is none."""
    if not job_id.strip(".") or job_id == "history":
        raise BadInput(f"{job_id!r} is not an id", field="job_id")
    return "/".join((JOBS, quote(job_id, safe=""), *rest))
