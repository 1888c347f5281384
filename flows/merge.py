"""Merge an adapter into its base model: find it, add it in, keep the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.job_run import JobRun, as_job
from flows.lineage import keep_result, without_files
from flows.lost_runs import close_run
from flows.models import ARTIFACT, get_model, recorded
from flows.service_key import DEFAULT_CREDENTIALS
from tasks.launch import run_child
from tasks.storage import output_folder
from tuneyard import Client
from tuneyard.configs import MergeConfig
from tuneyard.errors import BadInput
from tuneyard.shapes import Artifact, JobKind, NewJob

NO_CARD = "CUDA_VISIBLE_DEVICES"  # merging is done on the CPU: it takes no card from anybody


@flow(name="merge", on_cancellation=[close_run], on_crashed=[close_run])
def merge(
    config: MergeConfig, credentials: str = DEFAULT_CREDENTIALS, job_id: str | None = None
) -> State[Any]:
    """Add an adapter into its base model's weights.

    Args:
        config: Which adapter.
        credentials: Name of the Tuneyard credentials block.
        job_id: A job that is recorded already; default: a new one.
    """

    def record(service: Client, run_id: str | None) -> str:
        return service.jobs.create(_new_job(config, run_id)).id

    def work(run: JobRun) -> dict[str, Any]:
        adapter = find_adapter(run, config)
        folder = get_model(run, ARTIFACT + adapter.id)
        made = add_in(run, folder)
        return keep_merged(run, config, adapter, made)

    return as_job(credentials, record, work, job_id)


def _new_job(config: MergeConfig, run_id: str | None) -> NewJob:
    return NewJob(
        kind=JobKind.MERGE,
        name=config.name,
        model=ARTIFACT + config.artifact_id,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
        max_restarts=config.max_restarts,
    )


@task(cache_policy=NO_CACHE)
def find_adapter(run: JobRun, config: MergeConfig) -> Artifact:
    """The adapter's record. Raises BadInput where the artifact is none."""
    found = recorded(run, config.artifact_id, "artifact")
    if found.kind != "adapter":
        raise BadInput(f"the artifact {found.id} is a {found.kind}, not an adapter", field="artifact")
    return found


@task(cache_policy=NO_CACHE)
def add_in(run: JobRun, folder: Path) -> dict[str, Any]:
    """Merge in a child process, which compares the answers before and after."""
    run.at("Merging the adapter into its base")
    run.journal.event("started", f"Merging on {run.job.host}")
    plan = {"adapter_dir": str(folder), "output_dir": str(output_folder(run.job.id))}
    return run_child(
        "tasks.merge",
        plan,
        run.folder,
        secrets={},
        watch=run.journal.look,
        say=run.log.info,
        environment={NO_CARD: ""},
    )


@task(cache_policy=NO_CACHE)
def keep_merged(run: JobRun, config: MergeConfig, adapter: Artifact, made: dict[str, Any]) -> dict[str, Any]:
    """Record the merged model under its adapter; the figures become the job's result."""
    run.at("Recording the model")
    figures = without_files(made)
    artifact = keep_result(
        run,
        made,
        name=config.name or adapter.name,
        base_model=adapter.base_model or adapter.name,
        parent_id=adapter.id,
        details={"merge": figures},
    )
    run.log.info("Model %s in %s: test it with model artifact:%s", artifact.id, artifact.uri, artifact.id)
    run.progress.table("summary", _summary(artifact, figures), f"What job {run.job.id} made")
    return {"artifact_id": artifact.id, **figures, "model_dir": artifact.uri}


def _summary(artifact: Artifact, figures: dict[str, Any]) -> str:
    shown = {
        "model": f"`artifact:{artifact.id}`",
        "adapter": f"`artifact:{artifact.parent_id}`",
        "prompts answered alike": f"{figures['same_answers']} of {figures['prompts']}",
        "largest difference of a logit": f"{figures['largest_difference']:.2g}",
        "size": f"{artifact.size_bytes / 2**20:.0f} MiB",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in shown.items())
