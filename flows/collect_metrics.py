"""Read the host's GPUs, CPU and memory, and record the readings."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.job_run import DEFAULT_CREDENTIALS, load
from flows.progress import Progress
from tasks.gpu import read_host
from tuneyard import Client
from tuneyard.configs import CollectConfig
from tuneyard.errors import TuneyardError
from tuneyard.shapes import HostSample


@flow(name="collect-metrics")
def collect_metrics(
    config: CollectConfig | None = None, credentials: str = DEFAULT_CREDENTIALS
) -> State[Any]:
    """Read every GPU of this host, its CPU and its memory, a few times, and record the readings.

    Args:
        config: How many readings, how far apart; default: three, 5 s apart.
        credentials: Name of the Tuneyard credentials block.
    """
    try:
        with load(credentials).client() as service:
            last = sample(service, config or CollectConfig())
    except TuneyardError as problem:
        get_run_logger().error("%s", problem)
        return Failed(message=str(problem))
    Progress("collect-metrics").table("gpus", table(last), f"The GPUs of {last.host}")
    return Completed(message=summary(last))


@task(cache_policy=NO_CACHE)
def sample(service: Client, config: CollectConfig) -> HostSample:
    """Take and record the readings; gives the last one."""
    for round_ in range(config.readings):
        if round_:
            time.sleep(config.interval_seconds)
        reading = read_host()
        service.gpus.push([reading])
        get_run_logger().info("%s", summary(reading))
    return reading


def summary(reading: HostSample) -> str:
    """One line: what there is, or why there is no GPU."""
    cpu = f"CPU {reading.cpu_percent} %, memory {reading.memory_used_gb} of {reading.memory_total_gb} GB"
    return f"{reading.host}: {reading.no_gpu or f'{len(reading.gpus)} GPUs'}; {cpu}"


def table(reading: HostSample) -> str:
    """The cards as a markdown table."""
    rows = "".join(
        f"| {g.index} | {g.name} | {g.utilization_percent} | {g.memory_used_gb} / {g.memory_total_gb} "
        f"| {g.power_w} | {g.temperature_c} | {g.error or ''} |\n"
        for g in reading.gpus
    )
    head = "| # | card | busy % | memory GB | W | °C | error |\n|---|---|---|---|---|---|---|\n"
    return f"{summary(reading)}\n\n" + (head + rows if rows else "")
