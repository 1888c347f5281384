"""Whatever ends the stack, nothing of it is left running and no job is left running either."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from deployments.local_stack import REPOSITORY
from deployments.processes import Server, StartFailed, environment_without, free_port
from tests.deployed import until


def _of_home(home: Path) -> list[str]:
    """The command lines of the living processes that work for the stack in `home`."""
    found = []
    for process in psutil.process_iter():
        try:
            if (
                process.environ().get("TUNEYARD_HOME") == str(home)
                and process.status() != psutil.STATUS_ZOMBIE
            ):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], Path]]:
    """`make demo`'s own command, in a home of its own, as a shell starts it in the foreground."""
    home = tmp_path / "home"
    log = (tmp_path / "demo.log").open("w")
    process = subprocess.Popen(
        [sys.executable, "-m", "deployments.demo"],
        cwd=REPOSITORY,
        env={**environment_without("PREFECT_"), "TUNEYARD_HOME": str(home)},
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
    )
    yield process, home
    process.kill()
    process.wait()
    log.close()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_interrupted_leaves_nothing_running(
    demo: tuple[subprocess.Popen[str], Path], number: signal.Signals
) -> None:
    process, home = demo
    log = home.with_name("demo.log")
    working = "queued: Getting the model" if number == signal.SIGINT else "Starting the API"
    until(lambda: working in log.read_text() and _of_home(home))
    os.killpg(process.pid, number)
    assert process.wait(timeout=90) == 1
    assert "nothing was left running" in log.read_text()
    assert "Traceback" not in log.read_text()
    assert _of_home(home) == []
    if number == signal.SIGINT:
        assert _jobs(home) == [("failed", "The worker was stopped while the job ran. Run it again.")]


def _jobs(home: Path) -> list[tuple[str, str]]:
    database = sqlite3.connect(home / "tuneyard.db")
    try:
        return database.execute("SELECT status, error FROM job").fetchall()
    finally:
        database.close()


def test_a_server_that_ends_at_start_is_reported_with_its_last_words(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such luck'); raise SystemExit(3)"]
    server = Server("luckless", command, os.environ, tmp_path / "log", tmp_path)
    with pytest.raises(StartFailed, match="no such luck"):
        server.wait_until(lambda: False, 30)


def test_stopping_a_server_ends_what_it_started_too(tmp_path: Path) -> None:
    child = "import time; time.sleep(600)"
    command = [
        sys.executable,
        "-c",
        f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])",
    ]
    server = Server("parent", command, os.environ, tmp_path / "log", tmp_path)
    [grandchild] = until(lambda: psutil.Process(server.process.pid).children())
    server.stop(5)
    assert server.process.returncode is not None
    assert not grandchild.is_running()


def test_a_free_port_can_be_listened_on() -> None:
    assert 1024 < free_port() < 65536
