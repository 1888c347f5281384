"""A run's metrics reach the server whatever happens to the network or the process, and the run never waits."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sdk_fixtures import TOKEN, MetricServer, http_server, refused
from tests.unasync import ROOT
from tuneyard import Client, Reporter, outbox
from tuneyard.shapes import MetricPoint

JOB = "j1"


def points(first: int, last: int) -> list[MetricPoint]:
    return [MetricPoint(step=step, train_loss=1 / (step + 1)) for step in range(first, last)]


def report(url: str, folder: Path, some: list[MetricPoint], patience: float = 20.0) -> int:
    """One process's life: open, report, close. How many points are left."""
    with Client(url, job_token=TOKEN) as client:
        reporter = Reporter(client, JOB, folder)
        for point in some:
            reporter.report(point)
        return reporter.close(patience)


def rejected(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.rejected.jsonl").read_text().splitlines()]


def until(happened: Callable[[], object]) -> None:
    """Wait for a thing of another thread or process; pytest's time-out ends a wait in vain."""
    pause = threading.Event()
    while not happened():
        pause.wait(0.01)


def test_every_point_arrives_once_and_as_it_was(tmp_path: Path) -> None:
    server = MetricServer()
    with http_server(server) as url:
        assert report(url, tmp_path, points(0, 1200)) == 0
    assert sorted(server.rows) == list(range(1200))
    assert server.rows[3] == {"step": 3, "train_loss": 0.25}
    assert server.pushes < 1200


def test_a_loss_that_is_not_finite_is_reported_as_such(tmp_path: Path) -> None:
    server = MetricServer()
    with http_server(server) as url:
        assert report(url, tmp_path, [MetricPoint(step=1, train_loss=float("nan"))]) == 0
    assert server.rows[1]["train_loss"] == "NaN"


def test_points_survive_a_burst_of_503(tmp_path: Path) -> None:
    server = MetricServer()
    server.mood = lambda _: refused(503) if server.pushes <= 2 else None
    with http_server(server) as url:
        assert report(url, tmp_path, points(0, 20)) == 0
    assert sorted(server.rows) == list(range(20))


def test_with_the_api_away_nothing_is_raised_and_the_next_reporter_sends(tmp_path: Path) -> None:
    assert report("http://127.0.0.1:9", tmp_path, points(0, 30), patience=0.1) == 30
    server = MetricServer()
    with http_server(server) as url:
        assert report(url, tmp_path, points(30, 40)) == 0
    assert sorted(server.rows) == list(range(40))


def test_a_server_that_never_answers_holds_up_neither_report_nor_close(tmp_path: Path) -> None:
    release = threading.Event()

    def hangs(_method: str, _path: str, _body: bytes) -> tuple[int, dict[str, str], bytes]:
        release.wait(60)
        return 503, {}, b""

    with http_server(hangs) as url:
        assert report(url, tmp_path, points(0, 5), patience=0.2) == 5
        release.set()


KILLED = """
import os, sys
from pathlib import Path
from tuneyard import Client, Reporter, outbox
from tuneyard.shapes import MetricPoint

client = Client(sys.argv[1], job_token=sys.argv[3])
reporter = Reporter(client, "j1", Path(sys.argv[2]))
for step in range(2000):
    reporter.report(MetricPoint(step=step, train_loss=0.5))
print("reported", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_loses_no_point_it_had_reported(tmp_path: Path) -> None:
    server = MetricServer()
    server.mood = lambda _: refused(503) if server.pushes > 2 else None
    with http_server(server) as url:
        command = [sys.executable, "-c", KILLED, url, str(tmp_path), TOKEN]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT
        ) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == "reported\n"
            until(lambda: server.pushes > 3)
            child.kill()
            assert child.wait() == -signal.SIGKILL
        assert 0 < len(server.rows) < 2000
        server.mood = lambda _: None
        assert report(url, tmp_path, points(2000, 2003)) == 0
    assert sorted(server.rows) == list(range(2003))


def test_a_line_torn_by_a_kill_is_neither_sent_nor_glued_to_the_next(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step":1}\n{"step":2,"train_lo')
    server = MetricServer()
    with http_server(server) as url:
        assert report(url, tmp_path, []) == 0
        assert sorted(server.rows) == [1]
        assert report(url, tmp_path, points(3, 5)) == 0
    assert sorted(server.rows) == [1, 3, 4]
    assert [one["line"] for one in rejected(tmp_path)] == ['{"step":2,"train_lo']


@pytest.mark.parametrize("ack", [None, b"", b"torn", b"999999", b"5", b"-3", b"\xff"])
def test_without_a_sound_note_of_what_was_sent_all_is_sent_again(tmp_path: Path, ack: bytes | None) -> None:
    (tmp_path / "metrics.jsonl").write_bytes(b'{"step":1}\n{"step":2}\n')
    if ack is not None:
        (tmp_path / "metrics.ack").write_bytes(ack)
    server = MetricServer()
    with http_server(server) as url:
        assert report(url, tmp_path, []) == 0
    assert sorted(server.rows) == [1, 2]


def test_a_reporter_of_however_short_a_life_leaves_nothing_behind(tmp_path: Path) -> None:
    """Reporting and closing while the thread is just finding the spool empty."""
    server = MetricServer()
    with http_server(server) as url, Client(url, job_token=TOKEN) as client:
        for step in range(200):
            reporter = Reporter(client, JOB, tmp_path)
            reporter.report(MetricPoint(step=step))
            assert reporter.close() == 0
    assert sorted(server.rows) == list(range(200))


def test_what_was_sent_is_not_sent_again(tmp_path: Path) -> None:
    server = MetricServer()
    with http_server(server) as url:
        report(url, tmp_path, points(0, 10))
        server.rows.clear()
        assert report(url, tmp_path, points(10, 12)) == 0
    assert sorted(server.rows) == [10, 11]


def test_points_the_server_calls_invalid_are_set_aside_and_hold_up_none(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    bad = {3, 40, 41}
    server = MetricServer()
    server.mood = lambda some: refused(422, "step 3?") if bad & {one["step"] for one in some} else None
    with http_server(server) as url, caplog.at_level(logging.WARNING, "tuneyard"):
        assert report(url, tmp_path, points(0, 100)) == 0
    assert sorted(server.rows) == sorted(set(range(100)) - bad)
    assert {json.loads(one["line"])["step"] for one in rejected(tmp_path)} == bad
    assert all("422" in one["reason"] for one in rejected(tmp_path))
    assert len([one for one in caplog.records if "set aside" in one.message]) == 3


@pytest.mark.parametrize("status", ["cancelling", "cancelled"])
def test_a_cancelled_job_is_told_to_stop_and_still_reports(tmp_path: Path, status: str) -> None:
    server = MetricServer()
    server.job_status = status
    with http_server(server) as url, Client(url, job_token=TOKEN) as client:
        with Reporter(client, JOB, tmp_path) as reporter:
            assert reporter.stop_reason is None
            reporter.report(MetricPoint(step=1))
            until(lambda: reporter.stop_reason)
            assert reporter.stop_reason == "cancelled"
            reporter.report(MetricPoint(step=2))
        assert reporter.close() == 0
    assert sorted(server.rows) == [1, 2]


def test_a_dead_token_stops_the_run_and_its_reports(tmp_path: Path) -> None:
    server = MetricServer()
    server.mood = lambda _: refused(401, "a newer attempt has the job")
    with http_server(server) as url, Client(url, job_token=TOKEN) as client:
        reporter = Reporter(client, JOB, tmp_path)
        reporter.report(MetricPoint(step=1))
        until(lambda: reporter.stop_reason)
        reporter.report(MetricPoint(step=2))
        assert reporter.stop_reason == "superseded"
        assert reporter.close() == 2
    assert server.pushes == 1


def test_a_token_that_dies_after_a_cancel_ends_the_reports(tmp_path: Path) -> None:
    server = MetricServer()
    server.job_status = "cancelled"
    server.mood = lambda _: refused(401) if server.pushes > 1 else None
    with http_server(server) as url, Client(url, job_token=TOKEN) as client:
        reporter = Reporter(client, JOB, tmp_path)
        reporter.report(MetricPoint(step=1))
        until(lambda: reporter.stop_reason)
        reporter.report(MetricPoint(step=2))
        assert reporter.close() == 1
    assert reporter.stop_reason == "cancelled"
    assert server.pushes == 2


def test_without_a_client_points_are_kept_and_a_warning_says_so_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "tuneyard"):
        reporter = Reporter(None, JOB, tmp_path)
        for point in points(0, 3):
            reporter.report(point)
        assert reporter.close() == 3
    assert [one.message for one in caplog.records] == ["Cannot report metrics - job_token not set for j1"]
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_no_file_and_no_log_holds_the_token(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        report("http://127.0.0.1:9", tmp_path, points(0, 3), patience=0.1)
    assert TOKEN not in caplog.text
    assert all(TOKEN not in file.read_text() for file in tmp_path.iterdir())


def test_the_end_says_what_is_left_while_it_is_being_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "TELL_EVERY", 0.1)
    server = MetricServer()
    server.mood = lambda _: refused(503) if server.pushes < 3 else None
    with http_server(server) as url, caplog.at_level(logging.WARNING, "tuneyard"):
        assert report(url, tmp_path, points(0, 700)) == 0
    told = [one.message for one in caplog.records if "are left" in one.message]
    assert told[0].startswith("Sending the metrics of job j1: 700 are left, for ")


def test_however_many_points_wait_they_wait_on_disk(tmp_path: Path) -> None:
    with Client("http://127.0.0.1:9", job_token=TOKEN) as client:
        reporter = Reporter(client, JOB, tmp_path)
        tracemalloc.start()
        for step in range(30_000):
            reporter.report(MetricPoint(step=step, train_loss=0.5, grad_norm=1.5))
        held, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert reporter.close(0.1) == 30_000
    assert held < 2 * 2**20
