"""What the API writes to its log, read from real processes: each line whole, and no secret in any."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.access.pepper import load_pepper, make_pepper
from api.database import Database
from api.first_admin import make_first_admin
from api.schema_head import make_ready
from api.settings import Settings
from tests.test_api_process import ROOT, environment
from tuneyard import keys

JOBS = "/api/v1/jobs"
ULID = "[0-9A-HJKMNP-TV-Z]{26}"
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"
TEXT_LINE = re.compile(rf"{TIME} [A-Z]+ [\w.]+ \[({ULID}|-)\] \S.*")
FAULTY = """
import logging, sys, warnings
from api.request_log import log_to_stderr
log_to_stderr(sys.argv[1])
key, token = sys.stdin.read().split()
try:
    raise ValueError(f"cannot use {key}, {key[:30]} nor {token}")
except ValueError:
    logging.getLogger("tuneyard.api").exception("GET /x failed\\nwith %s", key)
    logging.getLogger("uvicorn.error").exception("Exception in ASGI application")
warnings.warn(f"old: {token}")
"""


@dataclass
class Log:
    """A finished server's log, and what was done there."""

    text: str
    key: str
    session: str
    token: str
    job_id: str
    answers: dict[str, httpx.Response]

    @property
    def objects(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        return [line for line in self.objects if line["event"] == name]

    def access_line(self, answer: str) -> dict[str, Any]:
        request_id = self.answers[answer].headers["X-Request-ID"]
        (found,) = [line for line in self.events("http.request") if line["request_id"] == request_id]
        return found


def _address(log: Path) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if found := re.search(r"http://[\w.]+:\d+", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(log.read_text())


def _send_junk(url: str) -> None:
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"NOT HTTP\r\n\r\n")
        connection.recv(1000)


def _visit(url: str, log: Log) -> None:
    with httpx.Client(base_url=url, timeout=30) as http:

        def call(name: str, method: str, path: str, secret: str | None, **given: Any) -> dict[str, Any]:
            kind = "X-API-Key" if secret and secret.startswith("wak_") else "Authorization"
            headers = {kind: secret if kind == "X-API-Key" else f"Bearer {secret}"} if secret else {}
            log.answers[name] = http.request(method, path, headers=headers, **given)
            body: dict[str, Any] = log.answers[name].json()
            return body

        log.job_id = call("made", "POST", JOBS, log.key, json={"model": "m"})["id"]
        claim = {"host": "h", "pid": 1}
        log.token = call("claimed", "POST", f"{JOBS}/{log.job_id}/claim", log.key, json=claim)["job_token"]
        call("reported", "PUT", f"{JOBS}/{log.job_id}/metrics", log.token, json={"step": 1})
        call("test", "POST", "/api/v1/batch-tests", log.key, json={"suite": "s", "model": "m"})
        call("listed", "GET", f"{JOBS}?flow_run_id=in-the-query&more={log.key}", log.key)
        call("none", "GET", JOBS, None)
        call("refused", "GET", JOBS, log.session)
        call("in path", "GET", f"/x/{log.key}/{log.session}", log.key)
        call("forged", "GET", "/x%0a2026-01-01T00:00:00.000Z INFO forged [-] line", log.key)
    _send_junk(url)


def _first_key(home: Path) -> str:
    make_pepper(home)
    settings = Settings(tuneyard_home=home, database_url=None, tuneyard_pepper=None)
    database = Database(settings.database, 5)
    make_ready(database)
    key = make_first_admin(database, load_pepper(settings), "a")
    database.close()
    return key


@pytest.fixture(scope="module")
def visited(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Log]:
    """Serves in a format with so many workers, once each, and gives the log of a visit."""
    home = tmp_path_factory.mktemp("home")
    key = _first_key(home)
    seen: dict[str, Log] = {}

    def visit(style: str, workers: str) -> Log:
        if style not in seen:
            file = home / f"{style}.log"
            command = [sys.executable, "-m", "api", "serve", "--port", "0", "--workers", workers]
            with file.open("w") as sink:
                given = environment(home, TUNEYARD_LOG_FORMAT=style)
                server = subprocess.Popen(command, cwd=ROOT, env=given, stderr=sink, stdout=sink)
            log = Log("", key, keys.mint_session_token(), "", "", {})
            try:
                _visit(_address(file), log)
            finally:
                server.terminate()
                assert server.wait(20) == 0
            log.text = file.read_text()
            seen[style] = log
        return seen[style]

    return visit


@pytest.fixture
def as_json(visited: Callable[[str, str], Log]) -> Log:
    return visited("json", "2")


@pytest.fixture
def as_text(visited: Callable[[str, str], Log]) -> Log:
    return visited("text", "1")


def test_every_line_is_one_json_object_of_one_form(as_json: Log) -> None:
    for line in as_json.objects:
        assert list(line)[:5] == ["time", "level", "logger", "event", "request_id"]
        assert re.fullmatch(TIME, line["time"])
        assert line["request_id"] is None or re.fullmatch(ULID, line["request_id"])
    assert {line["logger"] for line in as_json.objects} >= {"tuneyard.api", "tuneyard.auth", "uvicorn.error"}


def test_every_line_of_text_is_one_record(as_text: Log) -> None:
    for line in as_text.text.splitlines():
        assert TEXT_LINE.fullmatch(line), line
    assert not re.search(r"^\S+ INFO forged", as_text.text, re.M)
    assert "uvicorn.error" in as_text.text


def test_each_answer_has_a_line_with_its_number(as_json: Log, as_text: Log) -> None:
    statuses = {"made": 201, "listed": 200, "none": 401, "refused": 401, "forged": 404}
    for name, status in statuses.items():
        line = as_json.access_line(name)
        assert (line["status"], line["level"], type(line["milliseconds"])) == (status, "INFO", float)
        request_id = as_text.answers[name].headers["X-Request-ID"]
        assert re.search(rf"\[{request_id}\] [A-Z]+ /\S.* {status} [\d.]+ ms$", as_text.text, re.M)
    listed = as_json.access_line("listed")
    assert (listed["method"], listed["path"]) == ("GET", JOBS)


@pytest.mark.parametrize("style", ["as_json", "as_text"])
def test_no_secret_and_no_query_is_logged(style: str, request: pytest.FixtureRequest) -> None:
    log: Log = request.getfixturevalue(style)
    for secret in (log.key[17:49], log.session[4:], log.token, "in-the-query"):
        assert secret not in log.text
    assert f"/x/{log.key[:16]}_***/wst_***" in log.text


def test_who_came_is_told_by_public_id(as_json: Log) -> None:
    public_id = keys.parse(as_json.key)
    made, *_ = as_json.events("auth.success")
    assert made.items() >= {"key_id": public_id, "mode": "apiKey", "method": "POST", "path": JOBS}.items()
    by_run = [line for line in as_json.events("auth.success") if "job_id" in line]
    assert [line["job_id"] for line in by_run] == [as_json.job_id]
    assert {line["path"] for line in as_json.events("auth.missing_key")} == {JOBS}
    (refused,) = as_json.events("auth.invalid_key")
    told = {name: value for name, value in refused.items() if name not in ("time", "request_id")}
    assert told == {
        "level": "WARNING",
        "logger": "tuneyard.auth",
        "event": "auth.invalid_key",
        "method": "GET",
        "path": JOBS,
        "address": "127.0.0.1",
    }


def test_work_that_is_asked_for_is_one_line(as_json: Log, as_text: Log) -> None:
    train, test = as_json.events("ml_operation")
    public_id = keys.parse(as_json.key)
    assert train.items() >= {"operation": "train", "key_prefix": public_id, "cost_estimate": None}.items()
    assert train["job_id"] == as_json.job_id
    assert train["request_id"] == as_json.answers["made"].headers["X-Request-ID"]
    assert test.items() >= {"operation": "batch_test", "job_id": as_json.answers["test"].json()["id"]}.items()
    line = f"ml_operation operation=train key_prefix={public_id} job_id={as_text.job_id} cost_estimate=None"
    assert line in as_text.text


@pytest.mark.parametrize("style", ["json", "text"])
def test_a_traceback_shows_what_failed_and_no_secret(style: str) -> None:
    key, token = keys.mint(), keys.mint_session_token()
    done = subprocess.run(
        [sys.executable, "-c", FAULTY, style],
        input=f"{key.text} {token}",
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert key.text[17:] not in done.stderr
    assert key.text[17:29] not in done.stderr
    assert token[4:] not in done.stderr
    shown = f"ValueError: cannot use wak_{key.public_id}_***, wak_{key.public_id}_*** nor wst_***"
    if style == "text":
        assert done.stderr.count(shown) == 2
        return
    ours, uvicorns, warning = (json.loads(line) for line in done.stderr.splitlines())
    assert ours["event"] == f"GET /x failed\nwith wak_{key.public_id}_***"
    assert ours["traceback"].endswith(shown)
    assert uvicorns["traceback"].startswith("Traceback (most recent call last)")
    assert (warning["logger"], warning["level"]) == ("py.warnings", "WARNING")
