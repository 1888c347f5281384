"""What authentication adds to a request, with few keys in the table and with many.

    .venv/bin/python -m benchmarks.authentication            (about a minute)

Two routes do nothing; one of them asks for a key. They are called in turn over one kept connection each, the keyed
one with another key of the table each time, and compared call by call: noise of the machine meets both. The app is
the API's own, with its middleware, rate limit and usage count, on SQLite, in a process of its own.
The last line is JSON, times in milliseconds.
"""

from __future__ import annotations

import http.client
import json
import multiprocessing
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import click
import uvicorn
from sqlalchemy import insert

from api.access.auth import AnyCaller, anybody
from api.access.key_making import fresh_row, permissions_of
from api.access.pepper import load_pepper, make_pepper
from api.app import create_app
from api.database import Database
from api.request_log import log_to_stderr
from api.schema_head import make_ready
from api.serving import listen
from api.settings import Settings
from api.tables import ApiKey
from api.workspaces import first_workspace
from tuneyard.shapes import NewApiKey

USED = 2000  # keys that requests are made with, spread over the table
WARMING = 300


def settings_in(home: Path) -> Settings:
    return Settings(tuneyard_home=home, database_url=None, tuneyard_pepper=None, api_rate_limit_per_key=10**6)


def fill(home: Path, count: int) -> list[str]:
    """A database with so many keys; some of them."""
    make_pepper(home)
    settings = settings_in(home)
    pepper, database = load_pepper(settings), Database(settings.database, 30)
    make_ready(database)
    new = NewApiKey(name="benchmark", scopes=["training"])
    with database.writing() as session:
        workspace = first_workspace(session).pk
        made = [fresh_row(workspace, new, sorted(permissions_of(new)), pepper) for _ in range(count)]
        for start in range(0, count, 1000):
            rows = [row.model_dump(exclude={"pk"}) for row, _ in made[start : start + 1000]]
            session.connection().execute(insert(ApiKey), rows)
    database.close()
    return [text for _, text in random.sample(made, min(USED, count))]


def serve(home: Path, port: multiprocessing.Queue[int]) -> None:
    """The API with two routes more, both of which do nothing."""
    sys.stderr = (home / "log").open("w")
    log_to_stderr()
    app = create_app(settings_in(home))

    @app.get("/bare", dependencies=[anybody])
    def bare() -> dict[str, int]:
        return {"ok": 1}

    @app.get("/keyed")
    def keyed(_: AnyCaller) -> dict[str, int]:
        return {"ok": 1}

    with listen("127.0.0.1", 0) as listener:
        port.put(listener.getsockname()[1])
        config = uvicorn.Config(app, loop="uvloop", http="httptools", log_config=None, access_log=False)
        uvicorn.Server(config).run(sockets=[listener])


def milliseconds(connection: http.client.HTTPConnection, path: str, headers: dict[str, str]) -> float:
    began = time.perf_counter()
    connection.request("GET", path, headers=headers)
    answer = connection.getresponse()
    answer.read()
    assert answer.status == 200, answer.status
    return (time.perf_counter() - began) * 1000


def measure(count: int, pairs: int) -> dict[str, float]:
    """Medians and 99th percentiles of both routes, and of what the key added."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        keys = fill(home, count)
        port: multiprocessing.Queue[int] = multiprocessing.Queue()
        server = multiprocessing.Process(target=serve, args=(home, port))
        server.start()
        try:
            where = port.get(timeout=60)
            two = [http.client.HTTPConnection("127.0.0.1", where, timeout=60) for _ in range(2)]
            bare, keyed = [], []
            for number in range(WARMING + pairs):
                b = milliseconds(two[0], "/bare", {})
                k = milliseconds(two[1], "/keyed", {"X-API-Key": random.choice(keys)})
                if number >= WARMING:
                    bare.append(b)
                    keyed.append(k)
        finally:
            server.terminate()
            server.join()
    p99 = [statistics.quantiles(times, n=100)[98] for times in (bare, keyed)]
    return {
        "bare_p50": statistics.median(bare),
        "keyed_p50": statistics.median(keyed),
        "added_p50": statistics.median(k - b for b, k in zip(bare, keyed, strict=True)),
        "added_p99": p99[1] - p99[0],
    }


@click.command()
@click.option("--keys", "counts", multiple=True, type=int, default=(100, 100_000), show_default=True)
@click.option("--pairs", default=5000, show_default=True, help="Requests of each kind.")
def main(counts: tuple[int, ...], pairs: int) -> None:
    """Print what a key adds to a request, for each size of the table."""
    found = {}
    for count in counts:
        found[count] = {name: round(value, 3) for name, value in measure(count, pairs).items()}
        click.echo(
            f"{count:>8} keys  " + "  ".join(f"{name} {value} ms" for name, value in found[count].items())
        )
    click.echo(json.dumps(found))


if __name__ == "__main__":
    main()
