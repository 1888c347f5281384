"""Everything on one machine: the API, a Prefect server and a worker, started in order and stopped in order.

`make up`, `make demo` and the tests all run this. What it keeps lies under one home; two stacks cannot share it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import httpx
import psutil

from deployments.processes import (
    Server,
    StartFailed,
    end_all,
    environment_of,
    environment_without,
    parent_of,
    port_is_taken,
)
from tuneyard import Client
from tuneyard.errors import Unreachable
from tuneyard.shapes import NewApiKey

REPOSITORY = Path(__file__).resolve().parent.parent
STARTING = 90.0
SERVICE = "local-service"
LOOK = "close-lost-jobs/gpu"
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
LEAVING = 30.0  # for the worker's runs to end their jobs, while the API is still there
STOPPING = 15.0


@dataclass
class Stack:
    """What runs, and how to reach it. Keys are read from files under `home / "keys"`, never printed."""

    home: Path
    api_url: str
    prefect_url: str
    environment: dict[str, str]
    servers: list[Server]

    @property
    def ui_url(self) -> str:
        return self.prefect_url.removesuffix("/api")

    def key_file(self, name: str) -> Path:
        return self.home / "keys" / f"{name}.key"

    def key(self, name: str) -> str:
        return self.key_file(name).read_text().strip()

    def client(self, name: str = "user") -> Client:
        return Client(self.api_url, self.key(name))


@contextmanager
def running_stack(
    home: Path, api_port: int, prefect_port: int, *, poll_seconds: float = 2.0
) -> Iterator[Stack]:
    """Start the stack; whatever happens inside, everything is stopped at the end.

    Raises:
        StartFailed: A port is taken, the home is in use, or a server ended at start; the message says which.
    """
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _only_one(home):
        for name, port in (("API", api_port), ("Prefect", prefect_port)):
            if port_is_taken(port):
                raise StartFailed(
                    f"port {port} for {name} is taken: stop what uses it, or choose another with {name.upper()}_PORT=…"
                )
        stack = _describe(home, api_port, prefect_port, poll_seconds)
        try:
            _start(stack)
            yield stack
        finally:
            _stop(stack)


def _describe(home: Path, api_port: int, prefect_port: int, poll_seconds: float) -> Stack:
    api_url, prefect_url = f"http://127.0.0.1:{api_port}", f"http://127.0.0.1:{prefect_port}/api"
    environment = environment_without("PREFECT_") | {
        "TUNEYARD_HOME": str(home),
        "TUNEYARD_API_URL": api_url,
        # One machine and one person, whose flows and dashboards all ask with a few keys.
        "API_RATE_LIMIT_PER_KEY": os.environ.get("API_RATE_LIMIT_PER_KEY") or "6000",
        "PREFECT_HOME": str(home / "prefect"),
        "PREFECT_API_URL": prefect_url,
        "PREFECT_SERVER_UI_API_URL": prefect_url,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_WORKER_QUERY_SECONDS": str(poll_seconds),
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
        "DO_NOT_TRACK": "1",
        "PWD": str(REPOSITORY),
        "PYTHONUNBUFFERED": "1",
    }
    return Stack(home, api_url, prefect_url, environment, [])


@contextmanager
def _only_one(home: Path) -> Iterator[None]:
    """Hold the home: two Prefect servers on one SQLite file would quarrel. The kernel frees it when we die."""
    with (home / "stack.lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise StartFailed(
                f"a stack already runs in {home} (pid {_holder(lock)}): stop it, or set TUNEYARD_HOME"
            ) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def _holder(lock: IO[str]) -> str:
    lock.seek(0)
    return lock.read().strip() or "unknown"


def _start(stack: Stack) -> None:
    python, logs = sys.executable, stack.home / "logs"
    api_port, prefect_port = (str(httpx.URL(url).port) for url in (stack.api_url, stack.prefect_url))

    def server(name: str, *words: str) -> Server:
        started = Server(name, [python, "-m", *words], stack.environment, logs / f"{name}.log", REPOSITORY)
        stack.servers.append(started)
        return started

    _run(stack, "api", "pepper")
    _run(stack, "api", "migrate")
    prefect = server("prefect", "prefect", "server", "start", "--host", "127.0.0.1", "--port", prefect_port)
    api = server("api", "api", "serve", "--host", "127.0.0.1", "--port", api_port)
    api.wait_until(lambda: _api_answers(stack), STARTING)
    prefect.wait_until(lambda: _answers(f"{stack.prefect_url}/health"), STARTING)
    _make_keys(stack)
    _run(stack, "deployments")
    worker = server("worker", "prefect", "worker", "start", "--pool", "gpu", "--name", "local")
    _attend_worker(stack, worker)


def _attend_worker(stack: Stack, worker: Server) -> None:
    """Wait for the worker; its first run looks for what a worker before it has left."""
    worker.wait_until(lambda: worker.has_said("started!"), STARTING)
    worker.wait_until(lambda: _look_asked_for(stack), STARTING)


def _look_asked_for(stack: Stack) -> bool:
    """A busy server on SQLite answers late, or 503 to one of several writers: it is asked again then."""
    try:
        with httpx.Client(base_url=stack.prefect_url, timeout=30) as prefect:
            look = prefect.get(f"deployments/name/{LOOK}").raise_for_status().json()["id"]
            asked = {"name": "at the worker's start"}
            return prefect.post(f"deployments/{look}/create_flow_run", json=asked).is_success
    except httpx.HTTPError:
        return False


def restart(stack: Stack, name: str) -> None:
    """Start a server that has ended again, and wait until it is at work.

    Raises:
        StartFailed: It ended at once.
    """
    [server] = [server for server in stack.servers if server.name == name]
    server.start_again()
    if name == "worker":
        _attend_worker(stack, server)
    elif name == "api":
        server.wait_until(lambda: _api_answers(stack), STARTING)
    else:
        server.wait_until(lambda: _answers(f"{stack.prefect_url}/health"), STARTING)


def _api_answers(stack: Stack) -> bool:
    try:
        with Client(stack.api_url, patience=0) as client:
            return client.health().status == "healthy"
    except Unreachable:
        return False


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).is_success
    except httpx.HTTPError:
        return False


def _run(stack: Stack, *words: str, given: str | None = None) -> str:
    """Run one of our own commands to its end; its words are shown only if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", *words],
        cwd=REPOSITORY,
        env=stack.environment,
        input=given,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise StartFailed(f"python -m {' '.join(words)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout.strip()


def _make_keys(stack: Stack) -> None:
    """An admin key and a key to read with, once; a service key, which only Prefect keeps, anew at each start."""
    if not stack.key_file("admin").exists():
        _keep(stack, "admin", _run(stack, "api", "first-admin", "local-admin"))
    with stack.client("admin") as admin:
        if not stack.key_file("user").exists():
            new = NewApiKey(name="local-user", scopes=["training", "testing"], expires_in_days=None)
            _keep(stack, "user", admin.keys.create(new).key)
        for old in admin.keys.list().items:
            if old.name == SERVICE:
                admin.keys.revoke(old.id)
        service = admin.keys.create(NewApiKey(name=SERVICE, scopes=["worker"], expires_in_days=None))
    _run(stack, "deployments", "store-key", "--api-url", stack.api_url, given=service.key)


def _keep(stack: Stack, name: str, key: str) -> None:
    file = stack.key_file(name)
    file.parent.mkdir(mode=0o700, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(key + "\n")


def _stop(stack: Stack) -> None:
    """Stop the newest first. A second Ctrl-C must not leave half of it running.

    A worker that is told to stop kills its runs before they can say so: they are asked first, and end their jobs.
    So are those of a worker that was killed.
    """
    heeded = {number: signal.signal(number, signal.SIG_IGN) for number in STOP_SIGNALS}
    try:
        for server in reversed(stack.servers):
            if server.name == "worker":
                server.end_children(LEAVING)
                end_all(_runs(stack.home), STOPPING)
            server.stop(STOPPING)
    finally:
        for number, handler in heeded.items():
            signal.signal(number, handler)


def _runs(home: Path) -> list[psutil.Process]:
    """The flow runs on this home; what they have started themselves is their affair."""
    found = {
        process.pid: process
        for process in psutil.process_iter()
        if (environment := environment_of(process)).get("TUNEYARD_HOME") == str(home)
        and "PREFECT__FLOW_RUN_ID" in environment
    }
    return [process for process in found.values() if parent_of(process) not in found]


def stop_on_signals() -> None:
    """Make SIGTERM and SIGHUP end us as Ctrl-C does; started in the background, SIGINT may be ignored: not by us."""

    def leave(number: int, frame: Any) -> None:  # noqa: ARG001
        raise KeyboardInterrupt

    for number in STOP_SIGNALS:
        signal.signal(number, leave)
