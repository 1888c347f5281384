"""What a batch test comes to: the figures that become its result, and its report, in Prefect and as a page."""

from __future__ import annotations

from itertools import islice
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.answering import in_words
from flows.job_run import JobRun
from flows.lineage import keep_result
from flows.models import ARTIFACT
from flows.report_markdown import MOST_EXAMPLES, report_markdown
from tasks.durable import files_sha256, folder_files, publish, staging_beside
from tasks.storage import output_folder
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import Comparison, TestSummary
from tuneyard.errors import Conflict, NotFound, WorkFailed

PAGE = "report.html"


@task(cache_policy=NO_CACHE)
def sum_up(run: JobRun, config: BatchTestConfig) -> dict[str, Any]:
    """The figures, and the report that is kept."""
    tests, test_id = run.service.tests, run.job.id
    summary = tests.summary(test_id)
    run.log.info("%s: %s", summary.test.model, in_words(summary.test))
    result = _figures(summary)
    found = _compared(run, config, result)
    answers = () if found else tests.iter_predictions(test_id, 1000)
    wrong = [*islice((one for one in answers if one.error or one.passed is False), MOST_EXAMPLES)]
    run.progress.table("report", report_markdown(summary, found, wrong), f"Batch test {test_id}")
    page = tests.report(test_id, config.compare_with if found else None)
    return result | {"report_artifact_id": _keep_page(run, config, page)}


def _figures(summary: TestSummary) -> dict[str, Any]:
    figures: dict[str, Any] = summary.test.model_dump(
        include={"total_prompts", "completed_prompts", "failed_prompts", "passed_prompts", "score"}
    )
    if interval := summary.overall.score:
        figures |= {"score_low": interval.low, "score_high": interval.high}
    return figures


def _compared(run: JobRun, config: BatchTestConfig, result: dict[str, Any]) -> Comparison | None:
    """The comparison that the config asks for; what stands in its way is told, and costs no answer."""
    if config.compare_with is None:
        return None
    try:
        found = run.service.tests.compare(config.compare_with, run.job.id)
    except (Conflict, NotFound) as problem:
        run.log.warning("Not compared with %s: %s", config.compare_with, problem)
        result["not_compared"] = str(problem)
        return None
    tell = run.log.error if found.no_effect else run.log.info
    tell("Against %s: %s. %s", config.compare_with, found.verdict, found.reason)
    result |= {"verdict": found.verdict, "no_effect": found.no_effect}
    return found


def _keep_page(run: JobRun, config: BatchTestConfig, page: str) -> str | None:
    """The id of the kept page; None where it cannot be kept: the record can make it again."""
    folder = output_folder(run.job.id)
    try:
        staging = staging_beside(folder)
        (staging / PAGE).write_text(page, encoding="utf-8")
        publish(staging, folder)
        files = folder_files(folder)
        made = {
            "model_dir": str(folder),
            "kind": "report",
            "sha256": files_sha256(files),
            "size_bytes": sum(file.size_bytes for file in files),
            "files": [file.model_dump() for file in files],
        }
        model = config.model.removeprefix(ARTIFACT) if config.model.startswith(ARTIFACT) else None
        name, details = f"report of {run.job.name}"[:255], {"against": config.compare_with}
        return keep_result(run, made, name=name, base_model=None, parent_id=model, details=details).id
    except (OSError, WorkFailed) as problem:
        run.log.warning("The report could not be kept: %s", problem)
        return None
