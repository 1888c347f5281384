"""What was answered is there, once, after a kill of the server; a full or locked database stops only writes."""

from __future__ import annotations

import gzip
import json
import re
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.settings import Settings
from tests.api_fixtures import UNLIMITED, Office, served
from tests.test_api_process import ROOT, api, environment

RESTART_SECONDS = 3.0


@contextmanager
def serving(home: Path, *words: str, **more: str) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A real server that writes its log into a file, as busy as it may be."""
    command = [sys.executable, "-m", "api", "serve", "--port", "0", *words]
    more = {"API_RATE_LIMIT_PER_KEY": "1000000", **more}  # half a million points are read by the page
    with (home / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment(home, **more), stderr=log)
    try:
        yield process, _address(home / "log")
    finally:
        process.kill()
        process.wait()


def _address(log: Path) -> str:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if found := re.search(r"http://\S+:\d+", log.read_text()):
            return found[0]
        time.sleep(0.01)
    raise AssertionError(log.read_text())


@pytest.fixture
def home(tmp_path: Path) -> Path:
    assert api(tmp_path, "pepper").returncode == 0
    (tmp_path / "admin").write_text(api(tmp_path, "first-admin", "a").stdout.strip())
    return tmp_path


class Writer:
    """One job's trainer: writes on, and keeps a ledger of what was answered: {step: loss}."""

    def __init__(self, home: Path, job_id: str) -> None:
        self.key = {"X-API-Key": (home / "admin").read_text()}
        self.job_id = job_id
        self.path = f"/api/v1/jobs/{job_id}/metrics"
        self.ledger: dict[int, float] = {}
        self.token = ""
        self.next = 0

    def claim(self, url: str) -> None:
        httpx.post(f"{url}/api/v1/jobs", headers=self.key, json={"id": self.job_id, "model": "m"}, timeout=30)
        run = {"host": "h", "pid": 1}
        taken = httpx.post(f"{url}/api/v1/jobs/{self.job_id}/claim", headers=self.key, json=run, timeout=30)
        self.token = taken.json()["job_token"]

    def write_until_it_dies(self, url: str) -> None:
        headers = {"Authorization": f"Bearer {self.token}"}
        with httpx.Client(base_url=url, headers=headers, timeout=30) as http:
            while True:
                count = 1 + self.next % 40
                steps = range(self.next, self.next + count)
                points = [{"step": step, "train_loss": self.next + step / 7} for step in steps]
                try:
                    answer = http.put(self.path, json={"metrics": points})
                except httpx.HTTPError:
                    return  # sent again, with other values, to the next server
                assert answer.status_code == 200, answer.text
                self.ledger |= {point["step"]: point["train_loss"] for point in points}
                self.next += count

    def check(self, url: str) -> None:
        rows: list[dict[str, Any]] = []
        cursor: dict[str, str] = {}
        while True:
            query = {"limit": "5000", **cursor}
            page = httpx.get(f"{url}{self.path}", params=query, headers=self.key, timeout=30).json()
            rows += page["items"]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert len(rows) == page["total"] == len({row["step"] for row in rows})
        stored = {row["step"]: row["train_loss"] for row in rows}
        lost = [step for step, loss in self.ledger.items() if stored.get(step) != loss]
        assert not lost
        assert len(rows) - len(self.ledger) <= 40  # no more than the one request that was not answered
        summed = httpx.get(f"{url}{self.path}?buckets=50", headers=self.key, timeout=30).json()
        assert sum(summed["points"]) == len(rows)
        if rows:
            assert max(summed["columns"]["train_loss"]["max"]) == max(stored.values())


def killed_again_and_again(home: Path, rounds: int) -> float:
    """The seconds that the slowest start took."""
    writers = [Writer(home, f"j{number}") for number in range(4)]
    slowest = 0.0
    for _ in range(rounds):
        began = time.monotonic()
        with serving(home) as (process, url):
            httpx.get(f"{url}/health", timeout=30)
            slowest = max(slowest, time.monotonic() - began)
            for writer in writers:
                writer.check(url) if writer.token else None
                writer.claim(url)
            with ThreadPoolExecutor(len(writers)) as pool:
                going = [pool.submit(writer.write_until_it_dies, url) for writer in writers]
                time.sleep(0.7)
                process.send_signal(signal.SIGKILL)
                for each in going:
                    each.result(40)
    with serving(home) as (_, url):
        for writer in writers:
            writer.check(url)
    print(f"{sum(len(writer.ledger) for writer in writers)} steps; slowest start {slowest:.2f} s")
    return slowest


def test_a_killed_server_loses_and_doubles_nothing_that_it_answered(home: Path) -> None:
    killed_again_and_again(home, 3)


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_fifty_kills_lose_and_double_nothing(home: Path) -> None:
    assert killed_again_and_again(home, 50) < RESTART_SECONDS


