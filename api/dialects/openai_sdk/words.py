"""Data sets, fine-tunes, their events and models in OpenAI's words. Pure."""

import math
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from api.config_checks import ALIAS, ARTIFACT, DATASET
from api.given import Open
from api.tables import Artifact, Dataset, Job, ModelAlias, now
from tuneyard.configs import PEAK_LEARNING_RATES, FinetuneConfig
from tuneyard.shapes import JobError, JobEvent, JobEventKind, JobStatus

PURPOSE = "fine-tune"
STATUSES = {
    JobStatus.PENDING: "queued",
    JobStatus.QUEUED: "validating_files",
    JobStatus.PAUSING: "running",
    JobStatus.CANCELLING: "running",  # it is cancelled once its work has stopped
    JobStatus.COMPLETED: "succeeded",
}
_WARNINGS = (JobEventKind.WATCHDOG, JobEventKind.OOM_BACKOFF, JobEventKind.LOST)
_PARAMS = {"config.dataset": "training_file", "config.eval_dataset": "validation_file"}
_PARAMS |= {name.removeprefix("config."): param for name, param in _PARAMS.items()}
_KINDS = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
_CODES = {401: "invalid_api_key", 429: "rate_limit_exceeded"}


def error_in_words(body: Open) -> Open:
    """A problem's body with `error` as OpenAI's clients read it; every other member stays."""
    status, field = body["status"], next((one["field"] for one in body.get("errors", ())), None)
    error = {
        "message": body["detail"],
        "type": "server_error" if status >= 500 else _KINDS.get(status, "invalid_request_error"),
        "param": param_of(field),
        "code": _CODES.get(status, body["type"].rpartition(":")[2].replace("-", "_")),
    }
    return body | {"error": error}


def param_of(field: str | None) -> str | None:
    """What OpenAI calls a field of a config."""
    return None if field is None else _PARAMS.get(field, field.removeprefix("config."))


def listed(items: Sequence[Open], has_more: bool) -> Open:
    ends = {"first_id": items[0]["id"], "last_id": items[-1]["id"]} if items else {}
    return (
        {"object": "list", "data": items, "first_id": None, "last_id": None} | ends | {"has_more": has_more}
    )


def seconds(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def file_in_words(row: Dataset) -> Open:
    return {
        "id": row.id,
        "object": "file",
        "bytes": row.size_bytes,
        "created_at": seconds(row.created_at),
        "filename": row.file_name,
        "purpose": PURPOSE,
        "status": "processed",
        "expires_at": None,
        "status_details": None,
    }


def job_in_words(job: Job, organization: str, errors: Sequence[JobError] = ()) -> Open:
    """A fine-tune. What OpenAI has no word for stands in `tuneyard`."""
    config, status = _config(job), JobStatus(job.status)
    succeeded = status is JobStatus.COMPLETED
    made = job.result.get("artifact_id", job.artifact_id)
    return {
        "id": job.id,
        "object": "fine_tuning.job",
        "created_at": seconds(job.created_at),
        "finished_at": seconds(job.ended_at) if status.is_final else None,
        "estimated_finish": _estimate(job),
        "model": job.model,
        "fine_tuned_model": f"{ARTIFACT}{made}" if succeeded and made else None,
        "organization_id": organization,
        "result_files": [],
        "status": STATUSES.get(status, job.status),
        "training_file": (job.dataset or "").removeprefix(DATASET),
        "validation_file": config.eval_dataset and config.eval_dataset.removeprefix(DATASET),
        "seed": config.seed,
        "trained_tokens": job.result.get("tokens") if succeeded else None,
        "hyperparameters": _hyperparameters(config),
        "method": _method(config),
        "integrations": [],
        "metadata": job.labels,
        "error": _error(job, errors) if status is JobStatus.FAILED else None,
        "tuneyard": {"status": job.status, "stage": job.stage, "wait_reason": job.wait_reason},
    }


def _config(job: Job) -> FinetuneConfig:
    """What it is run with; of a job that another trainer recorded, as much as is known."""
    try:
        return FinetuneConfig.model_validate(job.config)
    except ValidationError:
        return FinetuneConfig(model=job.model, dataset=job.dataset or "-")


def _hyperparameters(config: FinetuneConfig) -> Open:
    peak = PEAK_LEARNING_RATES[config.method]
    return {
        "n_epochs": int(config.epochs) if config.epochs == int(config.epochs) else config.epochs,
        "batch_size": config.batch_size,
        "learning_rate_multiplier": round(config.peak_learning_rate / peak, 9),
    }


def _method(config: FinetuneConfig) -> Open:
    kind = "dpo" if config.method == "dpo" else "supervised"
    beta = {"beta": config.dpo_beta} if kind == "dpo" else {}
    return {"type": kind, kind: {"hyperparameters": _hyperparameters(config) | beta}}


def _error(job: Job, errors: Sequence[JobError]) -> Open:
    last = errors[-1] if errors else None
    return {
        "code": last.kind if last else "job_failed",
        "message": job.error or (last.message if last else "it failed"),
        "param": param_of(last.field) if last else None,
    }


def _estimate(job: Job) -> int | None:
    """At the pace so far."""
    if job.status != JobStatus.RUNNING or not (job.started_at and job.current_step and job.total_steps):
        return None
    a_step = (now() - job.started_at) / job.current_step
    return seconds(now() + max(0, job.total_steps - job.current_step) * a_step)


def event_in_words(event: JobEvent) -> Open:
    failed = event.kind is JobEventKind.ENDED and event.details.get("status") == "failed"
    return {
        "id": event.id,
        "object": "fine_tuning.job.event",
        "created_at": seconds(event.at),
        "level": "error" if failed else "warn" if event.kind in _WARNINGS else "info",
        "message": event.message,
        "type": "metrics" if event.kind is JobEventKind.EVALUATED else "message",
        "data": {"kind": event.kind, "step": event.step} | event.details,
    }


def checkpoint_in_words(event: JobEvent, job_id: str, readings: dict[str, Any]) -> Open:
    """A checkpoint is what a resume goes on from; the name is the one that it takes."""
    metrics = {name: value for name, value in readings.items() if _is_number(value)}
    return {
        "id": event.id,
        "object": "fine_tuning.job.checkpoint",
        "created_at": seconds(event.at),
        "fine_tuning_job_id": job_id,
        "fine_tuned_model_checkpoint": f"checkpoint-{event.step}",
        "step_number": event.step,
        "metrics": {"step": event.step} | metrics,
    }


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def model_in_words(row: Artifact | ModelAlias, owner: str) -> Open:
    """An artifact or an alias by what a config calls it; a base's record is named so."""
    if isinstance(row, ModelAlias):
        named, at, more = f"{ALIAS}{row.name}", row.updated_at, {"artifact_id": row.artifact_id}
    else:
        is_named = row.kind == "base" and len(row.name) < 255
        named, at = row.name if is_named else f"{ARTIFACT}{row.id}", row.created_at
        more = {"name": row.name, "kind": row.kind, "base_model": row.base_model, "job_id": row.job_id}
    return {"id": named, "object": "model", "created": seconds(at), "owned_by": owner, "tuneyard": more}
