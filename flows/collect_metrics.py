"""Read the host's GPUs, CPU and memory, and record the readings."""

from __future__ import annotations

import time
from typing import Any

from prefect import flow, get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Completed, Failed

from flows.progress import Progress
from flows.service_key import DEFAULT_CREDENTIALS, load
from tasks.gpu import read_host
from tuneyard import Client
from tuneyard.configs import CollectConfig
from tuneyard.errors import TuneyardError
from tuneyard.shapes import GpuSample, HostSample


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
    memory = f"memory {_shown(reading.memory_used_gb)} of {_shown(reading.memory_total_gb)} GB"
    cards = reading.no_gpu or f"{len(reading.gpus)} GPU(s)"
    return f"{reading.host}: {cards}; CPU {_shown(reading.cpu_percent)} %, {memory}"


def table(reading: HostSample) -> str:
    """The cards as a markdown table."""
    head = "| # | card | busy % | memory GB | W | °C | error |\n|---|---|---|---|---|---|---|\n"
    rows = "".join(_row(card) for card in reading.gpus)
    return f"{summary(reading)}\n\n" + (head + rows if rows else "")


def _row(card: GpuSample) -> str:
    memory = f"{_shown(card.memory_used_gb)} / {_shown(card.memory_total_gb)}"
    numbers = f"{_shown(card.utilization_percent)} | {memory} | {_shown(card.power_w)} | {_shown(card.temperature_c)}"
    return f"| {card.index} | {card.name} | {numbers} | {card.error or ''} |\n"


def _shown(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f}"
