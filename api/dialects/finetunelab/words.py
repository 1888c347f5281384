"""Jobs, points and predictions in the words of the training platform. Pure."""

import math
from datetime import timedelta
from pathlib import PurePath
from typing import Any

from api.tables import Job, TestRun, now
from tuneyard.batch_shapes import Prediction
from tuneyard.shapes import JobStatus, MetricRow

SILENT_AFTER = timedelta(seconds=300)
LEAST_LOSSES = 5
TREND = 0.05


def perplexity(loss: float | None) -> float | None:
    """exp(loss); None where there is no loss, or it is beyond every number."""
    if loss is None:
        return None
    try:
        value = math.exp(loss)
    except OverflowError:
        return None
    return value if math.isfinite(value) else None


def loss_trend(losses: list[float]) -> str | None:
    """How the later half of the losses compares to the earlier; None for fewer than five."""
    if len(losses) < LEAST_LOSSES:
        return None
    middle = len(losses) // 2
    early = sum(losses[:middle]) / middle
    late = sum(losses[middle:]) / (len(losses) - middle)
    if early == 0:
        return "stable"
    change = (late - early) / abs(early)
    return "improving" if change < -TREND else "degrading" if change > TREND else "stable"


def status_in_words(job: Job) -> str:
    return "running" if job.status in (JobStatus.CANCELLING, JobStatus.PAUSING) else job.status


def listed_job(job: Job) -> dict[str, Any]:
    """A job as lists show it."""
    return {
        "id": job.id,
        "model_name": job.model,
        "dataset_path": job.dataset,
        "status": status_in_words(job),
        "progress": job.progress,
        "current_step": job.current_step,
        "current_epoch": job.current_epoch,
        "total_steps": job.total_steps,
        "total_epochs": job.total_epochs,
        "loss": job.loss,
        "eval_loss": job.eval_loss,
        "best_eval_loss": job.best_eval_loss,
        "started_at": job.started_at,
        "completed_at": job.ended_at,
        "created_at": job.created_at,
        "error_message": job.error,
    }


def status_of(job: Job, points: list[MetricRow]) -> dict[str, Any]:
    """A job as its page shows it.

    Args:
        job: The job.
        points: Its last points, the newest first.
    """
    listed = listed_job(job)
    shared = {
        name: value for name, value in listed.items() if name not in ("id", "created_at", "error_message")
    }
    return (
        {"job_id": job.id}
        | shared
        | {
            "model_display_name": PurePath(job.model).name or job.model,
            "job_name": job.name,
            "dataset_name": PurePath(job.dataset).name if job.dataset else None,
            "gpu_total_memory_gb": None,
            "total_samples": None,
            "best_epoch": job.best_epoch,
            "best_step": job.best_step,
            "best_checkpoint_path": _checkpoint(job.best_checkpoint),
            "epochs_without_improvement": _epochs_since_best(job),
            "train_perplexity": perplexity(job.loss),
            "eval_perplexity": perplexity(job.eval_loss),
            "resumed_from_job_id": job.id if job.resumed_at else None,
            "resume_from_checkpoint": job.resume_from,
            "warning": _warning(job),
        }
        | _readings(points)
        | _times(job)
        | ({"error": job.error} if job.status == JobStatus.FAILED else {})
    )


def _readings(points: list[MetricRow]) -> dict[str, Any]:
    """The newest value of each reading, and where the loss is going."""
    names = (
        "learning_rate",
        "grad_norm",
        "gpu_memory_allocated_gb",
        "gpu_memory_reserved_gb",
        "gpu_utilization_percent",
        "samples_per_second",
        "tokens_per_second",
    )
    losses = [
        loss for point in reversed(points) if (loss := point.train_loss) is not None and math.isfinite(loss)
    ]
    newest = {name: next((v for p in points if (v := getattr(p, name)) is not None), None) for name in names}
    return newest | {"loss_trend": loss_trend(losses)}


