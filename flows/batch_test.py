"""Batch-test a language model: every prompt of a suite is answered, scored and recorded."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.answering import answer
from flows.job_run import JobRun, as_job
from flows.lost_runs import close_run
from flows.models import get_model
from flows.service_key import DEFAULT_CREDENTIALS
from flows.suites import take_suite
from flows.summing_up import sum_up
from tuneyard import Client
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import NewBatchTest


@flow(name="batch-test", on_cancellation=[close_run], on_crashed=[close_run])
def batch_test(
    config: BatchTestConfig, credentials: str = DEFAULT_CREDENTIALS, job_id: str | None = None
) -> State[Any]:
    """Answer every prompt of a test suite with a model, and score the answers.

    Args:
        config: Which model, which suite, how.
        credentials: Name of the Tuneyard credentials block.
        job_id: A batch test that is recorded already; default: a new one.
    """

    def record(service: Client, run_id: str | None) -> str:
        return service.tests.create(_new_test(config, run_id)).id

    def work(run: JobRun) -> dict[str, Any]:
        prompts = take_suite(run, config)
        model = get_model(run, config.model)
        answer(run, config, prompts, model)
        return sum_up(run, config)

    return as_job(credentials, record, work, job_id)


def _new_test(config: BatchTestConfig, run_id: str | None) -> NewBatchTest:
    return NewBatchTest(
        suite=config.suite,
        model=config.model,
        name=config.name,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
    )
