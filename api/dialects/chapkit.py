"""The authenticated ML service in seed 002 (chapkit). Its paths are the canonical API's own: here is only how it says
things."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any, Literal

import orjson

from api.askers import AskedJob
from tuneyard.shapes import Job, JobKind, JobStatus

THEIRS = "urn:chapkit:error:"
BAD_ID = "urn:tuneyard:error:invalid-ulid"
_KINDS = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    409: "conflict",
    422: "validation-failed",
    500: "internal",
}
NO_KEY = {"Missing authorization header": "Missing authentication header: X-API-Key"}
_STATUS: dict[JobStatus, JobStatus | Literal["canceled"]] = {
    JobStatus.QUEUED: JobStatus.RUNNING,
    JobStatus.PAUSING: JobStatus.RUNNING,
    JobStatus.CANCELLING: JobStatus.RUNNING,
    JobStatus.PAUSED: JobStatus.PENDING,
    JobStatus.CANCELLED: "canceled",
}
_DELETED = b'data: {"status":"deleted"}\n\n'


def _error(body: dict[str, Any]) -> dict[str, Any]:
    """RFC 9457 with its types; what it has no type for keeps ours."""
    kind = "invalid-ulid" if body["type"] == BAD_ID else _KINDS.get(body["status"])
    detail = NO_KEY.get(body["detail"], body["detail"])
    named = body["type"] if kind is None else THEIRS + kind
    return body | {"type": named, "detail": detail, "error": NO_KEY.get(body["error"], body["error"])}


class Words:
    """Jobs as its clients read them."""

    def shown(self, job: Job) -> AskedJob:
        """One of its five states; what became of it is a sentence, and what it made lies in its artifact. There it
        has begun where a run has taken it, and not with its first step."""
        said = {
            "status": _STATUS.get(job.status, job.status),
            "result": _sentence(job),
            "started_at": job.started_at or job.claimed_at,
        }
        return AskedJob.model_construct(**(dict(job) | said))

    async def told(self, events: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
        """Its clients read every event as the job, and none has a name."""
        async with aclosing(events):
            async for some in events:
                for one in some.split(b"\n\n")[:-1]:
                    if data := self._event(one):
                        yield data

    def _event(self, event: bytes) -> bytes:
        fields = dict(line.partition(b": ")[::2] for line in event.split(b"\n"))
        if fields.get(b"event") == b"state":
            job = self.shown(Job.model_validate_json(fields[b"data"]))
            return b"id: %b\ndata: %b\n\n" % (fields[b"id"], job.model_dump_json().encode())
        if fields.get(b"event") == b"note":
            return _DELETED if orjson.loads(fields[b"data"])["note"] == "gone" else b""
        return event + b"\n\n"


def _sentence(job: Job) -> str | None:
    if job.status is not JobStatus.COMPLETED:
        return None
    what = "Prediction" if job.kind is JobKind.PREDICT else "Training"
    return f"{what} completed successfully"


ERROR_WORDS = {"/api/v1/": _error}
JOB_WORDS = Words()
