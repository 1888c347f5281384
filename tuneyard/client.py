# Generated from async_client.py by `python -m tests.unasync --write`; do not edit.
"""The client.

    with Client("http://127.0.0.1:8400", api_key) as client:
        job = client.jobs.get("01K9…")

A call that fails raises a `tuneyard.errors.TuneyardError`: `Unreachable` where no answer came, else the
`ApiError` whose name says what the answer means. A shape that cannot be made, such as an empty batch, is
pydantic's `ValidationError`. The first answer to a key that is about to expire warns: `KeyExpiresSoon`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import TracebackType
from typing import Self

import httpx

from tuneyard import credentials
from tuneyard.access import Auth, Events, Keys, Users
from tuneyard.addresses import object_path
from tuneyard.errors import Unavailable
from tuneyard.gpus import Gpus
from tuneyard.jobs import Jobs
from tuneyard.kept import Artifacts, Datasets
from tuneyard.kept_configs import Configs
from tuneyard.shapes import (
    BatchTest,
    Health,
    MetricBatch,
    MetricPoint,
    MetricRow,
    NewBatchTest,
    NewPrediction,
    NewSuite,
    Page,
    Prediction,
    PredictionBatch,
    Reported,
    Suite,
    System,
)
from tuneyard.wire import Wire


class Metrics:
    """The numbers a trainer reports, one row a step and attempt."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def push(self, job_id: str, points: Sequence[MetricPoint], *, patience: float | None = None) -> Reported:
        """Write 1 to 5000 points with the job token; a step written before is replaced.

        Args:
            patience: Seconds of retrying, in place of the client's.
        """
        path = object_path("jobs", job_id, "metrics")
        body = MetricBatch(metrics=[*points])
        return self._wire.ask(Reported, "PUT", path, body, as_job=True, patience=patience)

    def list(self, job_id: str, limit: int = 1000, offset: int = 0) -> Page[MetricRow]:
        """One page by step, then attempt, ascending; `limit` is at most 5000."""
        path = object_path("jobs", job_id, "metrics")
        return self._wire.ask(Page[MetricRow], "GET", path, params={"limit": limit, "offset": offset})

    def iter(self, job_id: str, page_size: int = 1000) -> Iterator[MetricRow]:
        """Every row by step, then attempt, each once, also while the job goes on reporting."""
        last = (-1, -1)
        offset = 0
        while True:
            page = self.list(job_id, page_size, offset)
            for row in page.items:
                # A late row of an earlier step moves the ones after it: those come twice, and are skipped.
                if (row.step, row.attempt) > last:
                    last = (row.step, row.attempt)
                    yield row
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return


class Suites:
    """Test suites: prompts and their expected answers."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, new: NewSuite) -> Suite:
        """Record a suite; the same name and content again answers the one that is there."""
        return self._wire.ask(Suite, "POST", "/api/v1/test-suites", new)

    def list(self, limit: int = 50, offset: int = 0) -> Page[Suite]:
        """One page, without the prompts."""
        params = {"limit": limit, "offset": offset}
        return self._wire.ask(Page[Suite], "GET", "/api/v1/test-suites", params=params)

    def get(self, suite_id: str) -> Suite:
        """The suite with its prompts."""
        return self._wire.ask(Suite, "GET", object_path("test-suites", suite_id))


class Tests:
    """Batch tests and their predictions; claim, cancel and end one as the job of the same id."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, new: NewBatchTest) -> BatchTest:
        """Record a batch test and its job; the same `flow_run_id` again answers the one that is there."""
        return self._wire.ask(BatchTest, "POST", "/api/v1/batch-tests", new)

    def list(self, limit: int = 50, offset: int = 0) -> Page[BatchTest]:
        params = {"limit": limit, "offset": offset}
        return self._wire.ask(Page[BatchTest], "GET", "/api/v1/batch-tests", params=params)

    def get(self, test_id: str) -> BatchTest:
        return self._wire.ask(BatchTest, "GET", object_path("batch-tests", test_id))

    def add_predictions(self, test_id: str, predictions: Sequence[NewPrediction]) -> Reported:
        """Write 1 to 1000 predictions with the job token; a prompt written before is replaced."""
        path = object_path("batch-tests", test_id, "predictions")
        body = PredictionBatch(predictions=[*predictions])
        return self._wire.ask(Reported, "POST", path, body, as_job=True)

    def predictions(self, test_id: str, limit: int = 100, offset: int = 0) -> Page[Prediction]:
        """One page by prompt index; `limit` is at most 1000."""
        path = object_path("batch-tests", test_id, "predictions")
        return self._wire.ask(Page[Prediction], "GET", path, params={"limit": limit, "offset": offset})

    def iter_predictions(self, test_id: str, page_size: int = 100) -> Iterator[Prediction]:
        """Every prediction by prompt index, each once, also while the test goes on."""
        last = -1
        offset = 0
        while True:
            page = self.predictions(test_id, page_size, offset)
            for prediction in page.items:
                if prediction.prompt_index > last:
                    last = prediction.prompt_index
                    yield prediction
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return


class Client:
    """The API of one base URL, with one key, session or job token; close it, or use it in a `with` block.

    Args:
        base_url: Where the API is, with or without a trailing slash or a path prefix.
        api_key: Sent as `X-API-Key`.
        session_token: A person's, in place of a key; sent as `Authorization: Bearer`.
        job_token: Sent as `Authorization: Bearer`. With a key too, what a run writes (facts, metrics,
            predictions, artifacts) goes with the token alone, everything else with both.
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
        session_token: str | None = None,
        job_token: str | None = None,
        patience: float = 30.0,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._wire = Wire(base_url, api_key, session_token, job_token, patience, timeout, transport)
        self.base_url = self._wire.base_url
        self.jobs = Jobs(self._wire)
        self.metrics = Metrics(self._wire)
        self.datasets = Datasets(self._wire)
        self.artifacts = Artifacts(self._wire)
        self.configs = Configs(self._wire)
        self.suites = Suites(self._wire)
        self.tests = Tests(self._wire)
        self.gpus = Gpus(self._wire)
        self.keys = Keys(self._wire)
        self.users = Users(self._wire)
        self.auth = Auth(self._wire)
        self.events = Events(self._wire)

    @classmethod
    def from_env(
        cls,
        base_url: str | None = None,
        *,
        patience: float = 30.0,
        timeout: float = 30.0,
        transport: httpx.BaseTransport | None = None,
    ) -> Self:
        """A client with the key of TUNEYARD_API_KEY or TUNEYARD_API_KEY_FILE, else the one that was logged in with.

        It calls `base_url`, else TUNEYARD_API_URL, else where the log-in was.

        Raises:
            BadInput: There is no key, or it was stored for another address; the message says what to do.
        """
        door = credentials.chosen(base_url)
        return cls(
            door.url,
            door.api_key,
            session_token=door.session_token,
            patience=patience,
            timeout=timeout,
            transport=transport,
        )

    def health(self) -> Health:
        """Whether the API and what it needs are well; asks for no key. `unhealthy` is an answer, not an error."""
        try:
            return self._wire.ask(Health, "GET", "/health")
        except Unavailable as trouble:
            if "checks" not in trouble.problem:
                raise
            return Health.model_validate(trouble.problem)

    def system(self) -> System:
        return self._wire.ask(System, "GET", "/api/v1/system")

    def close(self) -> None:
        self._wire.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.base_url}>"
