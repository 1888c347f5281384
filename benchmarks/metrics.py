"""Metrics in and out: ours against `mlflow server` (SQLite) and against trackio's writer.

    .venv/bin/python -m benchmarks.metrics                       (about eight minutes; the first time some more)
    .venv/bin/python -m benchmarks.metrics --only million --only postgres

Both servers run on this machine, each round asks one and then the other for the same, and what counts is the median
of the rounds' ratios. Ours checks a job token or a key and every value; MLflow has no keys as it comes. A point is
one value, a step has 8 of them and its time. The last line is JSON.

Sections: peers (ingest, history, job, memory), million (a job of a million steps), jobs (a list of 1000), postgres.
"""

from __future__ import annotations

import json
import random
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import click

from benchmarks.metric_servers import (
    Connection,
    Server,
    mlflow,
    peers_in,
    request,
    trackio_points_a_second,
    tuneyard,
)
from tests.api_fixtures import POSTGRES, postgres
from tuneyard.home import home

NAMES = [
    "epoch",
    "train_loss",
    "learning_rate",
    "grad_norm",
    "samples_per_second",
    "tokens_per_second",
    "gpu_memory_allocated_gb",
    "gpu_utilization_percent",
]
STEPS = 125  # a batch: MLflow takes 1000 values at once
MLFLOW = "/api/2.0/mlflow"
BEGAN = datetime(2026, 11, 1, tzinfo=UTC)
# As many as Hugging Face's callback for MLflow logs of a Trainer's arguments, roughly halved.
CONFIG = {f"a_setting_{number}": f"value {number}" for number in range(60)}
SECTIONS = ("peers", "million", "jobs", "postgres")
Result = dict[str, float]


def values(step: int) -> dict[str, float]:
    return {"epoch": step / 1000} | {name: random.random() * 10 for name in NAMES[1:]}


class Ours:
    """A tuneyard server: makes jobs, and requests about them."""

    def __init__(self, server: Server, admin: str) -> None:
        self.server = server
        self.key = {"X_API_Key": admin}
        self.made = 0

    def job(self) -> tuple[str, dict[str, str]]:
        """A claimed job: its id, and the header that writes to it."""
        asking = self.server.connection()
        self.made += 1
        job_id = f"job-{self.made}"
        asking.json("POST", "/api/v1/jobs", {"id": job_id, "model": "m", "config": CONFIG}, **self.key)
        claim = {"host": "h", "pid": 1}
        token = asking.json("POST", f"/api/v1/jobs/{job_id}/claim", claim, **self.key)["job_token"]
        return job_id, {"Authorization": f"Bearer {token}"}

    def batch(self, job: tuple[str, dict[str, str]], steps: range) -> bytes:
        points = [
            {"step": step, "timestamp": (BEGAN + timedelta(seconds=step)).isoformat()} | values(step)
            for step in steps
        ]
        body = points[0] if len(points) == 1 else {"metrics": points}
        return request("PUT", f"/api/v1/jobs/{job[0]}/metrics", body, **job[1])

    def read(self, path: str) -> bytes:
        return request("GET", f"/api/v1/jobs{path}", None, **self.key)


