"""What Prefect's server says of itself, over its REST API: reads alone, and of a block no secret."""

from __future__ import annotations

import os
from base64 import b64encode
from typing import Any, TypeVar

import httpx
from pydantic import Field, TypeAdapter, ValidationError

from tuneyard.addresses import base_of
from tuneyard.errors import BadInput, TuneyardError
from tuneyard.shapes import JobKind, Shape
from tuneyard.values import Utc

T = TypeVar("T")

POOL, BLOCK, BLOCK_TYPE = "gpu", "tuneyard", "tuneyard-credentials"
ROUNDS = ("collect-metrics", "close-lost-jobs")
PATIENCE = 5.0  # seconds for an answer
# A proxy named in the environment cannot reach this machine's own loopback.
_NO_PROXY: dict[str, None] = {"all://localhost": None, "all://127.0.0.1": None, "all://[::1]": None}


class PrefectAway(TuneyardError):
    """Prefect does not answer, or not as Prefect does."""


class Pool(Shape):
    """A work pool, or one of its queues."""

    name: str
    is_paused: bool = False
    status: str | None = None
    concurrency_limit: int | None = None
    active_slots: int | None = None


class Worker(Shape):
    name: str
    status: str | None = None
    last_heartbeat_time: Utc | None = None


class RunState(Shape):
    type: str
    name: str | None = None
    message: str | None = None
    timestamp: Utc | None = None


class Run(Shape):
    """A flow run, or that there is none of this id."""

    id: str
    state: RunState | None = None
    work_queue_name: str | None = None


class _Deployment(Shape):
    flow_id: str


class _Flow(Shape):
    id: str
    name: str


class _Kept(Shape):
    api_url: str | None = None


class _Block(Shape):
    data: _Kept = Field(default_factory=_Kept)


class Yard(Shape):
    """What Prefect has of tuneyard. `missing`: the deployments that should be there; `api_url`: what flows call."""

    url: str
    trouble: str | None = None
    version: str | None = None
    pool: Pool | None = None
    workers: list[Worker] = Field(default_factory=list)
    missing: list[str] = Field(default_factory=list)
    has_block: bool = False
    api_url: str | None = None

    @property
    def online(self) -> list[Worker]:
        return [one for one in self.workers if one.status == "ONLINE"]


class PrefectReads:
    """One Prefect server; close it after use.

    Raises:
        BadInput: The address cannot be used as one.
    """

    def __init__(self, url: str, auth: str | None = None) -> None:
        headers = {"Authorization": f"Basic {b64encode(auth.encode()).decode()}"} if auth else {}
        self.url = base_of(url)
        self._http = httpx.Client(base_url=self.url, headers=headers, timeout=PATIENCE, mounts=_NO_PROXY)

    @classmethod
    def from_env(cls) -> PrefectReads | None:
        """The server of PREFECT_API_URL; None where that is not set."""
        url = os.environ.get("PREFECT_API_URL", "").strip()
        try:
            return cls(url, os.environ.get("PREFECT_API_AUTH_STRING")) if url else None
        except BadInput as error:
            raise BadInput(error.problem, field="PREFECT_API_URL") from None

    def close(self) -> None:
        self._http.close()

    def yard(self) -> Yard:
        """All of it; `trouble` says why there is no more."""
        seen = Yard(url=self.url)
        try:
            seen.version = self._read(str, "GET", "/admin/version")
            seen.pool = self.pool()
            seen.workers = self.workers() if seen.pool else []
            seen.missing = self._missing()
            path = f"/block_types/slug/{BLOCK_TYPE}/block_documents/name/{BLOCK}"
            block = self._read(_Block, "GET", path, params={"include_secrets": "false"})
        except PrefectAway as error:
            seen.trouble = str(error)
            return seen
        seen.has_block = block is not None
        seen.api_url = block.data.api_url if block else None
        return seen

    def pool(self) -> Pool | None:
        return self._read(Pool, "GET", f"/work_pools/{POOL}")

    def queue(self, name: str) -> Pool | None:
        return self._read(Pool, "GET", f"/work_pools/{POOL}/queues/{name}")

    def workers(self) -> list[Worker]:
        return self._read(list[Worker], "POST", f"/work_pools/{POOL}/workers/filter", json={}) or []

    def run(self, run_id: str) -> Run | None:
        """None: Prefect knows no such run."""
        return self._read(Run, "GET", f"/flow_runs/{run_id}")

    def _missing(self) -> list[str]:
        flows = [*(kind.value.replace("_", "-") for kind in JobKind), *ROUNDS]
        asked = {"work_pools": {"name": {"any_": [POOL]}}, "flows": {"name": {"any_": flows}}}
        made = {
            one.flow_id
            for one in self._read(list[_Deployment], "POST", "/deployments/filter", json=asked) or []
        }
        named = self._read(list[_Flow], "POST", "/flows/filter", json={"flows": asked["flows"]}) or []
        there = {flow.name for flow in named if flow.id in made}
        return [f"{flow}/{POOL}" for flow in flows if flow not in there]

    def _read(self, shape: type[T], method: str, path: str, **given: Any) -> T | None:
        """None: 404. Raises PrefectAway, made outside handlers: httpx's exception holds the auth string."""
        try:
            answer = self._http.request(method, path, **given)
        except httpx.HTTPError as error:
            why = str(error) or type(error).__name__
        else:
            if answer.status_code == 404:
                return None
            if answer.is_success:
                return self._shaped(shape, answer)
            why = f"it answers {answer.status_code}"
        raise PrefectAway(f"no answer from Prefect at {self.url} ({why})")

    def _shaped(self, shape: type[T], answer: httpx.Response) -> T:
        try:
            return TypeAdapter(shape).validate_json(answer.content)
        except ValidationError:
            pass
        raise PrefectAway(f"what answers at {self.url} is not Prefect: its API ends in /api")
