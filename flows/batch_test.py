"""Batch-test a language model: every prompt of a suite is answered, scored and recorded."""

from __future__ import annotations

from typing import Any

from prefect import flow
from prefect.client.schemas.objects import State

from flows.answering import answer
from flows.endpoint import ENDPOINT, ask
from flows.harness import run_lm_eval
from flows.job_run import JobRun, as_job
from flows.judging import judge, look_for_judges
from flows.lost_runs import close_run
from flows.models import get_model
from flows.perplexity import measure_perplexity
from flows.service_key import DEFAULT_CREDENTIALS
from flows.similarity import get_sentence_models, measure_similarity
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
        look_for_judges(config, prompts)
        sentence_models = get_sentence_models(run, config, prompts)
        measured: dict[str, Any] = {}
        if config.model.startswith(ENDPOINT):
            ask(run, config, prompts)
        else:
            model = get_model(run, config.model)
            measured = {**measure_perplexity(run, config, model), **run_lm_eval(run, config, model)}
            measured |= answer(run, config, prompts, model)
        measure_similarity(run, config, prompts, sentence_models)
        judge(run, config, prompts)
        return {**measured, **sum_up(run, config)}

    return as_job(credentials, record, work, job_id)


def _new_test(config: BatchTestConfig, run_id: str | None) -> NewBatchTest:
    return NewBatchTest(
        suite=config.suite,
        model=config.model,
        name=config.name,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
    )
