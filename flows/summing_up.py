"""What a batch test comes to: the figures that become its result, and its page in Prefect."""

from __future__ import annotations

from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.answering import in_words
from flows.job_run import JobRun
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import BatchTest


@task(cache_policy=NO_CACHE)
def sum_up(run: JobRun, config: BatchTestConfig) -> dict[str, Any]:  # noqa: ARG001
    """The figures, and the table on Prefect's page."""
    test = run.service.tests.get(run.job.id)
    run.log.info("%s: %s", test.model, in_words(test))
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
    head = f"## {in_words(test)}\n\nModel `{test.model}`, suite {test.suite}.\n"
    return head + (f"\n| prompt | expected | answer |\n|---|---|---|\n{rows}" if wrong else "")


def _cell(text: str | None) -> str:
    return (text or "").replace("|", "\\|").replace("\n", " ")[:200]
