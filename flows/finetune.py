"""Fine-tune a language model: get the base model, look at the data, train, keep the result."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.job_run import JobRun, as_job
from flows.lost_runs import close_run
from flows.models import get_model
from flows.preflight import look_ahead
from flows.service_key import DEFAULT_CREDENTIALS
from flows.trainer import train
from tuneyard import Client
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import Artifact, JobKind, NewArtifact, NewDataset, NewJob, Preflight


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
        base = get_model(run, config.model)
        found = look_ahead(run, config, base)
        trained = train(run, config, base)
        return keep_model(run, config, found, trained)

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
    run: JobRun, config: FinetuneConfig, found: Preflight, trained: dict[str, Any]
) -> dict[str, Any]:
    """Record the model that the trainer stored, and what it was trained on; the answer becomes the job's result."""
    run.at("Recording the model")
    facts = json.loads((Path(trained["model_dir"]) / "training.json").read_text(encoding="utf-8"))
    _record_data(run, config, found, facts["sha256"]["dataset"])
    artifact = run.writer.artifacts.create(_new_artifact(config, trained))
    run.log.info("Model %s in %s: test it with model artifact:%s", artifact.id, artifact.uri, artifact.id)
    run.progress.table("summary", _summary(artifact, trained), f"What job {run.job.id} made")
    return {"artifact_id": artifact.id, "preflight": found.model_dump(mode="json"), **trained}


def _record_data(run: JobRun, config: FinetuneConfig, found: Preflight, sha256: str) -> None:
    name = config.dataset.rstrip("/").rsplit("/", 1)[-1]
    run.service.datasets.create(
        NewDataset(name=name, uri=config.dataset, sha256=sha256, rows=found.figures.rows or 0)
    )


def _new_artifact(config: FinetuneConfig, trained: dict[str, Any]) -> NewArtifact:
    return NewArtifact(
        kind="model",
        name=config.name or config.model,
        uri=trained["model_dir"],
        sha256=trained["sha256"],
        size_bytes=trained["size_bytes"],
        base_model=config.model,
        details={"config": config.model_dump(mode="json"), "training": trained},
    )


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
