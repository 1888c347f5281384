"""Read the host's GPUs, CPU and memory, and record the readings."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import httpx
from prefect import flow, get_run_logger, runtime, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import State
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Failed

from flows.prefect_runs import PrefectRuns
from flows.progress import Progress
from flows.service_key import DEFAULT_CREDENTIALS, load
from tasks.collector import collect
from tuneyard import Client
from tuneyard.configs import CollectConfig
from tuneyard.errors import TuneyardError
from tuneyard.home import home
from tuneyard.shapes import GpuSample, HostSample

TABLE_SECONDS = 30.0


@flow(name="collect-metrics")
def collect_metrics(
    config: CollectConfig | None = None, credentials: str = DEFAULT_CREDENTIALS
) -> State[Any]:
    """Read every GPU of this host, its CPU and its memory, at the clock's marks, and record the readings.

    Args:
        config: How many readings, how far apart; default: three, 5 s apart.
        credentials: Name of the Tuneyard credentials block.
    """
    config = config or CollectConfig()
    try:
        with load(credentials).client() as service:
            if config.relay:
                drop_missed(config)
            last = sample(service, config)
    except TuneyardError as problem:
        get_run_logger().error("%s", problem)
        return Failed(message=str(problem))
    return Completed(message=summary(last))


def drop_missed(config: CollectConfig) -> None:
    """What came due while no worker ran is not read now. A Prefect that is too busy to say keeps nothing back."""
    age = timedelta(seconds=config.readings * config.interval_seconds)
    try:
        with get_client(sync_client=True) as prefect:
            PrefectRuns(prefect).drop_missed_readings(runtime.deployment.id, age)
    except (httpx.HTTPError, ObjectNotFound) as problem:
        get_run_logger().warning("The rounds that were missed stay: %s", problem)


@task(cache_policy=NO_CACHE)
def sample(service: Client, config: CollectConfig) -> HostSample:
    """Take and record the readings; gives the last one."""
    log, progress = get_run_logger(), Progress("collect-metrics")

    def draw(reading: HostSample) -> None:
        progress.table("gpus", table(reading), f"The GPUs of {reading.host}")

    def show(reading: HostSample) -> None:
        log.info("%s", summary(reading))
        if progress.due("gpus", TABLE_SECONDS):
            draw(reading)

    last = collect(service, config, home() / "gpus", warn=log.warning, show=show)
    draw(last)
    return last


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
