"""Whatever ends the stack, nothing of it is left running and no job is left running either."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.local_stack import REPOSITORY, running_stack
from deployments.processes import Server, StartFailed, environment_without, free_port
from tests.deployed import until
from tests.disturbed import Outcome, completed, outcome, reaches, train


def _of_home(home: Path) -> list[str]:
    """The command lines of the living processes that work for the stack in `home`."""
    return [" ".join(command) for command in _processes(home).values()]


def _processes(home: Path) -> dict[psutil.Process, list[str]]:
    """Those processes, and their command lines."""
    found = {}
    for process in psutil.process_iter():
        try:
            of_home = process.environ().get("TUNEYARD_HOME") == str(home)
            if of_home and process.status() != psutil.STATUS_ZOMBIE:
                found[process] = process.cmdline()
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
        assert _jobs(home) == [("cancelled", None)], "the next stack in this home must not go on with it"


def _jobs(home: Path) -> list[tuple[str, str]]:
    database = sqlite3.connect(home / "tuneyard.db")
    try:
        return database.execute("SELECT status, error FROM job").fetchall()
    finally:
        database.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("worker", ["alive", "killed"])
def test_a_job_that_runs_when_the_stack_is_stopped_goes_on_when_it_is_started_again(
    tmp_path: Path, short_config: dict[str, Any], unbroken: Outcome, worker: str
) -> None:
    home = tmp_path / "home"
    with running_stack(home, free_port(), free_port(), poll_seconds=1.0) as stack:
        job_id = train(stack, short_config)
        reaches(stack, job_id, 100)
        if worker == "killed":
            _workers(home)[0].kill()
    assert _of_home(home) == []
    with running_stack(home, free_port(), free_port(), poll_seconds=1.0) as stack:
        job = completed(stack, job_id)
        assert (job.attempt, job.restarts) == (2, 0), "it was handed back: that is no loss"
        assert outcome(stack, job) == unbroken


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_make_up_starts_a_worker_again_that_was_killed_and_says_so(tmp_path: Path) -> None:
    home, log = tmp_path / "home", tmp_path / "up.log"
    ports = ["--api-port", str(free_port()), "--prefect-port", str(free_port())]
    with log.open("w") as sink:
        up = subprocess.Popen(
            [sys.executable, "-m", "deployments.up", *ports],
            cwd=REPOSITORY,
            env={**environment_without("PREFECT_"), "TUNEYARD_HOME": str(home)},
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        until(lambda: "Ctrl-C stops it all" in log.read_text())
        [worker] = _workers(home)
        worker.kill()
        until(lambda: _workers(home) and worker not in _workers(home))
        assert "worker ended (exit code -9)" in log.read_text()
    finally:
        up.terminate()
        up.wait(90)
    assert _of_home(home) == []


def _workers(home: Path) -> list[psutil.Process]:
    return [process for process, command in _processes(home).items() if "worker" in command]


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
