"""The SDK's calls about a job's life: each to its route, and the whole of it against a real API."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from tests.api_fixtures import Office
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard
from tests.sdk_fixtures import KEY, NOW, TOKEN, Make, Wire, job, page, problem, started
from tests.sdk_fixtures import make as make
from tuneyard import Client, errors
from tuneyard.batch_configs import PredictConfig
from tuneyard.configs import FinetuneConfig, TabularConfig
from tuneyard.identifiers import fresh_id
from tuneyard.shapes import (
    Claim,
    CloseLost,
    Heartbeat,
    JobEnd,
    JobStatus,
    Launched,
    LostRun,
    MetricPoint,
    NewJobError,
    NewJobEvent,
    NewLogLine,
    PredictRows,
    Resume,
    Table,
)

CONFIG = FinetuneConfig(model="m", dataset="d")
TABLE, ROWS = TabularConfig(), Table(columns=["x", "y"], data=[[1, 2]])
ASK = PredictConfig(model="m", prompts=["Hello"])
EVENT = NewJobEvent(kind="started", message="m")
LINE = NewLogLine(number=0, at=datetime(2026, 11, 21, tzinfo=UTC), text="t")
JOBS = "/api/v1/jobs"

ROUTES: list[tuple[Any, str, str, Any]] = [
    (lambda c: c.jobs.train(CONFIG), "POST", "/api/v1/ml/$train", started()),
    (lambda c: c.jobs.train(TABLE, data=ROWS), "POST", "/api/v1/ml/$train", started()),
    (lambda c: c.jobs.predict(ASK), "POST", "/api/v1/ml/$predict", started()),
    (
        lambda c: c.jobs.predict(rows=PredictRows(artifact_id="a", future=ROWS)),
        "POST",
        "/api/v1/ml/$predict",
        started(),
    ),
    (lambda c: c.jobs.validate({"model": "m"}), "POST", "/api/v1/ml/$validate", {"valid": True}),
    (lambda c: c.jobs.pause("j1"), "POST", f"{JOBS}/j1/pause", job(status="pausing")),
    (lambda c: c.jobs.resume("j1"), "POST", f"{JOBS}/j1/resume", job()),
    (lambda c: c.jobs.close_lost(CloseLost()), "POST", f"{JOBS}/$close-lost", [job()]),
    (
        lambda c: c.jobs.launched("j1", Launched(run_key="k", flow_run_id="r")),
        "POST",
        f"{JOBS}/j1/launched",
        job(),
    ),
    (
        lambda c: c.jobs.heartbeat("j1", Heartbeat()),
        "POST",
        f"{JOBS}/j1/heartbeat",
        {"job_status": "running", "at": NOW},
    ),
    (lambda c: c.jobs.add_events("j1", [EVENT]), "POST", f"{JOBS}/j1/events", {"count": 1}),
    (lambda c: c.jobs.add_lines("j1", [LINE]), "POST", f"{JOBS}/j1/logs", {"count": 1}),
    (
        lambda c: c.jobs.events("j1", "ended", 5, 2),
        "GET",
        f"{JOBS}/j1/events?kind=ended&limit=5&offset=2",
        page([], 0, 5, 2),
    ),
    (
        lambda c: c.jobs.logs("j1", datetime(2026, 11, 21, tzinfo=UTC), "error"),
        "GET",
        f"{JOBS}/j1/logs?after=2026-11-21T00%3A00%3A00%2B00%3A00&level=error&limit=100&offset=0",
        page([], 0, 100, 0),
    ),
    (lambda c: c.jobs.errors("j1"), "GET", f"{JOBS}/j1/errors", []),
]


@pytest.mark.parametrize(("ask", "method", "target", "answer"), ROUTES)
def test_each_call_goes_to_its_route(make: Make, ask: Any, method: str, target: str, answer: Any) -> None:
    wire = Wire(httpx.Response(200, json=answer))
    make(wire)(ask)
    assert (wire.requests[0].method, wire.requests[0].url.raw_path.decode()) == (method, target)


@pytest.mark.parametrize("path", ["heartbeat", "events", "logs"])
def test_what_a_run_tells_goes_with_its_token_alone(make: Make, path: str) -> None:
    asks = {
        target.rpartition("/")[2]: (ask, answer) for ask, method, target, answer in ROUTES if method == "POST"
    }
    ask, answer = asks[path]
    wire = Wire(httpx.Response(200, json=answer))
    make(wire, api_key=KEY, job_token=TOKEN)(ask)
    headers = wire.requests[0].headers
    assert (headers["Authorization"], "X-API-Key" in headers) == (f"Bearer {TOKEN}", False)


def test_a_training_whose_answer_was_lost_is_asked_again_as_the_same_job(make: Make) -> None:
    wire = Wire(httpx.ReadError("reset"), problem(502), httpx.Response(200, json=started()))
    make(wire, patience=5.0)(lambda c: c.jobs.train(CONFIG))
    bodies = [json.loads(request.content) for request in wire.requests]
    assert bodies[0] == bodies[1] == bodies[2]
    assert len(bodies[0]["id"]) == 26


def test_fresh_ids_sort_by_time_and_never_meet() -> None:
    ids = [fresh_id() for _ in range(1000)]
    assert len(set(ids)) == 1000
    assert sorted(one[:10] for one in ids) == [one[:10] for one in ids]


def test_a_job_s_whole_life_over_the_wire(yard: Office, prefect: StandIn) -> None:
    """Trained, claimed, told about, paused, resumed, lost and ended, by those whose part it is."""
    url = yard.served.url
    with Client(url, yard.key("training")) as person, Client(url, yard.key("worker")) as worker:
        job = person.jobs.train(CONFIG, name="nightly")
        claimed = worker.jobs.claim(job.id, Claim(host="h", pid=1, flow_run_id=job.flow_run_id))
        with Client(url, job_token=claimed.job_token) as run:
            beat = run.jobs.heartbeat(job.id, Heartbeat(stage="Training", gpu_uuids=["GPU-1"]))
            assert beat.job_status == JobStatus.QUEUED
            run.metrics.push(job.id, [MetricPoint(step=1, train_loss=0.5)])
            run.jobs.add_events(job.id, [NewJobEvent(kind="checkpoint", message="saved", step=1, key="c1")])
            run.jobs.add_lines(job.id, [LINE])
            assert person.jobs.pause(job.id).status == JobStatus.PAUSING
            assert run.jobs.heartbeat(job.id, Heartbeat(gpu_uuids=[])).job_status == JobStatus.PAUSING
            assert run.jobs.end(job.id, JobEnd(status="paused")).status == JobStatus.PAUSED
        resumed = person.jobs.resume(job.id, Resume(config={"epochs": 2}))
        assert (resumed.status, resumed.last_checkpoint) == (JobStatus.PENDING, 1)
        again = worker.jobs.claim(job.id, Claim(host="h", pid=2))
        lost = LostRun(job_id=job.id, attempt=again.attempt, reason="killed")
        [back] = worker.jobs.close_lost(CloseLost(silent_seconds=None, runs=[lost]))
        assert (back.status, back.restarts) == (JobStatus.PENDING, 1)
        with Client(url, job_token=again.job_token) as dead, pytest.raises(errors.Unauthorized):
            dead.jobs.heartbeat(job.id, Heartbeat())
        last = worker.jobs.claim(job.id, Claim(host="h", pid=3))
        with Client(url, job_token=last.job_token) as run:
            fault = NewJobError(kind="oom", message="out of memory", hint="batch_size: 4")
            run.jobs.end(job.id, JobEnd(status="failed", error="out of memory", errors=[fault]))
        kinds = [event.kind for event in person.jobs.events(job.id).items]
        assert kinds[:4] == ["claimed", "checkpoint", "pause_asked", "paused"]
        assert kinds[4:] == ["resumed", "claimed", "lost", "requeued", "claimed", "ended"]
        assert [line.text for line in person.jobs.logs(job.id).items] == ["t"]
        assert [error.kind for error in person.jobs.errors(job.id)] == ["lost", "oom"]
        assert len(prefect.run_of(job.id)) == 3
        assert person.jobs.validate({"model": "m"}).valid is False
