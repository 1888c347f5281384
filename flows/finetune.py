"""Fine-tune a language model: get the base model, look at the data, train, keep the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.data_sets import get_data
from flows.job_run import JobRun, as_job
from flows.lineage import keep_result, parent_of, record_data, without_files
from flows.lost_runs import close_run
from flows.models import get_model, meant
from flows.preflight import look_ahead, look_at_host
from flows.service_key import DEFAULT_CREDENTIALS
from flows.suites import take_tests
from flows.trainer import train
from tuneyard import Client
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import Artifact, JobKind, NewJob, Preflight


@flow(name="finetune", on_cancellation=[close_run], on_crashed=[close_run])
def finetune(
    config: FinetuneConfig, credentials: str = DEFAULT_CREDENTIALS, job_id: str | None = None
) -> State[Any]:
    """Fine-tune a language model on a data set.

    Args:
        config: What to train on what; `model` and `dataset` alone are enough.
        credentials: Name of the Tuneyard credentials block.
        job_id: A job that is recorded already, or that goes on; default: a new one.
    """

    def record(service: Client, run_id: str | None) -> str:
        return service.jobs.create(_new_job(config, run_id)).id

    def work(run: JobRun) -> dict[str, Any]:
        look_at_host(run, config)
        base = get_model(run, config.model)
        get_data(run, config)
        prompts = take_tests(run, config)
        found = look_ahead(run, config, base)
        trained = train(run, config, base, prompts)
        return keep_model(run, config, base, found, trained)

    return as_job(credentials, record, work, job_id)


def _new_job(config: FinetuneConfig, run_id: str | None) -> NewJob:
    return NewJob(
        kind=JobKind.FINETUNE,
        name=config.name,
        model=config.model,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
        max_restarts=config.max_restarts,
    )


@task(cache_policy=NO_CACHE)
def keep_model(
    run: JobRun, config: FinetuneConfig, base: Path, found: Preflight, trained: dict[str, Any]
) -> dict[str, Any]:
    """Record the model that the trainer stored, and what it was made of; the answer becomes the job's result."""
    run.at("Recording the model")
    facts = json.loads((Path(trained["model_dir"]) / "training.json").read_text(encoding="utf-8"))
    record_data(run, config.dataset, facts["sha256"]["dataset"], found.figures.rows or 0)
    figures = without_files(trained)
    artifact = keep_result(
        run,
        trained,
        name=(config.name or config.model)[:255],
        base_model=config.model,
        parent_id=parent_of(run, meant(run, config.model), base, facts["sha256"]["model"]),
        details={"config": config.model_dump(mode="json"), "training": figures},
    )
    run.log.info("Model %s in %s: test it with model artifact:%s", artifact.id, artifact.uri, artifact.id)
    run.progress.table("summary", _summary(artifact, trained), f"What job {run.job.id} made")
    found_words = found.model_dump(mode="json")
    return {"artifact_id": artifact.id, "preflight": found_words, **figures, "model_dir": artifact.uri}


def _summary(artifact: Artifact, trained: dict[str, Any]) -> str:
    figures = {
        "model": f"`artifact:{artifact.id}`",
        "base model": f"`{artifact.base_model}`",
        "steps": trained["steps"],
        "first loss": f"{trained['first_loss']:.4f}",
        "last loss": f"{trained['last_loss']:.4f}",
        "tokens": trained["tokens"],
        "tokens/s": trained["tokens_per_second"],
        "seconds": trained["seconds"],
        "device": f"{trained['device']}, {trained['precision']}",
        "size": f"{artifact.size_bytes / 2**20:.0f} MiB",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in figures.items())