class Theirs:
    """An MLflow server: the same of it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def job(self) -> str:
        asked = {"experiment_id": "0", "start_time": 1}
        connection = self.server.connection()
        run_id: str = connection.json("POST", f"{MLFLOW}/runs/create", asked)["run"]["info"]["run_id"]
        params = [{"key": name, "value": value} for name, value in CONFIG.items()]
        connection.json("POST", f"{MLFLOW}/runs/log-batch", {"run_id": run_id, "params": params})
        return run_id

    def batch(self, run_id: str, steps: range) -> bytes:
        metrics = [
            {"key": name, "value": value, "timestamp": 1793491200000 + step * 1000, "step": step}
            for step in steps
            for name, value in values(step).items()
        ]
        return request("POST", f"{MLFLOW}/runs/log-batch", {"run_id": run_id, "metrics": metrics})

    def read(self, path: str) -> bytes:
        return request("GET", f"{MLFLOW}{path}")


def a_second(server: Server, queues: list[list[bytes]]) -> float:
    """Requests a second, each queue asked over a connection of its own."""
    connections = [server.connection() for _ in queues]

    def ask(pair: tuple[Connection, list[bytes]]) -> None:
        for one in pair[1]:
            pair[0].ask(one)

    with ThreadPoolExecutor(len(queues)) as pool:
        began = time.perf_counter()
        list(pool.map(ask, zip(connections, queues, strict=True)))
        return sum(map(len, queues)) / (time.perf_counter() - began)


def p50(server: Server, one: bytes, count: int) -> float:
    """Milliseconds until the whole answer is there."""
    connection, found = server.connection(), []
    for _ in range(count):
        began = time.perf_counter()
        connection.ask(one)
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def ingest(side: Ours | Theirs, clients: int, requests: int, steps: int) -> float:
    """Requests a second, each client writing to a job of its own."""
    queues = []
    for _ in range(clients):
        job: Any = side.job()
        ranges = [range(n * steps, (n + 1) * steps) for n in range(requests // clients)]
        queues.append([side.batch(job, each) for each in ranges])
    return a_second(side.server, queues)


def compared(rounds: int, name: str, ours: Callable[[], float], theirs: Callable[[], float]) -> float:
    """The median ratio of the rounds, printed with both medians."""
    pairs = [(ours(), theirs()) for _ in range(rounds)]
    middle = [statistics.median(side) for side in zip(*pairs, strict=True)]
    ratio = statistics.median(a / b for a, b in pairs)
    click.echo(f"{name:<44} ours {middle[0]:>11,.1f}   theirs {middle[1]:>9,.1f}   {ratio:>7.1f} x")
    return ratio


def with_history(side: Ours | Theirs, steps: int = 10_000) -> str:
    """A job with so many steps."""
    job: Any = side.job()
    connection = side.server.connection()
    for first in range(0, steps, STEPS):
        connection.ask(side.batch(job, range(first, first + STEPS)))
    return job[0] if isinstance(side, Ours) else str(job)


def peers(folder: Path, rounds: int, venv: Path) -> Result:
    with tuneyard(folder / "ours") as (server, admin), mlflow(folder / "mlflow", venv) as other:
        ours, theirs = Ours(server, admin), Theirs(other)
        found = _ingest_compared(ours, theirs, rounds)
        trackio = [trackio_points_a_second(folder, venv, NAMES) for _ in range(rounds)]
        found["batch_vs_trackio"] = compared(
            rounds,
            "points/s in batches of 125 steps; trackio",
            lambda: ingest(ours, 4, 600, STEPS) * STEPS * len(NAMES),
            lambda: trackio.pop(),
        )
        found |= _reads_compared(ours, theirs, rounds)
        found["rss_mb"] = server.memory_mb
        click.echo(f"{'memory, MB':<44} ours {server.memory_mb:>11,.1f}   theirs {other.memory_mb:>9,.1f}")
        return found


def _ingest_compared(ours: Ours, theirs: Theirs, rounds: int) -> Result:
    batch = STEPS * len(NAMES)
    ingest(ours, 4, 40, STEPS)  # warm
    ingest(theirs, 4, 4, STEPS)
    found = {}
    for clients in (1, 4):
        found[f"batch_{clients}"] = compared(
            rounds,
            f"points/s in batches of 125 steps, {clients} clients",
            lambda n=clients: ingest(ours, n, 800, STEPS) * batch,  # type: ignore[misc]
            lambda n=clients: ingest(theirs, n, 20, STEPS) * batch,  # type: ignore[misc]
        )
    for clients in (1, 8):
        found[f"step_{clients}"] = compared(
            rounds,
            f"one step a request, requests/s, {clients} clients",
            lambda n=clients: ingest(ours, n, 2400, 1),  # type: ignore[misc]
            lambda n=clients: ingest(theirs, n, 160, 1),  # type: ignore[misc]
        )
    # What each server takes in: with as many clients as it takes to keep both busy.
    return {"batch_vs_mlflow": found["batch_4"], "step_vs_mlflow": found["step_8"]} | found


def _reads_compared(ours: Ours, theirs: Theirs, rounds: int) -> Result:
    mine, other = with_history(ours), with_history(theirs)
    columns = f"/{mine}/metrics?limit=10000&format=columns&columns=train_loss,timestamp"
    a = ours.read(columns)
    b = theirs.read(f"/metrics/get-history?run_id={other}&metric_key=train_loss&max_results=25000")
    checked = json.loads(ours.server.connection().ask(a))["columns"]
    assert len(checked["train_loss"]) == len(checked["timestamp"]) == 10_000
    assert len(json.loads(theirs.server.connection().ask(b))["metrics"]) == 10_000
    found = {}
    for clients, name in ((1, "history_vs_mlflow"), (8, "history8_vs_mlflow")):
        found[name] = compared(
            rounds,
            f"10,000-point histories/s, {clients} clients",
            lambda n=clients: a_second(ours.server, [[a] * (160 // n)] * n),  # type: ignore[misc]
            lambda n=clients: a_second(theirs.server, [[b] * (16 // n)] * n),  # type: ignore[misc]
        )
    rows = p50(ours.server, ours.read(f"/{mine}/metrics?limit=10000"), 20)
    click.echo(f"{'10,000 steps with all columns, by row':<44} ours {rows:>11,.1f} ms")
    one, same = ours.read(f"/{mine}"), theirs.read(f"/runs/get?run_id={other}")
    found["job_vs_mlflow"] = compared(
        rounds,
        "job reads/s",
        lambda: a_second(ours.server, [[one] * 600]),
        lambda: a_second(theirs.server, [[same] * 100]),
    )
    return found


def million(folder: Path, rounds: int, venv: Path) -> Result:  # noqa: ARG001
    """A job of a million steps."""
    with tuneyard(folder / "million") as (server, admin):
        ours = Ours(server, admin)
        job = ours.job()
        connection, began = server.connection(), time.perf_counter()
        for first in range(0, 1_000_000, 2500):
            connection.ask(ours.batch(job, range(first, first + 2500)))
        click.echo(f"a job of a million steps, made in {time.perf_counter() - began:.0f} s")
        one = p50(server, ours.read(f"/{job[0]}/metrics?buckets=1000&columns=train_loss"), 100)
        every = p50(server, ours.read(f"/{job[0]}/metrics?buckets=1000"), 100)
        page = p50(server, ours.read(f"/{job[0]}/metrics?cursor=900000&limit=1000"), 50)
        buckets = len(
            json.loads(server.connection().ask(ours.read(f"/{job[0]}/metrics?buckets=1000")))["step"]
        )
        click.echo(f"{buckets} buckets of it, p50: {one:.1f} ms of one column, {every:.1f} ms of all")
        click.echo(f"1000 points near its end, p50: {page:.1f} ms; memory {server.memory_mb:.0f} MB")
    size = sum(path.stat().st_size for path in (folder / "million").glob("tuneyard.db*"))
    click.echo(f"{size / 8e6:.1f} bytes a point on disk")
    return {"bucket_p50_ms": every, "bytes_per_point": size / 8e6}


def jobs(folder: Path, rounds: int, venv: Path) -> Result:  # noqa: ARG001
    """A workspace of a thousand jobs."""
    with tuneyard(folder / "jobs") as (server, admin):
        ours, connection = Ours(server, admin), server.connection()
        for number in range(1000):
            body = {"id": f"job-{number}", "model": "m", "config": CONFIG}
            connection.json("POST", "/api/v1/jobs", body, **ours.key)
        page, found = (p50(server, ours.read(f"?limit={limit}"), 50) for limit in (100, 1000))
        click.echo(f"1000 jobs listed, p50: {found:.1f} ms; a page of 100 of them: {page:.1f} ms")
        return {"jobs_p50_ms": found}


def on_postgres(folder: Path, rounds: int, venv: Path) -> Result:  # noqa: ARG001
    """Batches into PostgreSQL, with its fsync on."""
    binaries = shutil.which("initdb") or shutil.which("initdb", path=str(POSTGRES))
    if binaries is None:
        click.echo("PostgreSQL's initdb is not here")
        return {}
    with (
        postgres(Path(binaries).resolve().parent, durable=True) as url,
        tuneyard(folder / "pg", url) as (server, admin),
    ):
        ours = Ours(server, admin)
        ingest(ours, 4, 40, STEPS)
        found = [ingest(ours, 4, 600, STEPS) * STEPS * len(NAMES) for _ in range(rounds)]
    rate = statistics.median(found)
    click.echo(f"points/s in batches of 125 steps into PostgreSQL: {rate:,.0f}")
    return {"postgres_points_s": rate}


RUNS: dict[str, Callable[[Path, int, Path], Result]] = {
    "peers": peers,
    "million": million,
    "jobs": jobs,
    "postgres": on_postgres,
}


@click.command()
@click.option("--only", multiple=True, type=click.Choice(SECTIONS), help="Default: all of them.")
@click.option("--rounds", default=3, show_default=True)
@click.option(
    "--peers", "venv", type=Path, help="Where MLflow and trackio are; default: made in TUNEYARD_HOME."
)
def main(only: tuple[str, ...], rounds: int, venv: Path | None) -> None:
    """Print what each side reaches, and the ratios."""
    chosen = only or SECTIONS
    where = venv or Path(home()) / "benchmarks" / "peers"
    if "peers" in chosen:
        peers_in(where)
    found: Result = {}
    with tempfile.TemporaryDirectory() as folder:
        for section in chosen:
            found |= RUNS[section](Path(folder), rounds, where)
    click.echo(json.dumps({name: round(value, 1) for name, value in found.items()}))


if __name__ == "__main__":
    main()
