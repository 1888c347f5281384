"""Fine-tune a language model: get the base model, look at the data, train, keep the result."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal

from flows.cards import cards
from flows.data_sets import get_data
from flows.job_ends import LEAVING_PATIENCE, WORKING_PATIENCE
from flows.job_run import JobRun, as_job
from flows.lineage import keep_result, parent_of, without_files
from flows.lost_runs import close_run
from flows.models import get_model
from flows.preflight import look_ahead
from flows.service_key import DEFAULT_CREDENTIALS
from tasks.chart import loss_chart
from tasks.checkpoint import go_back
from tasks.data_source import RECORDED
from tasks.launch import Tail, run_child
from tasks.lease import Lease
from tasks.storage import output_folder
from tuneyard import Client, Reporter
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput, TuneyardError
from tuneyard.shapes import Artifact, Job, JobKind, MetricPoint, NewDataset, NewJob, Preflight

BAR_SECONDS = 3.0
CHART_SECONDS = 15.0


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
        get_data(run, config)
        found = look_ahead(run, config, base)
        trained = train(run, config, base)
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
def train(run: JobRun, config: FinetuneConfig, base: Path) -> dict[str, Any]:
    """Train in a child process; Prefect's page shows its progress and its loss."""
    plan = {
        "config": config.model_dump(mode="json"),
        "model_dir": str(base),
        "output_dir": str(output_folder(run.job.id)),
        "api_url": run.block.api_url,
        "job_id": run.job.id,
    }
    points: list[MetricPoint] = []
    spool = Tail(run.kept_file("metrics.jsonl"))

    def watch() -> None:
        points.extend(MetricPoint.model_validate_json(line) for line in spool.new_lines())
        run.journal.look()
        _show(run, points)

    if run.job.resume_from is not None:
        go_back(run.folder / "checkpoints", _where_told(run.job), run.log.info)
    with cards(run, config.gpus) as lease:
        run.at("Starting the trainer")
        result = _train(run, plan, lease, watch)
    watch()
    _chart(run, points)
    return result


def _where_told(job: Job) -> str:
    """The checkpoint that somebody who resumed the job wants it to begin at."""
    if job.resume_from != "best":
        return str(job.resume_from)
    if job.best_checkpoint is None:
        raise BadInput("no checkpoint of the job is known to be the best: name one", field="from_best")
    return f"checkpoint-{job.best_checkpoint}"


def _train(run: JobRun, plan: dict[str, Any], lease: Lease, watch: Callable[[], None]) -> dict[str, Any]:
    run.journal.event("started", f"Training on {run.job.host}")
    secrets = {"job_token": run.token}
    try:
        result = run_child(
            "tasks.train",
            plan,
            run.folder,
            secrets=secrets,
            watch=watch,
            say=run.log.info,
            environment=lease.environment,
        )
    except (TuneyardError, TerminationSignal):
        _send_rest(run, LEAVING_PATIENCE)
        raise
    _send_rest(run, WORKING_PATIENCE)
    return result


def _send_rest(run: JobRun, patience: float) -> None:
    """Send what the trainer reported and could not send before it ended: its spool lies in the job's folder."""
    if left := Reporter(run.writer, run.job.id, run.folder).close(patience):
        run.log.warning("%s metric points were not sent; they lie in %s", left, run.folder)


def _show(run: JobRun, points: list[MetricPoint]) -> None:
    if not points:
        return
    if run.progress.due("progress", BAR_SECONDS):
        last, total = points[-1], run.total_steps()
        run.progress.bar(100.0 * last.step / total if total else 0.0, _words(last, total))
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
def keep_model(
    run: JobRun, config: FinetuneConfig, base: Path, found: Preflight, trained: dict[str, Any]
) -> dict[str, Any]:
    """Record the model that the trainer stored, and what it was made of; the answer becomes the job's result."""
    run.at("Recording the model")
    facts = json.loads((Path(trained["model_dir"]) / "training.json").read_text(encoding="utf-8"))
    _record_data(run, config, found, facts["sha256"]["dataset"])
    figures = without_files(trained)
    artifact = keep_result(
        run,
        trained,
        name=(config.name or config.model)[:255],
        base_model=config.model,
        parent_id=parent_of(run, config.model, base, facts["sha256"]["model"]),
        details={"config": config.model_dump(mode="json"), "training": figures},
    )
    run.log.info("Model %s in %s: test it with model artifact:%s", artifact.id, artifact.uri, artifact.id)
    run.progress.table("summary", _summary(artifact, trained), f"What job {run.job.id} made")
    found_words = found.model_dump(mode="json")
    return {"artifact_id": artifact.id, "preflight": found_words, **figures, "model_dir": artifact.uri}


def _record_data(run: JobRun, config: FinetuneConfig, found: Preflight, sha256: str) -> None:
    if config.dataset.startswith(RECORDED):
        return
    name = config.dataset.rstrip("/").rsplit("/", 1)[-1]
    run.service.datasets.create(
        NewDataset(name=name, uri=config.dataset, sha256=sha256, rows=found.figures.rows or 0)
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
