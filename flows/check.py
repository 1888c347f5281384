"""Look at a fine-tune without running it: what `$validate` with `run` starts."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.data_sets import get_data
from flows.job_run import JobRun, as_job
from flows.lost_runs import close_run
from flows.models import get_model
from flows.preflight import examine, look_at_host
from flows.service_key import DEFAULT_CREDENTIALS
from tuneyard import Client
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import JobKind, NewJob


@flow(name="check", on_cancellation=[close_run], on_crashed=[close_run])
def check(
    config: FinetuneConfig, credentials: str = DEFAULT_CREDENTIALS, job_id: str | None = None
) -> State[Any]:
    """Say what is wrong with a fine-tune and what it will be like, before it takes a GPU.

    Args:
        config: The fine-tune.
        credentials: Name of the Tuneyard credentials block.
        job_id: A job that is recorded already; default: a new one.
    """

    def record(service: Client, run_id: str | None) -> str:
        return service.jobs.create(_new_job(config, run_id)).id

    def work(run: JobRun) -> dict[str, Any]:
        look_at_host(run, config)
        base = get_model(run, config.model)
        get_data(run, config)
        return examine(run, config, base).model_dump(mode="json")

    return as_job(credentials, record, work, job_id)


def _new_job(config: FinetuneConfig, run_id: str | None) -> NewJob:
    return NewJob(
        kind=JobKind.CHECK,
        name=config.name,
        model=config.model,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
        max_restarts=config.max_restarts,
    )
