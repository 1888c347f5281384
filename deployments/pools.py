"""The GPU work pool and its queues, made so; safe to run again."""

from __future__ import annotations

import json
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

POOL = "gpu"
TEMPLATE = Path(__file__).with_name("gpu_pool.json")
# Looks, readings and checks are short, and never wait behind a fine-tune; one that a killed worker left `Running`
# must not keep the next ones waiting.
MONITORING_RUNS = 4
PIPELINES = 20  # they only wait for their parts, for hours perhaps: nothing short may wait behind them


def ensure_pool(prefect: SyncPrefectClient, jobs_at_once: int) -> None:
    """Make the process pool as `gpu_pool.json` says, or bring an existing one up to it.

    Args:
        prefect: A client of the Prefect server.
        jobs_at_once: How many fine-tunes and batch tests run together, on all of the pool's hosts. A job takes its
            host's first card: two on one host would share it.
    """
    template = json.loads(TEMPLATE.read_text())
    new = WorkPoolCreate(
        name=POOL,
        type="process",
        description="Hosts with GPUs. Jobs wait in `jobs`, pipelines in `pipelines`, readings in `monitoring`.",
        base_job_template=template,
    )
    try:
        prefect.create_work_pool(new)
    except ObjectAlreadyExists:
        prefect.update_work_pool(POOL, WorkPoolUpdate(base_job_template=template))
    _ensure_queue(prefect, "jobs", jobs_at_once)
    _ensure_queue(prefect, "monitoring", MONITORING_RUNS)
    _ensure_queue(prefect, "pipelines", PIPELINES)


def _ensure_queue(prefect: SyncPrefectClient, name: str, limit: int) -> None:
    try:
        queue = prefect.read_work_queue_by_name(name, work_pool_name=POOL)
    except ObjectNotFound:
        prefect.create_work_queue(name, work_pool_name=POOL, concurrency_limit=limit)
    else:
        prefect.update_work_queue(queue.id, concurrency_limit=limit)
