"""Jobs in the words of those who asked for them: a job says in its label `dialect` whose they are.

Our own programs, which say who they are, read every job as it is.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Literal, Protocol

from fastapi import Request

from api.numbered_pages import Numbers
from tuneyard.shapes import Job, JobStatus, NumberedPage, Page

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


def listed(
    request: Request, found: Page[Job], numbers: Numbers | None, *, bare: bool
) -> Page[Job] | NumberedPage[AskedJob] | list[AskedJob]:
    """A list of jobs as who asks for it by number, or for the `bare` list, reads it; else as it is."""
    words = words_named(request, SEED_002)
    if words is None or not (bare or numbers):
        return found
    items = [words.shown(job) for job in found.items]
    return items if numbers is None else numbers.of(found, items)
