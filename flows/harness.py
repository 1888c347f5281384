"""Tasks of EleutherAI's harness on the model under test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.job_run import JobRun
from flows.measuring import measured_once
from tuneyard.batch_configs import BatchTestConfig

BATCH = 16


@task(cache_policy=NO_CACHE)
def run_lm_eval(run: JobRun, config: BatchTestConfig, model: Path) -> dict[str, Any]:
    """The figures under `lm_eval`; none where the config asks for none. See `tasks.harness`."""
    if config.lm_eval is None:
        return {}
    run.at(f"Running lm-eval: {', '.join(config.lm_eval.tasks)}")
    plan = {
        "model_dir": str(model),
        **config.lm_eval.model_dump(),
        "batch_size": config.batch_size or BATCH,
        "precision": config.precision,
        "seed": config.seed,
    }
    return {"lm_eval": measured_once(run, "harness", plan, config.gpus)}
