"""The client for asyncio. `client.py` is made from this file by `python -m tests.unasync --write`: edit here.

    async with AsyncClient("http://127.0.0.1:8400", api_key) as client:
        job = await client.jobs.get("01K9…")

A call that fails raises a `tuneyard.errors.TuneyardError`: `Unreachable` where no answer came, else the
`ApiError` whose name says what the answer means. A shape that cannot be made, such as an empty batch, is
pydantic's `ValidationError`. The first answer to a key that is about to expire warns: `KeyExpiresSoon`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from tuneyard import credentials
from tuneyard.async_access import AsyncAuth, AsyncEvents, AsyncKeys, AsyncUsers
from tuneyard.async_aliases import AsyncAliases
from tuneyard.async_batch_tests import AsyncSuites, AsyncTests
from tuneyard.async_gpus import AsyncGpus
from tuneyard.async_jobs import AsyncJobs
from tuneyard.async_kept import AsyncArtifacts, AsyncDatasets
from tuneyard.async_kept_configs import AsyncConfigs
from tuneyard.async_metrics import AsyncMetrics
from tuneyard.async_models import AsyncModels
from tuneyard.async_submissions import AsyncSubmissions
from tuneyard.async_wire import AsyncWire
from tuneyard.errors import Unavailable
from tuneyard.shapes import (
    Health,
    System,
)


class AsyncClient:
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
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._wire = AsyncWire(base_url, api_key, session_token, job_token, patience, timeout, transport)
        self.base_url = self._wire.base_url
        self.jobs = AsyncJobs(self._wire)
        self.metrics = AsyncMetrics(self._wire)
        self.datasets = AsyncDatasets(self._wire)
        self.artifacts = AsyncArtifacts(self._wire)
        self.models = AsyncModels(self._wire)
        self.configs = AsyncConfigs(self._wire)
        self.aliases = AsyncAliases(self._wire)
        self.suites = AsyncSuites(self._wire)
        self.tests = AsyncTests(self._wire)
        self.submissions = AsyncSubmissions(self._wire)
        self.gpus = AsyncGpus(self._wire)
        self.keys = AsyncKeys(self._wire)
        self.users = AsyncUsers(self._wire)
        self.auth = AsyncAuth(self._wire)
        self.events = AsyncEvents(self._wire)

    @classmethod
    def from_env(
        cls,
        base_url: str | None = None,
        *,
        patience: float = 30.0,
        timeout: float = 30.0,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> Self:
        """A client with the key of TUNEYARD_API_KEY or TUNEYARD_API_KEY_FILE, else the one that was logged in with.

        It calls `base_url`, else TUNEYARD_API_URL, else where the log-in was.

        Raises:
            BadInput: There is no key, or it was stored for another address; the message says what to do.

        Example:
            client = AsyncClient.from_env()
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

    async def health(self) -> Health:
        """Whether the API and what it needs are well; asks for no key. `unhealthy` is an answer, not an error.

        Example:
            assert (await client.health()).status == "healthy"
        """
        try:
            return await self._wire.ask(Health, "GET", "/health")
        except Unavailable as trouble:
            if "checks" not in trouble.problem:
                raise
            return Health.model_validate(trouble.problem)

    async def system(self) -> System:
        """Where the API runs, and its version.

        Example:
            print((await client.system()).tuneyard_version)
        """
        return await self._wire.ask(System, "GET", "/api/v1/system")

    async def openapi(self) -> dict[str, Any]:
        """What the server describes of itself, as OpenAPI; asks for no key.

        Example:
            print(sorted((await client.openapi())["paths"]))
        """
        return await self._wire.ask(dict[str, Any], "GET", "/openapi.json")

    async def aclose(self) -> None:
        """Let go of its connections.

        Example:
            await client.aclose()
        """
        await self._wire.http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<AsyncClient {self.base_url}>"