def test_a_full_disk_is_a_503_with_nothing_half_written_and_goes_by_without_a_restart(home: Path) -> None:
    """The process may let no file grow: what it adds to the database's log fails, as on a full disk."""
    with serving(home) as (process, url):
        writer = Writer(home, "j")
        writer.claim(url)
        headers = {"Authorization": f"Bearer {writer.token}"}

        def write(first: int) -> httpx.Response:
            points = [
                {"step": step, "train_loss": 0.5, "extra": {"a": step}} for step in range(first, first + 500)
            ]
            return httpx.put(f"{url}{writer.path}", json={"metrics": points}, headers=headers, timeout=30)

        assert write(0).status_code == 200
        size = (home / "tuneyard.db-wal").stat().st_size
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
        refused = [write(500) for _ in range(3)]
        read = httpx.get(f"{url}{writer.path}", headers=writer.key, timeout=30)
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        assert [answer.status_code for answer in refused] == [503] * 3, refused[0].text
        assert refused[0].headers["Retry-After"] == "1"
        assert "disk" in refused[0].json()["detail"]
        assert (read.status_code, read.json()["total"]) == (200, 500)
        assert httpx.get(f"{url}{writer.path}?buckets=9", headers=writer.key).json()["total"] == 500
        assert write(500).status_code == 200
        assert httpx.get(f"{url}{writer.path}", headers=writer.key).json()["total"] == 1000
    check = sqlite3.connect(home / "tuneyard.db")
    assert check.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    check.close()


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Office]:
    settings = Settings(
        tuneyard_home=tmp_path, database_url=None, tuneyard_database_patience=0.3, **UNLIMITED
    )
    with served(settings) as running:
        here = Office(running)
        yield here
        here.http.close()


def test_a_locked_database_is_read_on_and_written_again_once_it_is_free(own: Office) -> None:
    job_id, token = own.claimed_job()
    path, key = f"/api/v1/jobs/{job_id}/metrics", own.key("training")
    assert own.call("PUT", path, token, json={"step": 1}).status_code == 200
    blocker = sqlite3.connect(own.served.database.url.database or "", isolation_level=None)
    blocker.execute("BEGIN IMMEDIATE")
    refused = own.call("PUT", path, token, json={"step": 2})
    began = time.monotonic()
    reads = [own.call("GET", path, key).json()["total"] for _ in range(20)]
    took = time.monotonic() - began
    blocker.execute("ROLLBACK")
    blocker.close()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert reads == [1] * 20
    assert took < 2
    assert own.call("PUT", path, token, json={"step": 2}).status_code == 200


def test_fifty_writers_at_once_are_all_stored(any_office: Office) -> None:
    """Some write to a job of their own, some to one that they share."""
    shared = any_office.claimed_job()
    jobs = [shared if number % 5 == 0 else any_office.claimed_job() for number in range(50)]
    ready = threading.Barrier(50)

    def write(number: int) -> set[int]:
        job_id, token = jobs[number]
        ready.wait()
        headers = {"Authorization": f"Bearer {token}"}
        with httpx.Client(base_url=any_office.served.url, headers=headers, timeout=60) as http:
            answers = [
                http.put(f"/api/v1/jobs/{job_id}/metrics", json={"step": number + 50 * turn})
                for turn in range(10)
            ]
        return {answer.status_code for answer in answers}

    with ThreadPoolExecutor(50) as pool:
        assert set.union(*pool.map(write, range(50))) == {200}
    key = any_office.key("training")
    totals = [any_office.call("GET", f"/api/v1/jobs/{j}/metrics", key).json()["total"] for j, _ in set(jobs)]
    assert sorted(totals) == [10] * 40 + [100]


def zipped(body: bytes, **headers: str) -> dict[str, Any]:
    named = {"Content-Type": "application/json", "Content-Encoding": "gzip"} | headers
    return {"content": body, "headers": named}


@pytest.mark.parametrize("path", ["/api/v1/jobs/{}/metrics", "/api/training/local/{}/metrics"])
def test_a_body_may_be_gzipped_and_has_an_end(office: Office, path: str) -> None:
    job_id, token = office.claimed_job()
    where = path.format(job_id)
    good = json.dumps({"metrics": [{"step": step, "epoch": 0.0} for step in range(100)]}).encode()
    bomb = gzip.compress(b" " * 50_000_000)
    plain = {"Content-Type": "application/json"}
    for given, status in (
        (zipped(gzip.compress(good)), 200),
        (zipped(bomb), 413),
        ({"content": good + b" " * 9_000_000, "headers": plain}, 413),
        (zipped(gzip.compress(good)[:-9]), 400),
        (zipped(gzip.compress(good) + b"x"), 400),
        (zipped(good), 400),
        (zipped(good, **{"Content-Encoding": "br"}), 400),
    ):
        assert office.call("PUT", where, token, **given).status_code == status
        assert office.call("PUT", where, "x" * 43, **given).status_code == 401
        assert office.call("PUT", where, **given).status_code == 401
    assert office.call("GET", f"/api/v1/jobs/{job_id}/metrics", office.key("training")).json()["total"] == 100


def test_a_served_process_runs_on_uvloop(home: Path) -> None:
    """Without it each request to one of several workers stalls 40 ms."""
    with serving(home, "--workers", "2") as (process, url):
        times = []
        with httpx.Client(base_url=url) as http:
            for _ in range(30):
                began = time.monotonic()
                http.get("/health")
                times.append(time.monotonic() - began)
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        workers = [
            child for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()
        ]
        assert len(workers) == 2
        for worker in workers:
            assert "uvloop" in Path(f"/proc/{worker}/maps").read_text()
        process.send_signal(signal.SIGTERM)
        process.wait(20)
    assert sorted(times)[15] < 0.03, times
