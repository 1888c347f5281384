"""Following a job, and reading its metrics as a table, with both clients."""

from __future__ import annotations

import asyncio
import io
import json
import math
import threading
from typing import Any

import pytest

from tests.api_fixtures import Office
from tests.sdk_fixtures import KEY, Answer, http_server, refused
from tests.sdk_fixtures import config_home as config_home
from tests.sdk_fixtures import job as a_job
from tests.test_api_metrics import push
from tests.test_job_stream import points
from tuneyard import AsyncClient, Client, cli
from tuneyard.errors import BadInput, NotFound, Unreachable


def test_a_job_is_followed_to_its_end(office: Office) -> None:
    job_id, token = office.claimed_job()
    push(office, job_id, token, points(0, 5))
    with Client(office.served.url, office.key("training")) as client:
        steps, states = [], []
        for update in client.jobs.stream(job_id):
            steps += [point.step for point in update.points]
            states += [update.job.status] if update.job else []
            if steps[-1:] == [4]:
                push(office, job_id, token, points(5, 8))
            if steps[-1:] == [7]:
                office.end(job_id, token)
        assert steps == list(range(8))
        assert states[-1] == "completed"
        assert list(client.jobs.stream(job_id, after=update.id)) == []
        assert [job.status for job in client.jobs.watch(job_id)] == ["completed"]
        with pytest.raises(NotFound):
            next(iter(client.jobs.watch("no-such-job")))


def test_an_asyncio_client_watches_too(office: Office) -> None:
    job_id, token = office.claimed_job()

    async def watched() -> list[str]:
        async with AsyncClient(office.served.url, office.key("training")) as client:
            threading.Timer(0.3, office.end, (job_id, token)).start()
            return [job.status async for job in client.jobs.watch(job_id)]

    assert asyncio.run(watched())[-1] == "completed"


def told(kind: str, mark: str, data: Any) -> bytes:
    return f"event: {kind}\nid: {mark}\ndata: {json.dumps(data)}\n\n".encode()


class Broken:
    """Breaks off after each event."""

    def __init__(self, *events: bytes) -> None:
        self.events = list(events)

    def __call__(self, _method: str, _path: str, _body: bytes) -> Answer:
        body = self.events.pop(0)
        return 200, {"Content-Type": "text/event-stream"}, body


def test_a_stream_that_breaks_off_is_taken_up_again(config_home: Any) -> None:
    row = {"step": 1, "attempt": 1, "timestamp": "2026-11-21T00:00:00Z", "train_loss": "NaN"}
    half = told("metrics", "2", [row | {"step": 2}])[:-20]
    server = Broken(
        told("metrics", "1", [row]) + half,
        b": a comment\n\n" + told("metrics", "2", [row | {"step": 2}]),
        told("state", "3", a_job(status="completed")),
    )
    with http_server(server) as url, Client(url, KEY) as client:
        updates = list(client.jobs.stream("j1"))
    assert [update.id for update in updates] == ["1", "2", "3"]
    assert math.isnan(updates[0].points[0].train_loss or 0)


def test_a_stream_that_brings_nothing_is_given_up_after_the_client_s_patience(config_home: Any) -> None:
    def nothing(_method: str, _path: str, _body: bytes) -> Answer:
        return 200, {"Content-Type": "text/event-stream"}, b""

    with (
        http_server(nothing) as url,
        Client(url, KEY, patience=0.5) as client,
        pytest.raises(Unreachable, match="broke off"),
    ):
        list(client.jobs.stream("j1"))


def test_where_a_server_sends_no_events_a_job_is_looked_at(config_home: Any) -> None:
    states = ["queued", "running", "running", "completed"]

    def server(_method: str, path: str, _body: bytes) -> Answer:
        if path.partition("?")[0].endswith("stream"):
            return refused(404, "There is nothing at it")
        return 200, {}, json.dumps(a_job(status=states.pop(0))).encode()

    with http_server(server) as url, Client(url, KEY) as client:
        assert [job.status for job in client.jobs.watch("j1", 0.01)] == ["queued", "running", "completed"]


@pytest.fixture
def history(office: Office) -> str:
    job_id, token = office.claimed_job()
    push(office, job_id, token, {"step": 0, "train_loss": "NaN", "timestamp": "2026-11-21T10:00:00Z"})
    push(
        office,
        job_id,
        token,
        {"metrics": [{"step": s, "train_loss": 1.5, "extra": {"f1": s}} for s in (1, 2)]},
    )
    return job_id


def test_a_history_is_read_as_a_table(office: Office, history: str) -> None:
    with Client(office.served.url, office.key("training")) as client:
        table = client.metrics.read(history)
        assert len(table) == 3
        assert math.isnan(table["train_loss"][0])
        assert (table["f1"], table["attempt"]) == ([None, 1.0, 2.0], [1, 1, 1])
        assert table["timestamp"][0].isoformat() == "2026-11-21T10:00:00+00:00"
        assert client.metrics.read(history, columns=["f1"]).columns == {
            "step": [0, 1, 2],
            "f1": [None, 1.0, 2.0],
        }
        assert len(client.metrics.read(history, attempt=2)) == 0
        summed = client.metrics.read(history, columns=["f1"], buckets=100)
        assert (summed.width, summed["step"], summed["f1.max"]) == (1, [0, 1, 2], [None, 1.0, 2.0])


def test_a_table_becomes_a_data_frame_where_there_is_a_library_for_it(
    office: Office, history: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("pandas")
    with Client(office.served.url, office.key("training")) as client:
        table = client.metrics.read(history)
    frame = table.to_pandas()
    assert frame["f1"].sum() == 3
    assert str(frame["timestamp"].dt.tz) == "UTC"
    monkeypatch.setitem(__import__("sys").modules, "polars", None)
    with pytest.raises(BadInput, match="pip install polars"):
        table.to_polars()


def test_a_long_history_comes_in_pages(office: Office) -> None:
    job_id, token = office.claimed_job()
    for first in range(0, 24_000, 4000):
        push(office, job_id, token, points(first, first + 4000))
    with Client(office.served.url, office.key("training")) as client:
        assert client.metrics.read(job_id, columns=["train_loss"])["step"] == list(range(24_000))


def test_metrics_are_printed_by_column_in_buckets_and_as_csv(
    office: Office,
    history: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    config_home: Any,
) -> None:
    monkeypatch.setenv("TUNEYARD_API_URL", office.served.url)
    monkeypatch.setenv("TUNEYARD_API_KEY", office.key("training"))
    assert cli.run(["metrics", history, "--columns", "train_loss, f1"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["STEP", "TRAIN_LOSS", "F1"]
    assert [line.split() for line in lines[1:]] == [["0", "nan", "-"], ["1", "1.5", "1"], ["2", "1.5", "2"]]
    assert cli.run(["metrics", history, "--buckets", "2000", "--columns", "f1", "--csv"]) == 0
    found = capsys.readouterr().out
    assert found.splitlines() == [
        "step,points,not_finite,f1.min,f1.max,f1.mean",
        "0,1,1,,,",
        "1,1,0,1.0,1.0,1.0",
        "2,1,0,2.0,2.0,2.0",
    ]
    assert cli.run(["metrics", history, "--csv"]) == 0
    assert "2026-11-21T10:00:00+00:00" in io.StringIO(capsys.readouterr().out).read()
    assert cli.run(["metrics", history, "--attempt", "1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["columns"]["step"] == [0, 1, 2]
