"""The GPU work pool and its queues, made so; safe to run again."""

from __future__ import annotations

import json
from pathlib import Path

from prefect.client.orchestration import SyncPrefectClient
from prefect.client.schemas.actions import DeploymentScheduleCreate, WorkPoolCreate, WorkPoolUpdate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound

POOL = "gpu"
READINGS = "collect-metrics/gpu"
TEMPLATE = Path(__file__).with_name("gpu_pool.json")
# Looks, readings and checks are short, and never wait behind a fine-tune; one that a killed worker left `Running`
# must not keep the next ones waiting.
MONITORING_RUNS = 6
HOST_RUNS = 3
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


def ensure_host(prefect: SyncPrefectClient, host: str) -> str:
    """Give a host a queue and a schedule of its own to be read by, as `collect-metrics/gpu` is: the queue's name.

    Only a worker that names its queues on its command line leaves the other hosts' alone.
    """
    queue = f"host-{host}"
    _ensure_queue(prefect, queue, HOST_RUNS)
    found = prefect.read_deployment_by_name(READINGS)
    prefect.create_deployment(
        flow_id=found.flow_id,
        name=host,
        schedules=[_again(one) for one in found.schedules],
        description=found.description,
        work_pool_name=POOL,
        work_queue_name=queue,
        tags=found.tags,
        path=found.path,
        entrypoint=found.entrypoint,
        pull_steps=found.pull_steps,
        parameter_openapi_schema=found.parameter_openapi_schema,
    )
    return queue


def _again(found: DeploymentSchedule) -> DeploymentScheduleCreate:
    return DeploymentScheduleCreate(
        schedule=found.schedule, active=True, parameters=found.parameters, slug=found.slug
    )


def _ensure_queue(prefect: SyncPrefectClient, name: str, limit: int) -> None:
    try:
        queue = prefect.read_work_queue_by_name(name, work_pool_name=POOL)
    except ObjectNotFound:
        prefect.create_work_queue(name, work_pool_name=POOL, concurrency_limit=limit)
    else:
        prefect.update_work_queue(queue.id, concurrency_limit=limit)
