"""Fine-tune a model, batch-test it beside what it came from, and let an alias stand for it if it is better."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.job_run import JobRun, as_job
from flows.lost_runs import close_run
from flows.models import ALIAS, ARTIFACT
from flows.parts import Parts
from flows.service_key import DEFAULT_CREDENTIALS
from tuneyard import Client
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import Comparison, Promotion
from tuneyard.configs import PipelineConfig
from tuneyard.errors import Conflict, NotFound, WorkFailed
from tuneyard.shapes import JobKind, NewJob


@flow(name="pipeline", on_cancellation=[close_run], on_crashed=[close_run])
def pipeline(
    config: PipelineConfig, credentials: str = DEFAULT_CREDENTIALS, job_id: str | None = None
) -> State[Any]:
    """Fine-tune, batch-test the base and the tuned model, and promote the tuned one where it is better.

    Its parts are jobs of their own, each with a run of its own on the pool; this one takes no card. Cancelled, it
    cancels them; run again, it goes on with them.

    Args:
        config: The fine-tune, the batch test, and what the tuned model has to be.
        credentials: Name of the Tuneyard credentials block.
        job_id: A job that is recorded already; default: a new one.
    """

    def record(service: Client, run_id: str | None) -> str:
        return service.jobs.create(_new_job(config, run_id)).id

    def work(run: JobRun) -> dict[str, Any]:
        with Parts(run) as parts:
            tuned = fine_tune(run, parts, config)
            tests = batch_test(run, parts, config, tuned)
            found = compare(run, config, tests)
        return promote(run, config, tuned, tests, found)

    return as_job(credentials, record, work, job_id)


def _new_job(config: PipelineConfig, run_id: str | None) -> NewJob:
    return NewJob(
        kind=JobKind.PIPELINE,
        name=config.name,
        model=config.finetune.model,
        dataset=config.finetune.dataset,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
        max_restarts=config.max_restarts,
    )


@task(cache_policy=NO_CACHE)
def fine_tune(run: JobRun, parts: Parts, config: PipelineConfig) -> str:
    """The id of the tuned model's artifact."""
    parts.start("finetune", lambda job_id: run.service.jobs.train(config.finetune, job_id=job_id))
    done = parts.wait("finetune")
    return str(done["finetune"].result["artifact_id"])


@task(cache_policy=NO_CACHE)
def batch_test(run: JobRun, parts: Parts, config: PipelineConfig, tuned: str) -> dict[str, str]:
    """The batch tests of the base, of the tuned model and, where the alias stands for one, of that: by these names."""
    models = {"base": config.finetune.model}
    holder = _holder(run, config.alias)
    if holder is not None and models["base"] not in (ALIAS + config.alias, ARTIFACT + holder):
        models["current"] = ARTIFACT + holder
    for name, model in models.items():
        _start_test(run, parts, config, name, model)
    rivals = parts.wait(*models)
    rival = rivals.get("current", rivals["base"])
    _start_test(run, parts, config, "tuned", ARTIFACT + tuned, rival.id)
    return {name: job.id for name, job in (rivals | parts.wait("tuned")).items()}


def _start_test(
    run: JobRun, parts: Parts, config: PipelineConfig, name: str, model: str, beside: str | None = None
) -> None:
    test = BatchTestConfig(
        **config.test.model_dump(),
        model=model,
        name=f"{name} of {run.job.name}"[:255],
        compare_with=beside,
    )
    parts.start(name, lambda job_id: run.service.tests.run(test, test_id=job_id))


def _holder(run: JobRun, alias: str) -> str | None:
    try:
        return run.service.aliases.get(alias).artifact_id
    except NotFound:
        return None


@task(cache_policy=NO_CACHE)
def compare(run: JobRun, config: PipelineConfig, tests: dict[str, str]) -> dict[str, Comparison]:
    """The tuned model beside each of the others. Raises WorkFailed where its training changed no answer."""
    run.at("Comparing")
    found = {}
    for name in tests.keys() - {"tuned"}:
        found[name] = run.service.tests.compare(
            tests[name], tests["tuned"], alpha=config.alpha, margin=config.margin
        )
        run.log.info("Beside %s: %s. %s", name, found[name].verdict, found[name].reason)
    if found["base"].no_effect:
        raise WorkFailed(f"The fine-tune had no effect: {found['base'].reason}")
    return found


@task(cache_policy=NO_CACHE)
def promote(
    run: JobRun, config: PipelineConfig, tuned: str, tests: dict[str, str], found: dict[str, Comparison]
) -> dict[str, Any]:
    """Move the alias if the tuned model passes; what was decided, and why, becomes the job's result."""
    rival = "current" if "current" in found else "base"
    asked = Promotion(
        artifact_id=tuned,
        baseline=tests[rival],
        candidate=tests["tuned"],
        require=config.require,
        alpha=config.alpha,
        margin=config.margin,
        reason=f"pipeline {run.job.id}",
    )
    promoted, why = False, f"It is worse than its base. {found['base'].reason}"
    if found["base"].verdict != "worse":
        promoted, why = _ask(run, config.alias, asked)
    run.log.info("%s: %s", config.alias, why)
    verdicts = {name: one.verdict for name, one in found.items()}
    run.progress.table("gate", _gate(config, tuned, found, why), f"The gate of job {run.job.id}")
    return {"artifact_id": tuned, "promoted": promoted, "why": why, "verdicts": verdicts, "tests": tests}


def _ask(run: JobRun, alias: str, asked: Promotion) -> tuple[bool, str]:
    """Whether the alias stands for the model now; where not, why."""
    try:
        run.service.aliases.promote(alias, asked)
    except Conflict as refusal:
        return False, str(refusal)
    return True, f"{alias} is artifact:{asked.artifact_id} now"


def _gate(config: PipelineConfig, tuned: str, found: dict[str, Comparison], why: str) -> str:
    head = f"## {why}\n\nTuned model `artifact:{tuned}`, required: {config.require.replace('_', ' ')}.\n\n"
    rows = "".join(
        f"| {name} | {one.verdict} | {one.baseline_score} | {one.candidate_score} | {one.reason} |\n"
        for name, one in found.items()
    )
    return f"{head}| beside | it is | score of that | its score | why |\n|---|---|---|---|---|\n{rows}"
