"""The suite of a batch test: a recorded one, or a file's, which is recorded first."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.job_run import JobRun
from tasks.dataset import read_suite
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import NewSuite, Prompt, Suite
from tuneyard.errors import BadInput, NotFound
from tuneyard.shapes import JobFacts


@task(cache_policy=NO_CACHE)
def take_suite(run: JobRun, config: BatchTestConfig) -> list[Prompt]:
    """The prompts that are to be answered."""
    run.at(f"Reading the suite {config.suite}")
    suite = suite_of(run, config.suite)
    prompts = (suite.prompts or [])[: config.prompt_limit]
    run.writer.jobs.update(run.job.id, JobFacts(suite_id=suite.id, total_steps=len(prompts)))
    run.log.info("Suite %s (%s): %s prompts", suite.name, suite.id, len(prompts))
    return prompts


def suite_of(run: JobRun, suite: str) -> Suite:
    """The recorded suite that a config's `suite` means, with its prompts."""
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
