"""The client for asyncio. `client.py` is made from this file by `python -m tests.unasync --write`: edit here.

    async with AsyncClient("http://127.0.0.1:8400", api_key) as client:
        job = await client.jobs.get("01K9…")

A call that fails raises a `tuneyard.errors.TuneyardError`: `Unreachable` where no answer came, else the
`ApiError` whose name says what the answer means. A shape that cannot be made, such as an empty batch, is
pydantic's `ValidationError`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from types import TracebackType
from typing import Self, TypeVar

import httpx
from pydantic import BaseModel

from tuneyard import __version__, credentials
from tuneyard.addresses import base_of, object_path, secret_header
from tuneyard.answers import problem_in, read
from tuneyard.errors import TuneyardError, Unavailable, Unreachable
from tuneyard.patience import Patience, seconds_asked
from tuneyard.shapes import (
    ApiKey,
    Artifact,
    BatchTest,
    Claim,
    Claimed,
    CreatedApiKey,
    Dataset,
    Health,
    HostSample,
    HostSampleBatch,
    Job,
    JobEnd,
    JobFacts,
    JobKind,
    JobStatus,
    MetricBatch,
    MetricPoint,
    MetricRow,
    NewApiKey,
    NewArtifact,
    NewBatchTest,
    NewDataset,
    NewJob,
    NewPrediction,
    NewSuite,
    Page,
    Prediction,
    PredictionBatch,
    Reported,
    Stored,
    Suite,
    System,
)

T = TypeVar("T")
Hosts = list[HostSample]

# 502 and 504 are a proxy's words for a refused connection and a time-out.
_WORTH_REPEATING = (429, 502, 503, 504)
# A proxy named in the environment cannot reach this machine's own loopback.
_NO_PROXY: dict[str, None] = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}


class AsyncWire:
    """Sends a request until it is answered for good, or patience ends."""

    def __init__(
        self,
        base_url: str,
        api_key: str | None,
        job_token: str | None,
        patience: float,
        timeout: float,
        transport: httpx.AsyncBaseTransport | None,
    ) -> None:
        self.base_url = base_of(base_url)
        self._patience = patience
        self._key = secret_header("X-API-Key", "", api_key)
        self._token = secret_header("Authorization", "Bearer ", job_token)
        self.http = httpx.AsyncClient(
            timeout=timeout,
            transport=transport,
            mounts=None if transport else _NO_PROXY,
            headers={"Accept": "application/json", "User-Agent": f"tuneyard/{__version__}"},
        )

    async def ask(
        self,
        shape: type[T],
        method: str,
        path: str,
        body: BaseModel | None = None,
        *,
        params: Mapping[str, str | int | None] | None = None,
        as_job: bool = False,
        patience: float | None = None,
    ) -> T:
        """Send, and read the answer as `shape`.

        Args:
            as_job: Send the job token alone where there is one: a key beside it would decide in its place.
            patience: Seconds of retrying for this call, in place of the client's.
        """
        # A field that was not set stays out: for a change it means "as it is", for a new object the default.
        content = body.model_dump_json(exclude_unset=True).encode() if body is not None else None
        headers = self._token if as_job and self._token else self._key | self._token
        request = self.http.build_request(
            method,
            f"{self.base_url}{path}",
            content=content,
            params={name: value for name, value in (params or {}).items() if value is not None} or None,
            headers=headers | ({"Content-Type": "application/json"} if content else {}),
        )
        return read(
            shape, await self._answer(request, Patience(self._patience if patience is None else patience))
        )

    async def _answer(self, request: httpx.Request, patience: Patience) -> httpx.Response:
        while True:
            answer = await self._once(request)
            problem: TuneyardError | None
            if isinstance(answer, Unreachable):
                problem, asked = answer, None
            else:
                problem, asked = problem_in(answer), seconds_asked(answer.headers.get("Retry-After"))
                if problem is None:
                    return answer
                if answer.status_code not in _WORTH_REPEATING:
                    raise problem
            pause = patience.next_pause(asked)
            if pause is None:
                raise problem
            await asyncio.sleep(pause)

    async def _once(self, request: httpx.Request) -> httpx.Response | Unreachable:
        try:
            return await self.http.send(request)
        except httpx.TimeoutException:
            why = "timed out"
        except httpx.RequestError as error:
            why = str(error) or type(error).__name__
        # Made outside the handler: httpx's exception holds the request, and the request holds the key.
        return Unreachable(
            f"No answer from {self.base_url} ({why}). Start the API (`python -m api serve`) "
            "or set TUNEYARD_API_URL to where it runs."
        )


class AsyncJobs:
    """Fine-tunes and batch tests, as work that is claimed, reported on and ended."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewJob) -> Job:
        """Record a job; the same `flow_run_id` again answers the job that is there."""
        return await self._wire.ask(Job, "POST", "/api/v1/jobs", new)

    async def list(
        self,
        status: JobStatus | str | None = None,
        kind: JobKind | str | None = None,
        flow_run_id: str | None = None,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[Job]:
        """One page, newest first; `limit` is at most 100."""
        params = {
            "status": status,
            "kind": kind,
            "flow_run_id": flow_run_id,
            "limit": limit,
            "offset": offset,
        }
        return await self._wire.ask(Page[Job], "GET", "/api/v1/jobs", params=params)

    async def iter(
        self,
        status: JobStatus | str | None = None,
        kind: JobKind | str | None = None,
        flow_run_id: str | None = None,
        page_size: int = 100,
    ) -> AsyncIterator[Job]:
        """Every job, newest first, each once, also while new ones come in.

        Under `status`, a job whose status changes between two pages can push another past the reader.
        """
        seen: set[str] = set()
        offset = 0
        while True:
            page = await self.list(status, kind, flow_run_id, page_size, offset)
            for job in page.items:
                if job.id not in seen:
                    seen.add(job.id)
                    yield job
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return

    async def get(self, job_id: str) -> Job:
        return await self._wire.ask(Job, "GET", object_path("jobs", job_id))

    async def claim(self, job_id: str, claim: Claim) -> Claimed:
        """Take the job for a new attempt; the job token before it is dead."""
        return await self._wire.ask(Claimed, "POST", object_path("jobs", job_id, "claim"), claim)

    async def update(self, job_id: str, facts: JobFacts) -> Job:
        """Tell what the run has learned; needs the job token."""
        return await self._wire.ask(Job, "PATCH", object_path("jobs", job_id), facts, as_job=True)

    async def cancel(self, job_id: str) -> Job:
        """Ask for the end of the job; one that runs is `cancelling` until its run has stopped."""
        return await self._wire.ask(Job, "POST", object_path("jobs", job_id, "cancel"))

    async def end(self, job_id: str, end: JobEnd) -> Job:
        """End the job. Read the answer's status: a job that was being cancelled does not end `completed`."""
        return await self._wire.ask(Job, "POST", object_path("jobs", job_id, "end"), end)

    async def watch(self, job_id: str, every: float = 1.0) -> AsyncIterator[Job]:
        """The job now and after each change, looked at every `every` seconds, until it is final."""
        last: Job | None = None
        while True:
            job = await self.get(job_id)
            if job != last:
                yield job
            if job.status.is_final:
                return
            last = job
            await asyncio.sleep(every)


class AsyncMetrics:
    """The numbers a trainer reports, one row a step and attempt."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def push(
        self, job_id: str, points: Sequence[MetricPoint], *, patience: float | None = None
    ) -> Reported:
        """Write 1 to 5000 points with the job token; a step written before is replaced.

        Args:
            patience: Seconds of retrying, in place of the client's.
        """
        path = object_path("jobs", job_id, "metrics")
        body = MetricBatch(metrics=[*points])
        return await self._wire.ask(Reported, "PUT", path, body, as_job=True, patience=patience)

    async def list(self, job_id: str, limit: int = 1000, offset: int = 0) -> Page[MetricRow]:
        """One page by step, then attempt, ascending; `limit` is at most 5000."""
        path = object_path("jobs", job_id, "metrics")
        return await self._wire.ask(Page[MetricRow], "GET", path, params={"limit": limit, "offset": offset})

    async def iter(self, job_id: str, page_size: int = 1000) -> AsyncIterator[MetricRow]:
        """Every row by step, then attempt, each once, also while the job goes on reporting."""
        last = (-1, -1)
        offset = 0
        while True:
            page = await self.list(job_id, page_size, offset)
            for row in page.items:
                # A late row of an earlier step moves the ones after it: those come twice, and are skipped.
                if (row.step, row.attempt) > last:
                    last = (row.step, row.attempt)
                    yield row
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return


class AsyncDatasets:
    """Data sets, known by name, place and digest."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewDataset) -> Dataset:
        """Record a data set; the same name, uri and sha256 again answers the one that is there."""
        return await self._wire.ask(Dataset, "POST", "/api/v1/datasets", new)

    async def list(self, limit: int = 50, offset: int = 0) -> Page[Dataset]:
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[Dataset], "GET", "/api/v1/datasets", params=params)

    async def get(self, dataset_id: str) -> Dataset:
        return await self._wire.ask(Dataset, "GET", object_path("datasets", dataset_id))


