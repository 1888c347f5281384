"""A model's perplexity on texts, beside its answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.data_sets import fetch
from flows.job_run import JobRun
from flows.measuring import measured_once
from tasks.data_source import RECORDED
from tuneyard.batch_configs import BatchTestConfig


@task(cache_policy=NO_CACHE)
def measure_perplexity(run: JobRun, config: BatchTestConfig, model: Path) -> dict[str, Any]:
    """The figures under `perplexity`; none where the config asks for none. See `tasks.perplexity`."""
    if config.perplexity_on is None:
        return {}
    texts = config.perplexity_on
    if texts.startswith(RECORDED):
        texts = str(fetch(run, texts, "perplexity_on"))
    run.at(f"Measuring the perplexity on {config.perplexity_on}")
    plan = {"model_dir": str(model), "dataset": texts, "precision": config.precision}
    found = measured_once(run, "perplexity", plan, config.gpus)
    run.log.info("Perplexity %.3f on %s tokens", found["value"], found["tokens"])
    return {"perplexity": found}
