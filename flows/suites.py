"""The suite of a batch test: a recorded one, or a file's or an uploaded data set's, which is recorded first."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.data_sets import fetch
from flows.job_run import JobRun
from tasks.data_source import RECORDED
from tasks.prompt_checks import NO_MODEL_BESIDE, check_prompts, unable_at
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import NewSuite, Prompt, Suite
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput, NotFound
from tuneyard.shapes import JobFacts
from tuneyard.suite_files import read_suite, suite_name


@task(cache_policy=NO_CACHE)
def take_suite(run: JobRun, config: BatchTestConfig) -> list[Prompt]:
    """The prompts that are to be answered."""
    run.at(f"Reading the suite {config.suite}")
    suite = suite_of(run, config.suite)
    prompts = (suite.prompts or [])[: config.prompt_limit]
    check_prompts(prompts, config.scorers, unable_at(config.model))
    run.writer.jobs.update(run.job.id, JobFacts(suite_id=suite.id, total_steps=len(prompts)))
    run.log.info("Suite %s version %s (%s): %s prompts", suite.name, suite.version, suite.id, len(prompts))
    return prompts


@task(cache_policy=NO_CACHE)
def take_tests(run: JobRun, config: FinetuneConfig) -> list[Prompt]:
    """The prompts that the model in training is to answer; none where the config asks for no tests."""
    if config.tests is None:
        return []
    refuse_parted(config)
    suite = suite_of(run, config.tests.suite)
    prompts = (suite.prompts or [])[: config.tests.prompt_limit]
    try:
        check_prompts(prompts, config.tests.scorers, NO_MODEL_BESIDE)
    except BadInput as problem:
        raise BadInput(problem.problem, field=f"tests.{problem.field}") from None
    run.log.info("Tests while training: suite %s version %s (%s)", suite.name, suite.version, suite.id)
    return prompts


def refuse_parted(config: FinetuneConfig) -> None:
    """Raises BadInput where no process will hold the model whole."""
    if config.tests is not None and config.distributed == "fsdp" and config.gpus > 1:
        problem = "with distributed: fsdp no process holds the model whole, and none can answer: use ddp"
        raise BadInput(problem, field="tests")


def suite_of(run: JobRun, suite: str) -> Suite:
    """The recorded suite that a config's `suite` means, with its prompts."""
    if suite.startswith(RECORDED):
        return suite_of(run, str(fetch(run, suite, "suite")))
    if "/" not in suite and not Path(suite).exists():
        try:
            return run.service.suites.get(suite)
        except NotFound:
            raise BadInput(
                f"{suite!r} is neither a file here nor the id of a recorded suite", field="suite"
            ) from None
    new = NewSuite(name=suite_name(Path(suite)), prompts=read_suite(Path(suite)))
    return run.service.suites.create(new).model_copy(update={"prompts": new.prompts})
