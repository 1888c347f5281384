"""Jobs in the words of those who asked for them: a job says in its label `dialect` whose they are.

Our own programs, which say who they are, read every job as it is.
"""

from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from typing import Literal, Protocol

import orjson
from fastapi import Request
from pydantic import TypeAdapter

from api.numbered_pages import Numbers
from tuneyard.shapes import Job, JobStatus, Page

SEED_002 = "chapkit"  # whose `page`, `size` and `status_filter` lists of jobs have


class AskedJob(Job):
    """A job as another system's clients read it."""

    status: JobStatus | Literal["canceled"]  # type: ignore[assignment]
    result: str | None = None  # type: ignore[assignment]


_LIST = TypeAdapter(list[AskedJob])


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


def in_words(request: Request, job: bytes) -> bytes:
    """A job's answer, as who asks for it reads it."""
    if b'"dialect"' not in job:
        return job
    words = words_of(request, orjson.loads(job)["labels"])
    return job if words is None else words.shown(Job.model_validate_json(job)).model_dump_json().encode()


def listed(request: Request, found: bytes, numbers: Numbers | None, *, bare: bool) -> bytes:
    """A list of jobs as who asks for it by number, or for the `bare` list, reads it; else as it is."""
    words = words_named(request, SEED_002)
    if words is None or not (bare or numbers):
        return found
    page = Page[Job].model_validate_json(found)
    items = [words.shown(job) for job in page.items]
    return _LIST.dump_json(items) if numbers is None else numbers.of(page, items).model_dump_json().encode()