def _times(job: Job) -> dict[str, Any]:
    """Seconds since the start and, at this pace, until the end."""
    if job.started_at is None:
        return {"elapsed_seconds": None, "remaining_seconds": None}
    elapsed = ((job.ended_at or now()) - job.started_at).total_seconds()
    remaining = None
    if job.ended_at is None and job.current_step and job.total_steps:
        remaining = round(elapsed / job.current_step * max(0, job.total_steps - job.current_step))
    return {"elapsed_seconds": round(elapsed), "remaining_seconds": remaining}


def _checkpoint(step: int | None) -> str | None:
    """A checkpoint's name, which a resume takes."""
    return None if step is None else f"checkpoint-{step}"


def _epochs_since_best(job: Job) -> int | None:
    if job.best_epoch is None or job.current_epoch is None:
        return None
    return max(0, math.floor(job.current_epoch - job.best_epoch))


def _warning(job: Job) -> str | None:
    """Said of a job that ought to report and has not for long."""
    if job.status not in (JobStatus.PENDING, JobStatus.RUNNING, JobStatus.PAUSING, JobStatus.CANCELLING):
        return None
    silent = now() - (job.last_sign or job.created_at)
    if silent <= SILENT_AFTER:
        return None
    return f"No updates received in {silent // timedelta(minutes=1)} minute(s): its trainer may have died"


def point_in_words(point: dict[str, Any]) -> dict[str, Any]:
    """A metric point; readings of ours that the platform has no name for come as they are."""
    numbers = {
        name: None if isinstance(value, str) else value
        for name, value in point.items()
        if name not in ("attempt", "extra")
    }
    extra = {name: value for name, value in point["extra"].items() if not isinstance(value, str)}
    perplexities = {
        "perplexity": perplexity(numbers["eval_loss"]),
        "train_perplexity": perplexity(numbers["train_loss"]),
    }
    return extra | numbers | perplexities


def prediction_in_words(prediction: Prediction) -> dict[str, Any]:
    """One result: `success` says whether the model answered, `passed` whether it was right."""
    return prediction.model_dump() | {"success": prediction.error is None}


def batch_test_in_words(job: Job, run: TestRun) -> dict[str, Any]:
    """A batch test without its results."""
    done = run.completed_prompts + run.failed_prompts
    return {
        "id": job.id,
        "status": status_in_words(job),
        "model_name": job.model,
        "total_prompts": job.total_steps,
        "completed_prompts": run.completed_prompts,
        "failed_prompts": run.failed_prompts,
        "progress": min(1.0, round(done / job.total_steps, 2)) if job.total_steps else 0.0,
        "started_at": job.started_at,
        "completed_at": job.ended_at,
        "error": job.error,
    }


# What the platform's `training` section calls a field of ours.
_TRAINING = {
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "learning_rate": "learning_rate",
    "lr_scheduler_type": "schedule",
    "warmup_ratio": "warmup_ratio",
    "weight_decay": "weight_decay",
    "max_grad_norm": "max_grad_norm",
    "max_steps": "max_steps",
    "save_steps": "checkpoint_every",
    "eval_steps": "eval_every",
    "seed": "seed",
}


def config_from_platform(config: dict[str, Any], dataset: str | None) -> tuple[dict[str, Any], list[str]]:
    """A fine-tune's fields, and what of the config has no meaning here. One without the platform's sections is taken
    as it is."""
    data = {"dataset": dataset} if dataset else {}
    if not isinstance(config.get("model"), dict):
        return config | data, []
    fields: dict[str, Any] = {"model": config["model"].get("name"), **data}
    ignored = [f"model.{name}" for name in config["model"] if name != "name"]
    for section, part in config.items():
        if section == "model":
            continue
        for name, value in part.items() if isinstance(part, dict) else [("", part)]:
            where = f"{section}.{name}".rstrip(".")
            if (section, name) == ("training", "use_lora"):
                fields["method"] = "lora" if value else "full"
            elif section == "training" and name in _TRAINING:
                if value not in (None, -1):  # -1: transformers' word for no limit
                    fields[_TRAINING[name]] = value
            elif (section, name) == ("data", "max_seq_length"):
                fields["max_length"] = value
            elif where == "seed":
                fields["seed"] = value
            else:
                ignored.append(where)
    return fields, sorted(ignored)