class AsyncArtifacts:
    """Models and reports that jobs made."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewArtifact) -> Artifact:
        """Record an artifact; with a job token it is recorded as that job's."""
        return await self._wire.ask(Artifact, "POST", "/api/v1/artifacts", new, as_job=True)

    async def list(self, limit: int = 50, offset: int = 0) -> Page[Artifact]:
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[Artifact], "GET", "/api/v1/artifacts", params=params)

    async def get(self, artifact_id: str) -> Artifact:
        return await self._wire.ask(Artifact, "GET", object_path("artifacts", artifact_id))


class AsyncSuites:
    """Test suites: prompts and their expected answers."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewSuite) -> Suite:
        """Record a suite; the same name and content again answers the one that is there."""
        return await self._wire.ask(Suite, "POST", "/api/v1/test-suites", new)

    async def list(self, limit: int = 50, offset: int = 0) -> Page[Suite]:
        """One page, without the prompts."""
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[Suite], "GET", "/api/v1/test-suites", params=params)

    async def get(self, suite_id: str) -> Suite:
        """The suite with its prompts."""
        return await self._wire.ask(Suite, "GET", object_path("test-suites", suite_id))


class AsyncTests:
    """Batch tests and their predictions; claim, cancel and end one as the job of the same id."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewBatchTest) -> BatchTest:
        """Record a batch test and its job; the same `flow_run_id` again answers the one that is there."""
        return await self._wire.ask(BatchTest, "POST", "/api/v1/batch-tests", new)

    async def list(self, limit: int = 50, offset: int = 0) -> Page[BatchTest]:
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[BatchTest], "GET", "/api/v1/batch-tests", params=params)

    async def get(self, test_id: str) -> BatchTest:
        return await self._wire.ask(BatchTest, "GET", object_path("batch-tests", test_id))

    async def add_predictions(self, test_id: str, predictions: Sequence[NewPrediction]) -> Reported:
        """Write 1 to 1000 predictions with the job token; a prompt written before is replaced."""
        path = object_path("batch-tests", test_id, "predictions")
        body = PredictionBatch(predictions=[*predictions])
        return await self._wire.ask(Reported, "POST", path, body, as_job=True)

    async def predictions(self, test_id: str, limit: int = 100, offset: int = 0) -> Page[Prediction]:
        """One page by prompt index; `limit` is at most 1000."""
        path = object_path("batch-tests", test_id, "predictions")
        return await self._wire.ask(Page[Prediction], "GET", path, params={"limit": limit, "offset": offset})

    async def iter_predictions(self, test_id: str, page_size: int = 100) -> AsyncIterator[Prediction]:
        """Every prediction by prompt index, each once, also while the test goes on."""
        last = -1
        offset = 0
        while True:
            page = await self.predictions(test_id, page_size, offset)
            for prediction in page.items:
                if prediction.prompt_index > last:
                    last = prediction.prompt_index
                    yield prediction
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return


