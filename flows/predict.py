"""Ask a model: get it, have it answer, keep what it said."""

from __future__ import annotations

from typing import Any

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from flows.job_run import JobRun, as_job
from flows.lineage import keep_result
from flows.lost_runs import close_run
from flows.models import ARTIFACT, meant, recorded
from flows.prompting import answer_prompts, answers_in, take_prompts
from flows.service_key import DEFAULT_CREDENTIALS
from flows.tabular import get_rows
from tasks.storage import output_folder
from tasks.table_rows import read_table
from tasks.tabular import LinearModel, predicted, store
from tuneyard import Client
from tuneyard.batch_configs import PredictConfig
from tuneyard.batch_shapes import Prompt
from tuneyard.errors import BadInput
from tuneyard.shapes import Artifact, JobKind, NewJob

FILE = "predictions.json"
# What is larger lies in the artifact's file alone.
LARGEST_TABLE = 100_000  # cells
LARGEST_TEXTS = 500_000  # characters
MODELS = ("base", "model", "adapter", "merged", "tabular")


@flow(name="predict", on_cancellation=[close_run], on_crashed=[close_run])
def predict(
    config: PredictConfig, credentials: str = DEFAULT_CREDENTIALS, job_id: str | None = None
) -> State[Any]:
    """Let a model answer prompts, or predict a column of a table's rows.

    Args:
        config: Which model, which prompts or rows.
        credentials: Name of the Tuneyard credentials block.
        job_id: A job that is recorded already; default: a new one.
    """

    def record(service: Client, run_id: str | None) -> str:
        return service.jobs.create(_new_job(config, run_id)).id

    def work(run: JobRun) -> dict[str, Any]:
        model = table_model(run, config)
        if model is not None:
            return predict_rows(run, config, model)
        prompts = take_prompts(run, config)
        answered = answer_prompts(run, config, prompts)
        return keep_answers(run, config, prompts, answered)

    return as_job(credentials, record, work, job_id)


def _new_job(config: PredictConfig, run_id: str | None) -> NewJob:
    return NewJob(
        kind=JobKind.PREDICT,
        name=config.name,
        model=config.model,
        dataset=config.dataset,
        config=config.model_dump(mode="json"),
        flow_run_id=run_id,
        max_restarts=config.max_restarts,
    )


def table_model(run: JobRun, config: PredictConfig) -> Artifact | None:
    """The record of a model of a table; None: it is a language model."""
    model = meant(run, config.model)
    if not model.startswith(ARTIFACT):
        return None
    artifact = recorded(run, model.removeprefix(ARTIFACT), "model")
    if artifact.kind not in MODELS:
        raise BadInput(f"the artifact {artifact.id} is a {artifact.kind}, not a model", field="model")
    return artifact if artifact.kind == "tabular" else None


@task(cache_policy=NO_CACHE)
def predict_rows(run: JobRun, config: PredictConfig, artifact: Artifact) -> dict[str, Any]:
    """Predict a row's target from its other columns; no card is taken."""
    if config.prompts is not None:
        raise BadInput("a model of a table takes rows, not prompts: name a data set", field="prompts")
    table = read_table(get_rows(run, config.dataset))
    run.at(f"Predicting {len(table.rows)} rows")
    run.journal.event("started", f"Predicting on {run.job.host}")
    found = predicted(linear_model(artifact), table)
    cells = len(found["columns"]) * len(found["data"])
    kept = keep_predictions(run, config, artifact.id, found, whole=cells <= LARGEST_TABLE)
    return {"artifact_id": kept.id, "rows": len(table.rows), "model_dir": kept.uri}


def linear_model(artifact: Artifact) -> LinearModel:
    """The model as its record has it. Raises BadInput where somebody recorded another thing as one."""
    names = ("target", "features", "coefficients", "intercept")
    try:
        model = LinearModel(**{name: artifact.details[name] for name in names})
        known = len(model.features) == len(model.coefficients)
        model.of([0.0] * len(model.features))
    except (KeyError, TypeError):
        known = False
    if not known:
        raise BadInput(f"the artifact {artifact.id} does not say which model it is", field="model")
    return model


@task(cache_policy=NO_CACHE)
def keep_answers(
    run: JobRun, config: PredictConfig, prompts: list[Prompt], answered: dict[str, Any]
) -> dict[str, Any]:
    """Record what a language model said; it is the job's result as well."""
    said = answers_in(run, prompts)
    whole = sum(len(one["prompt"]) + len(one["response"] or "") for one in said) <= LARGEST_TEXTS
    model = meant(run, config.model)
    parent = model.removeprefix(ARTIFACT) if model.startswith(ARTIFACT) else None
    kept = keep_predictions(run, config, parent, said, whole=whole)
    counts = {"prompts": len(said), "failed": sum("error" in one for one in said)}
    shown = {"predictions": said} if whole else {"file": FILE}
    return {"artifact_id": kept.id, **counts, **answered, **shown, "model_dir": kept.uri}


def keep_predictions(
    run: JobRun, config: PredictConfig, parent_id: str | None, found: Any, *, whole: bool
) -> Artifact:
    """Record what the model said: in the artifact's file, and where it is small enough in its details too."""
    run.at("Recording the predictions")
    return keep_result(
        run,
        store(output_folder(run.job.id), "predictions", {FILE: found}),
        name=config.name or run.job.name,
        base_model=config.model,
        parent_id=parent_id,
        details={"predictions": found} if whole else {"file": FILE},
    )
