"""Fine-tune a language model: check the data, get the base model, train, keep the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.job_run import (
    DEFAULT_CREDENTIALS,
    LEAVING_PATIENCE,
    WORKING_PATIENCE,
    JobCancelled,
    JobRun,
    as_job,
    close_job,
)
from flows.models import fetch
from tasks.chart import loss_chart
from tasks.dataset import Rows, read_rows
from tasks.launch import Tail, run_child
from tuneyard import Client, Reporter
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import TuneyardError
from tuneyard.home import home
from tuneyard.shapes import Artifact, JobKind, MetricPoint, NewArtifact, NewDataset, NewJob

BAR_SECONDS = 3.0
CHART_SECONDS = 15.0


@flow(name="finetune", on_cancellation=[close_job], on_crashed=[close_job])
def finetune(config: FinetuneConfig, credentials: str = DEFAULT_CREDENTIALS) -> State[Any]:
    """Fine-tune a language model on a data set.

    Args:
        config: What to train on what; `model` and `dataset` alone are enough.
        credentials: Name of the Tuneyard credentials block.
    """

    def record(service: Client, run_id: str | None) -> str:
        return service.jobs.create(_new_job(config, run_id)).id

    def work(run: JobRun) -> dict[str, Any]:
        rows = check_data(run, config)
        base = get_base_model(run, config)
        trained = train(run, config, rows, base)
        return keep_model(run, config, trained)

    return as_job(credentials, record, work)


def _new_job(config: FinetuneConfig, run_id: str | None) -> NewJob:
    return NewJob(
        kind=JobKind.FINETUNE,
        name=config.name,
        model=config.model,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
    )


@task(cache_policy=NO_CACHE)
def check_data(run: JobRun, config: FinetuneConfig) -> Rows:
    """Read every row, refuse the data set by line if one is wrong, and record it."""
    run.at(f"Reading {config.dataset}")
    rows = read_rows(Path(config.dataset))
    run.service.datasets.create(
        NewDataset(
            name=Path(config.dataset).name, uri=str(rows.path), sha256=rows.sha256, rows=len(rows.rows)
        )
    )
    run.log.info("%s rows, sha256 %s…", len(rows.rows), rows.sha256[:12])
    return rows


@task(cache_policy=NO_CACHE)
def get_base_model(run: JobRun, config: FinetuneConfig) -> Path:
    """The base model as a folder on this host."""
    return fetch(run, config.model)


@task(cache_policy=NO_CACHE)
def train(run: JobRun, config: FinetuneConfig, rows: Rows, base: Path) -> dict[str, Any]:
    """Train in a child process; Prefect's page shows its progress and its loss."""
    run.at("Starting the trainer")
    plan = {
        "config": config.model_dump(mode="json"),
        "model_dir": str(base),
        "rows_path": str(rows.path),
        "output_dir": str(home() / "artifacts" / run.job.id),
        "api_url": run.block.api_url,
        "job_id": run.job.id,
    }
    points: list[MetricPoint] = []
    spool = Tail(run.kept_file("metrics.jsonl"))

    def watch() -> None:
        points.extend(MetricPoint.model_validate_json(line) for line in spool.new_lines())
        _show(run, points)
        run.heed_cancel()

    secrets = {"job_token": run.token}
    try:
        result = run_child("tasks.train", plan, run.folder, secrets=secrets, watch=watch, say=run.log.info)
    except (TuneyardError, JobCancelled):
        _send_rest(run, LEAVING_PATIENCE)
        raise
    _send_rest(run, WORKING_PATIENCE)
    points.extend(MetricPoint.model_validate_json(line) for line in spool.new_lines())
    _chart(run, points)
    return result


def _send_rest(run: JobRun, patience: float) -> None:
    """Send what the trainer reported and could not send before it ended: its spool lies in the job's folder."""
    if left := Reporter(run.writer, run.job.id, run.folder).close(patience):
        run.log.warning("%s metric points were not sent; they lie in %s", left, run.folder)


def _show(run: JobRun, points: list[MetricPoint]) -> None:
    if not points:
        return
    if run.progress.due("progress", BAR_SECONDS):
        job = run.job
        last = points[-1]
        done = 100.0 * last.step / job.total_steps if job.total_steps else 0.0
        run.progress.bar(done, _words(last, job.total_steps))
    if run.progress.due("loss", CHART_SECONDS):
        _chart(run, points)


def _words(point: MetricPoint, total: int | None) -> str:
    loss = "" if point.train_loss is None else f", loss {point.train_loss:.4f}"
    speed = "" if point.tokens_per_second is None else f", {point.tokens_per_second:.0f} tokens/s"
    memory = "" if point.gpu_memory_allocated_gb is None else f", GPU {point.gpu_memory_allocated_gb:.1f} GB"
    return f"step {point.step} of {total or '?'}{loss}{speed}{memory}"


def _chart(run: JobRun, points: list[MetricPoint]) -> None:
    if points:
        run.progress.picture("loss", loss_chart(points), f"Loss of job {run.job.id}")


@task(cache_policy=NO_CACHE)
def keep_model(run: JobRun, config: FinetuneConfig, trained: dict[str, Any]) -> dict[str, Any]:
    """Record the model that the trainer stored; what is returned becomes the job's result."""
    run.at("Recording the model")
    artifact = run.writer.artifacts.create(
        NewArtifact(
            kind="model",
            name=config.name or config.model,
            uri=trained["model_dir"],
            sha256=trained["sha256"],
            size_bytes=trained["size_bytes"],
            base_model=config.model,
            details={"config": config.model_dump(mode="json"), "training": trained},
        )
    )
    run.log.info("Model %s in %s: test it with model artifact:%s", artifact.id, artifact.uri, artifact.id)
    run.progress.table("summary", _summary(artifact, trained), f"What job {run.job.id} made")
    return {"artifact_id": artifact.id, **trained}


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