class AsyncGpus:
    """Hosts and their cards."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def push(self, samples: Sequence[HostSample]) -> Stored:
        """Write 1 to 1000 readings."""
        body = HostSampleBatch(samples=[*samples])
        return await self._wire.ask(Stored, "POST", "/api/v1/gpus/samples", body)

    async def list(self) -> Hosts:
        """The newest reading of each host."""
        return await self._wire.ask(Hosts, "GET", "/api/v1/gpus")


class AsyncKeys:
    """API keys."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewApiKey) -> CreatedApiKey:
        """Make a key; this answer is the only one that holds it."""
        return await self._wire.ask(CreatedApiKey, "POST", "/api/v1/api-keys", new)

    async def list(self, limit: int = 50, offset: int = 0) -> Page[ApiKey]:
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[ApiKey], "GET", "/api/v1/api-keys", params=params)

    async def revoke(self, key_id: str) -> ApiKey:
        """Refuse the key from its next request on."""
        return await self._wire.ask(ApiKey, "POST", object_path("api-keys", key_id, "revoke"))


class AsyncClient:
    """The API of one base URL, with one key or job token; close it, or use it in a `with` block.

    Args:
        base_url: Where the API is, with or without a trailing slash or a path prefix.
        api_key: Sent as `X-API-Key`.
        job_token: Sent as `Authorization: Bearer`. With both, what a run writes (facts, metrics, predictions,
            artifacts) goes with the token alone, everything else with both.
        patience: Seconds of retrying after 429, 502, 503, 504 and lost connections; 0 tries once.
        timeout: Seconds that one try may wait to connect, to send or for more of the answer.
        transport: An httpx transport in place of the network.

    Raises:
        BadInput: The URL, key or token cannot be used as such.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str | None = None,
        *,
        job_token: str | None = None,
        patience: float = 30.0,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._wire = AsyncWire(base_url, api_key, job_token, patience, timeout, transport)
        self.base_url = self._wire.base_url
        self.jobs = AsyncJobs(self._wire)
        self.metrics = AsyncMetrics(self._wire)
        self.datasets = AsyncDatasets(self._wire)
        self.artifacts = AsyncArtifacts(self._wire)
        self.suites = AsyncSuites(self._wire)
        self.tests = AsyncTests(self._wire)
        self.gpus = AsyncGpus(self._wire)
        self.keys = AsyncKeys(self._wire)

    @classmethod
    def from_env(
        cls,
        base_url: str | None = None,
        *,
        patience: float = 30.0,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """A client for TUNEYARD_API_URL, with the key in TUNEYARD_API_KEY or in file TUNEYARD_API_KEY_FILE.

        Raises:
            BadInput: There is no key; the message says how to get one.
        """
        url = base_url or credentials.api_url()
        return cls(url, credentials.api_key(), patience=patience, timeout=timeout, transport=transport)

    async def health(self) -> Health:
        """Whether the API and what it needs are well; asks for no key. `unhealthy` is an answer, not an error."""
        try:
            return await self._wire.ask(Health, "GET", "/health")
        except Unavailable as trouble:
            if "checks" not in trouble.problem:
                raise
            return Health.model_validate(trouble.problem)

    async def system(self) -> System:
        return await self._wire.ask(System, "GET", "/api/v1/system")

    async def aclose(self) -> None:
        await self._wire.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncClient {self.base_url}>"
