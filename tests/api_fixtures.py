"""A real API over a real database, served in this process on a real port; each test has a workspace of its own."""

from __future__ import annotations

import logging
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
import uvicorn
from fastapi import FastAPI
from pydantic import SecretStr
from sqlmodel import col, update

from api.access.key_making import fresh_row, permissions_of
from api.access.pepper import Pepper, make_pepper
from api.app import create_app
from api.database import Database
from api.schema_head import make_ready
from api.serving import listen
from api.settings import Settings
from api.tables import Job, Workspace, now
from tuneyard.shapes import NewApiKey

POSTGRES = Path("/usr/lib/postgresql/15/bin")
RUN = {"host": "gpu-1", "pid": 7}
UNLIMITED: dict[str, Any] = {
    "api_rate_limit_per_key": 1_000_000,
    "api_rate_limit_failures": 1_000_000,
    "prefect_api_url": None,  # whatever this machine's own environment says
}


@dataclass
class Served:
    """The app, its database, and where it answers."""

    app: FastAPI
    url: str

    @property
    def database(self) -> Database:
        database: Database = self.app.state.door.database
        return database

    @property
    def pepper(self) -> Pepper:
        pepper: Pepper = self.app.state.door.pepper
        return pepper


class Office:
    """One workspace: makes keys and clients for it."""

    def __init__(self, served: Served) -> None:
        self.served = served
        self.http = httpx.Client(base_url=served.url, timeout=30)
        with served.database.writing() as session:
            workspace = Workspace(name=uuid4().hex)
            session.add(workspace)
        self.workspace_id = workspace.pk

    def key(self, *scopes: str) -> str:
        new = NewApiKey(name="a key", scopes=list(scopes), expires_in_days=None)
        row, text = fresh_row(self.workspace_id, new, sorted(permissions_of(new)), self.served.pepper)
        with self.served.database.writing() as session:
            session.add(row)
        return text

    def call(self, method: str, path: str, key: str | None = None, **given: Any) -> httpx.Response:
        """`key`: an API key, or a job token; None: neither."""
        headers = dict(given.pop("headers", {}))
        if key is not None:
            headers |= {"X-API-Key": key} if key.startswith("wak_") else {"Authorization": f"Bearer {key}"}
        return self.http.request(method, path, headers=headers, **given)

    def new_job(self, **fields: Any) -> str:
        answer = self.call("POST", "/api/v1/jobs", self.key("worker"), json={"model": "base"} | fields)
        assert answer.status_code == 201, answer.text
        job_id: str = answer.json()["id"]
        return job_id

    def claimed_job(self, **fields: Any) -> tuple[str, str]:
        """A job that a run has claimed: its id and its token."""
        job_id = self.new_job(**fields)
        return job_id, self.claim(job_id)

    def claim(self, job_id: str) -> str:
        answer = self.call("POST", f"/api/v1/jobs/{job_id}/claim", self.key("worker"), json=RUN)
        assert answer.status_code == 200, answer.text
        token: str = answer.json()["job_token"]
        return token

    def job(self, job_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/api/v1/jobs/{job_id}", self.key("worker")).json()
        return found

    def end(self, job_id: str, who: str, status: str = "completed", **more: Any) -> httpx.Response:
        return self.call("POST", f"/api/v1/jobs/{job_id}/end", who, json={"status": status} | more)

    def moved(self, job_id: str, **values: Any) -> None:
        """Put the job's row where a test needs it: times into the past, above all."""
        with self.served.database.writing() as session:
            session.exec(update(Job).where(col(Job.id) == job_id).values(**values))

    def end_long_ago(self, job_id: str, ago: timedelta) -> None:
        """Move an ended job's end into the past."""
        with self.served.database.writing() as session:
            session.exec(update(Job).where(col(Job.id) == job_id).values(ended_at=now() - ago))


@contextmanager
def served(settings: Settings) -> Iterator[Served]:
    make_pepper(settings.home)
    app = create_app(settings)
    make_ready(app.state.door.database)
    listener = listen("127.0.0.1", 0)
    server = uvicorn.Server(
        uvicorn.Config(app, loop="uvloop", http="httptools", log_config=None, access_log=False)
    )
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    try:
        yield Served(app, f"http://127.0.0.1:{listener.getsockname()[1]}")
    finally:
        server.should_exit = True
        thread.join()
        listener.close()


@pytest.fixture(scope="session")
def sqlite_served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    logging.getLogger("tuneyard.api").setLevel(logging.INFO)
    settings = Settings(tuneyard_home=tmp_path_factory.mktemp("api"), database_url=None, **UNLIMITED)
    with served(settings) as found:
        yield found


@pytest.fixture
def office(sqlite_served: Served) -> Iterator[Office]:
    with_client = Office(sqlite_served)
    yield with_client
    with_client.http.close()


@contextmanager
def postgres(binaries: Path, *, durable: bool = False) -> Iterator[str]:
    """A PostgreSQL of our own on a free port: its URL. `durable`: it waits for the disk, as a real one does."""
    folder = Path("/tmp") / f"tuneyard-pg-{uuid4().hex}"
    user: dict[str, Any] = {}
    folder.mkdir(mode=0o700)
    if os.geteuid() == 0:  # PostgreSQL refuses to run as root
        account = pwd.getpwnam("postgres")
        os.chown(folder, account.pw_uid, account.pw_gid)
        user = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    with listen("127.0.0.1", 0) as free:
        port = free.getsockname()[1]
    quiet: dict[str, Any] = {
        "cwd": folder,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        **user,
    }
    data = ["-D", str(folder / "data")]
    make = [str(binaries / "initdb"), *data, "-U", "tester", "--auth=trust", "--encoding=UTF8", "--no-sync"]
    fsync = "on" if durable else "off"
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync={fsync}"
    with ExitStack() as leaving:
        leaving.callback(shutil.rmtree, folder)
        subprocess.run(make, check=True, **quiet)
        server = subprocess.Popen([str(binaries / "postgres"), *data, *options.split()], **quiet)
        leaving.callback(server.wait, 20)
        leaving.callback(server.send_signal, signal.SIGINT)  # PostgreSQL's fast shutdown
        _wait_for(port)
        yield f"postgresql://tester@127.0.0.1:{port}/postgres"


@pytest.fixture(scope="session")
def postgres_url() -> Iterator[str]:
    """A PostgreSQL's URL; the test is skipped where there is none to start."""
    initdb = shutil.which("initdb") or shutil.which("initdb", path=str(POSTGRES))
    if initdb is None:
        pytest.skip("PostgreSQL's initdb is not here")
    with postgres(Path(initdb).resolve().parent) as url:
        yield url


@pytest.fixture(scope="session")
def postgres_served(postgres_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    url = SecretStr(postgres_url)
    settings = Settings(tuneyard_home=tmp_path_factory.mktemp("pg"), database_url=url, **UNLIMITED)
    with served(settings) as found:
        yield found


@pytest.fixture(params=["sqlite", "postgres"])
def any_office(request: pytest.FixtureRequest) -> Iterator[Office]:
    """The same on each database."""
    here = Office(request.getfixturevalue(f"{request.param}_served"))
    yield here
    here.http.close()


def _wait_for(port: int) -> None:
    until = time.monotonic() + 30
    while True:
        try:
            psycopg.connect(f"postgresql://tester@127.0.0.1:{port}/postgres").close()
        except psycopg.OperationalError:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return
