"""A stand-in for Prefect's server at the other end of the wire: the two endpoints that the API asks."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import pytest
import uvicorn
from fastapi import FastAPI, HTTPException, Request, Response
from pydantic import SecretStr

from api.serving import listen
from api.settings import Settings
from tests.api_fixtures import UNLIMITED, Office, Served, served

DEPLOYMENTS = (
    "finetune/gpu",
    "batch-test/gpu",
    "check/gpu",
    "merge/gpu",
    "tabular/gpu",
    "predict/gpu",
)


@dataclass
class StandIn:
    """What it knows and was asked; a test changes what it answers.

    `runs` are by idempotency key: as in Prefect, the same key again gives the same run.
    """

    url: str = ""
    deployments: dict[str, str] = field(default_factory=lambda: {name: str(uuid4()) for name in DEPLOYMENTS})
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    auth: str | None = None
    refusal: tuple[int, str] | None = None
    busy: int = 0

    def app(self) -> FastAPI:
        app = FastAPI()

        @app.get("/api/deployments/name/{flow}/{deployment}")
        def read(request: Request, flow: str, deployment: str) -> dict[str, str]:
            self._let_in(request)
            name = f"{flow}/{deployment}"
            if name not in self.deployments:
                raise HTTPException(404, "Deployment not found")
            return {"id": self.deployments[name], "name": deployment}

        @app.post("/api/deployments/{deployment_id}/create_flow_run", status_code=201)
        def create(
            request: Request, deployment_id: UUID, run: dict[str, Any], response: Response
        ) -> dict[str, Any]:
            self._let_in(request)
            if str(deployment_id) not in self.deployments.values():
                raise HTTPException(404, "Deployment not found")
            if self.busy:
                self.busy -= 1
                raise HTTPException(503, "database is locked")
            if self.refusal is not None:
                raise HTTPException(*self.refusal)
            if run["idempotency_key"] in self.runs:
                response.status_code = 200
            made = run | {"id": str(uuid4()), "deployment_id": str(deployment_id)}
            return self.runs.setdefault(run["idempotency_key"], made)

        return app

    def _let_in(self, request: Request) -> None:
        self.asked.append(f"{request.method} {request.url.path}")
        expected = self.auth and f"Basic {base64.b64encode(self.auth.encode()).decode()}"
        if expected and request.headers.get("Authorization") != expected:
            raise HTTPException(401, "Unauthorized")

    def run_of(self, job_id: str) -> list[dict[str, Any]]:
        """The runs that were made for a job, the first one first."""
        return [run for run in self.runs.values() if run["parameters"]["job_id"] == job_id]


@contextmanager
def stand_in() -> Iterator[StandIn]:
    """Served on a free port for as long as the block goes on."""
    found = StandIn()
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(found.app(), log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    found.url = f"http://127.0.0.1:{listener.getsockname()[1]}/api"
    try:
        yield found
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def launching(
    request: pytest.FixtureRequest, prefect_server: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """An API that knows where Prefect is, over each database."""
    url = SecretStr(request.getfixturevalue("postgres_url")) if request.param == "postgres" else None
    options = UNLIMITED | {"prefect_api_url": prefect_server.url, "database_url": url}
    with served(Settings(tuneyard_home=tmp_path_factory.mktemp("launching"), **options)) as running:
        yield running


@pytest.fixture
def yard(launching: Served) -> Iterator[Office]:
    """A workspace of that API."""
    found = Office(launching)
    yield found
    found.http.close()


@pytest.fixture(scope="module")
def prefect_server() -> Iterator[StandIn]:
    with stand_in() as found:
        yield found


@pytest.fixture
def prefect(prefect_server: StandIn) -> StandIn:
    """One that knows all deployments and was asked nothing."""
    prefect_server.deployments = {name: str(uuid4()) for name in DEPLOYMENTS}
    prefect_server.runs.clear()
    prefect_server.asked.clear()
    prefect_server.auth = prefect_server.refusal = None
    return prefect_server
