"""A hundred followers of one job: how long a point takes from its sender to each of them.

    .venv/bin/python -m benchmarks.followers

One process serves, one sends 20 points a second and reads all the streams. Timed from before a point is sent to when
the event that holds it is here, for every point and follower. The last line is JSON.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

import click

from benchmarks.metric_servers import request, tuneyard
from benchmarks.metrics import Ours

_STEP = re.compile(rb'"step":(\d+)')


async def follow(
    host: str, port: int, asked: bytes, sent: list[float], last: int, found: list[float]
) -> None:
    """Until the last step: seconds that each took."""
    reader, writer = await asyncio.open_connection(host, port)
    writer.write(asked)
    seen = -1
    while seen < last:
        block = await reader.readuntil(b"\n\n")
        now = time.perf_counter()
        for step in map(int, _STEP.findall(block) if b"event: metrics" in block else ()):
            found.append(now - sent[step])
            seen = step
    writer.close()


async def send(host: str, port: int, points: list[bytes], sent: list[float], rate: float) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    began = time.perf_counter()
    for number, point in enumerate(points):
        await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
        sent.append(time.perf_counter())
        writer.write(point)
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head.lower())
        await reader.readexactly(int(length[1]) if length else 0)
    writer.close()


async def measured(url: str, asked: bytes, points: list[bytes], followers: int, rate: float) -> list[float]:
    host, _, port = url.removeprefix("http://").partition(":")
    sent: list[float] = []
    found: list[float] = []
    where = host, int(port)
    streams = [
        asyncio.create_task(follow(*where, asked, sent, len(points) - 1, found)) for _ in range(followers)
    ]
    await asyncio.sleep(2)
    await send(*where, points, sent, rate)
    await asyncio.gather(*streams)
    return found


@click.command()
@click.option("--followers", default=100, show_default=True)
@click.option("--rate", default=20.0, show_default=True, help="Points a second.")
@click.option("--seconds", default=30, show_default=True)
def main(followers: int, rate: float, seconds: int) -> None:
    """Print how long a point takes to its followers."""
    with tempfile.TemporaryDirectory() as folder, tuneyard(Path(folder)) as (server, admin):
        ours = Ours(server, admin)
        job = ours.job()
        points = [ours.batch(job, range(step, step + 1)) for step in range(int(rate * seconds))]
        asked = request("GET", f"/api/v1/jobs/{job[0]}/$stream", None, **ours.key)
        found = asyncio.run(measured(server.url, asked, points, followers, rate))
        memory = server.memory_mb
    assert len(found) == followers * len(points), (len(found), followers * len(points))
    middle, late = statistics.median(found) * 1000, statistics.quantiles(found, n=20)[-1] * 1000
    click.echo(
        f"{followers} followers, {rate:g} points/s, {len(found)} deliveries: p50 {middle:.1f} ms, p95 {late:.1f} ms, "
        f"longest {max(found) * 1000:.0f} ms; memory {memory:.0f} MB"
    )
    click.echo(json.dumps({"sse_p50_ms": round(middle, 1), "sse_p95_ms": round(late, 1)}))


if __name__ == "__main__":
    main()
