"""Fit a model of a table: read the rows, fit, keep the model."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.data_sets import fetch
from flows.job_run import JobRun, as_job
from flows.lineage import keep_result, record_data, without_files
from flows.lost_runs import close_run
from flows.merge import NO_CARD
from flows.service_key import DEFAULT_CREDENTIALS
from tasks.data_source import RECORDED
from tasks.launch import run_child
from tasks.storage import output_folder
from tuneyard import Client
from tuneyard.configs import TabularConfig
from tuneyard.errors import BadInput
from tuneyard.shapes import Artifact, JobKind, NewJob

MODEL = "tabular"  # a job's `model`, which is made from none
QUICK = 0.2  # seconds between two looks at the child: it lives for two


@flow(name="tabular", on_cancellation=[close_run], on_crashed=[close_run])
def tabular(
    config: TabularConfig, credentials: str = DEFAULT_CREDENTIALS, job_id: str | None = None
) -> State[Any]:
    """Fit a linear model of one column of a table by the others.

    Args:
        config: Which rows, which columns; `dataset` alone is enough.
        credentials: Name of the Tuneyard credentials block.
        job_id: A job that is recorded already; default: a new one.
    """

    def record(service: Client, run_id: str | None) -> str:
        return service.jobs.create(_new_job(config, run_id)).id

    def work(run: JobRun) -> dict[str, Any]:
        dataset = get_rows(run, config.dataset)
        fitted = fit(run, config, dataset)
        return keep_fitted(run, config, dataset, fitted)

    return as_job(credentials, record, work, job_id)


def _new_job(config: TabularConfig, run_id: str | None) -> NewJob:
    return NewJob(
        kind=JobKind.TABULAR,
        name=config.name,
        model=MODEL,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
        max_restarts=config.max_restarts,
    )


@task(cache_policy=NO_CACHE)
def get_rows(run: JobRun, dataset: str | None) -> str:
    """The data set, on this host where it was uploaded."""
    if dataset is None:
        raise BadInput("there are no rows: name a data set", field="dataset")
    if dataset.startswith(RECORDED):
        fetch(run, dataset, "dataset")
    return dataset


@task(cache_policy=NO_CACHE)
def fit(run: JobRun, config: TabularConfig, dataset: str) -> dict[str, Any]:
    """Fit in a child process."""
    run.at(f"Fitting {dataset}")
    run.journal.event("started", f"Fitting on {run.job.host}")
    plan = {
        "dataset": dataset,
        "output_dir": str(output_folder(run.job.id)),
        **config.model_dump(include={"target", "features"}),
    }
    return run_child(
        "tasks.tabular",
        plan,
        run.folder,
        secrets={},
        watch=run.journal.look,
        say=run.log.info,
        environment={NO_CARD: ""},
        interval=QUICK,
    )


@task(cache_policy=NO_CACHE)
def keep_fitted(run: JobRun, config: TabularConfig, dataset: str, fitted: dict[str, Any]) -> dict[str, Any]:
    """Record the model, and the rows it was made from; its figures become the job's result."""
    run.at("Recording the model")
    record_data(run, dataset, fitted.pop("dataset_sha256"), fitted["rows"])
    figures = without_files(fitted)
    facts = {name: figures[name] for name in figures if name not in _ABOUT_FILES}
    artifact = keep_result(
        run, fitted, name=config.name or run.job.name, base_model=None, parent_id=None, details=facts
    )
    run.log.info("Model %s in %s: predict with model artifact:%s", artifact.id, artifact.uri, artifact.id)
    run.progress.table("summary", _summary(artifact, facts), f"What job {run.job.id} made")
    return {"artifact_id": artifact.id, **facts, "model_dir": artifact.uri}


_ABOUT_FILES = ("model_dir", "kind", "sha256", "size_bytes")


def _summary(artifact: Artifact, facts: dict[str, Any]) -> str:
    shown = {
        "model": f"`artifact:{artifact.id}`",
        "target": facts["target"],
        "intercept": f"{facts['intercept']:.6g}",
        **{
            name: f"{value:.6g}" for name, value in zip(facts["features"], facts["coefficients"], strict=True)
        },
        "rows": facts["rows"],
        "r2": facts["r2"],
        "rmse": f"{facts['rmse']:.6g}",
    }
    return "| | |\n|---|---|\n" + "".join(f"| {name} | {value} |\n" for name, value in shown.items())
