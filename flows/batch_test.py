"""Batch-test a language model: every prompt of a suite is answered, scored and recorded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.cards import cards
from flows.job_run import JobRun, as_job
from flows.lost_runs import close_run
from flows.models import get_model
from flows.service_key import DEFAULT_CREDENTIALS
from tasks.dataset import read_suite
from tasks.launch import Tail, run_child
from tasks.score import exact
from tuneyard import Client
from tuneyard.configs import BatchTestConfig
from tuneyard.errors import BadInput, NotFound
from tuneyard.shapes import BatchTest, JobFacts, NewBatchTest, NewPrediction, NewSuite, Prompt, Suite

BATCH = 100  # predictions a request
BAR_SECONDS = 3.0


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
        return sum_up(run)

    return as_job(credentials, record, work, job_id)


def _new_test(config: BatchTestConfig, run_id: str | None) -> NewBatchTest:
    return NewBatchTest(
        suite=config.suite,
        model=config.model,
        name=config.name,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
    )


@task(cache_policy=NO_CACHE)
def take_suite(run: JobRun, config: BatchTestConfig) -> list[Prompt]:
    """The suite's prompts: a recorded suite's, or a file's, which is recorded first."""
    run.at(f"Reading the suite {config.suite}")
    suite = _suite(run, config.suite)
    prompts = (suite.prompts or [])[: config.prompt_limit]
    run.writer.jobs.update(run.job.id, JobFacts(suite_id=suite.id, total_steps=len(prompts)))
    run.log.info("Suite %s (%s): %s prompts", suite.name, suite.id, len(prompts))
    return prompts


def _suite(run: JobRun, suite: str) -> Suite:
    if "/" not in suite and not Path(suite).exists():
        try:
            return run.service.suites.get(suite)
        except NotFound:
            raise BadInput(
                f"{suite!r} is neither a file here nor the id of a recorded suite", field="suite"
            ) from None
    prompts = read_suite(Path(suite))
    return run.service.suites.create(NewSuite(name=Path(suite).stem, prompts=prompts)).model_copy(
        update={"prompts": prompts}
    )


@task(cache_policy=NO_CACHE)
def answer(run: JobRun, config: BatchTestConfig, prompts: list[Prompt], model: Path) -> None:
    """Answer the prompts in a child process; each batch of answers is scored and recorded as it comes."""
    run.at("Starting the generator")
    file = run.kept_file("answers.jsonl")
    answers = Tail(file)
    plan = {
        "model_dir": str(model),
        "prompts": [prompt.prompt for prompt in prompts],
        "max_new_tokens": config.max_new_tokens,
        "batch_size": config.batch_size,
        "precision": config.precision,
        "seed": config.seed,
        "answers_path": str(file),
    }

    def relay() -> None:
        scored = [scored_answer(json.loads(line), prompts) for line in answers.new_lines()]
        for batch in _batches(scored):
            run.writer.tests.add_predictions(run.job.id, batch)
        if scored:
            _show(run)

    with cards(run, config.gpus) as lease:
        run_child(
            "tasks.generate",
            plan,
            run.folder,
            secrets={},
            watch=relay,
            say=run.log.info,
            environment=lease.environment,
        )
    relay()


def scored_answer(line: dict[str, Any], prompts: list[Prompt]) -> NewPrediction:
    """One line of the generator's answers, put beside its prompt and scored; an answer that failed has no score."""
    prompt = prompts[line["prompt_index"]]
    score = None if line["error"] else exact(line["response"], prompt.expected)
    return NewPrediction(
        **line,
        prompt=prompt.prompt,
        expected=prompt.expected,
        score=score,
        passed=None if score is None else score == 1.0,
    )


def _batches(predictions: list[NewPrediction]) -> Iterable[list[NewPrediction]]:
    return (predictions[start : start + BATCH] for start in range(0, len(predictions), BATCH))


def _show(run: JobRun) -> None:
    if run.progress.due("progress", BAR_SECONDS):
        test = run.service.tests.get(run.job.id)
        run.progress.bar(100.0 * _done(test) / (test.total_prompts or 1), _words(test))


def _done(test: BatchTest) -> int:
    return test.completed_prompts + test.failed_prompts


def _words(test: BatchTest) -> str:
    return f"{_done(test)} of {test.total_prompts} answered, {test.passed_prompts} right"


@task(cache_policy=NO_CACHE)
def sum_up(run: JobRun) -> dict[str, Any]:
    """The figures that become the job's result, and the table on Prefect's page."""
    test = run.service.tests.get(run.job.id)
    run.log.info("%s: %s", test.model, _words(test))
    run.progress.table("report", _report(run, test), f"Batch test {test.id}")
    figures = test.model_dump(
        include={"total_prompts", "completed_prompts", "failed_prompts", "passed_prompts", "score"}
    )
    return dict(figures)


def _report(run: JobRun, test: BatchTest) -> str:
    wrong = [p for p in run.service.tests.iter_predictions(test.id) if not p.passed][:10]
    rows = "".join(
        f"| {_cell(p.prompt)} | {_cell(p.expected)} | {_cell(p.response or p.error)} |\n" for p in wrong
    )
    head = f"## {_words(test)}\n\nModel `{test.model}`, suite {test.suite}.\n"
    return head + (f"\n| prompt | expected | answer |\n|---|---|---|\n{rows}" if wrong else "")


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")[:200]
