"""Which folder a model's name in a config means."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.job_run import JobRun
from tasks.model import fetch_model
from tuneyard.errors import BadInput, NotFound
from tuneyard.home import home

ARTIFACT = "artifact:"


@task(cache_policy=NO_CACHE)
def get_model(run: JobRun, model: str) -> Path:
    """A local folder for any form of model name; an artifact's is looked up in the record."""
    run.at(f"Getting the model {model}")
    if not model.startswith(ARTIFACT):
        return fetch_model(model, home(), run.log.info)
    try:
        artifact = run.service.artifacts.get(model.removeprefix(ARTIFACT))
    except NotFound:
        raise BadInput(f"there is no artifact {model.removeprefix(ARTIFACT)!r}", field="model") from None
    folder = Path(artifact.uri)
    if not folder.is_dir():
        raise BadInput(f"{model} lies in {artifact.uri}, which is not on this host", field="model")
    return folder
