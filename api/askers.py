"""Jobs in the words of those who asked for them: a job says in its label `dialect` whose they are.

Our own programs, which say who they are, read every job as it is.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Literal, Protocol

from fastapi import Request

from tuneyard.shapes import Job, JobStatus

SEED_002 = "chapkit"  # whose `page`, `size` and `status_filter` lists of jobs have


class AskedJob(Job):
    """A job as another system's clients read it."""

    status: JobStatus | Literal["canceled"]  # type: ignore[assignment]
    result: str | None = None  # type: ignore[assignment]


class JobWords(Protocol):
    """A dialect's `JOB_WORDS`."""

    def shown(self, job: Job) -> AskedJob: ...

    def told(self, events: AsyncGenerator[bytes, None]) -> AsyncIterator[bytes]:
        """A stream's events, each whole."""
        ...


def words_of(request: Request, labels: Mapping[str, str]) -> JobWords | None:
    """None: ours."""
    return words_named(request, labels.get("dialect"))


def words_named(request: Request, dialect: str | None) -> JobWords | None:
    known: dict[str, JobWords] = request.app.state.job_words
    is_ours = request.headers.get("User-Agent", "").startswith("tuneyard/")
    return None if is_ours or dialect is None else known.get(dialect)
