# Generated from async_client.py by `python -m tests.unasync --write`; do not edit.
"""The client.

    with Client("http://127.0.0.1:8400", api_key) as client:
        job = client.jobs.get("01K9…")

A call that fails raises a `tuneyard.errors.TuneyardError`: `Unreachable` where no answer came, else the
`ApiError` whose name says what the answer means. A shape that cannot be made, such as an empty batch, is
pydantic's `ValidationError`. The first answer to a key that is about to expire warns: `KeyExpiresSoon`.
"""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self

import httpx

from tuneyard import credentials
from tuneyard.access import Auth, Events, Keys, Users
from tuneyard.aliases import Aliases
from tuneyard.batch_tests import Suites, Tests
from tuneyard.errors import Unavailable
from tuneyard.gpus import Gpus
from tuneyard.jobs import Jobs
from tuneyard.kept import Artifacts, Datasets
from tuneyard.kept_configs import Configs
from tuneyard.metrics import Metrics
from tuneyard.models import Models
from tuneyard.shapes import (
    Health,
    System,
)
from tuneyard.submissions import Submissions
from tuneyard.wire import Wire


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
        self.models = Models(self._wire)
        self.configs = Configs(self._wire)
        self.aliases = Aliases(self._wire)
        self.suites = Suites(self._wire)
        self.tests = Tests(self._wire)
        self.submissions = Submissions(self._wire)
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

        Example:
            client = Client.from_env()
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
        """Whether the API and what it needs are well; asks for no key. `unhealthy` is an answer, not an error.

        Example:
            assert client.health().status == "healthy"
        """
        try:
            return self._wire.ask(Health, "GET", "/health")
        except Unavailable as trouble:
            if "checks" not in trouble.problem:
                raise
            return Health.model_validate(trouble.problem)

    def system(self) -> System:
        """Where the API runs, and its version.

        Example:
            print(client.system().tuneyard_version)
        """
        return self._wire.ask(System, "GET", "/api/v1/system")

    def openapi(self) -> dict[str, Any]:
        """What the server describes of itself, as OpenAPI; asks for no key.

        Example:
            print(sorted(client.openapi()["paths"]))
        """
        return self._wire.ask(dict[str, Any], "GET", "/openapi.json")

    def close(self) -> None:
        """Let go of its connections.

        Example:
            client.close()
        """
        self._wire.http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Client {self.base_url}>"
