"""Which folder a model's name in a config means."""

from __future__ import annotations

from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.job_run import JobRun
from tasks.model import fetch_model, made_once
from tasks.storage import fetch, fetched_model, is_url
from tuneyard.errors import BadInput, Conflict, NotFound
from tuneyard.home import home
from tuneyard.shapes import Artifact, JobFacts

ARTIFACT = "artifact:"
ALIAS = "alias:"


@task(cache_policy=NO_CACHE)
def get_model(run: JobRun, model: str) -> Path:
    """A local folder for any form of model name; an artifact's is looked up in the record."""
    run.at(f"Getting the model {model}")
    model = meant(run, model)
    if not model.startswith(ARTIFACT):
        return fetch_model(model, home(), run.log.info)
    return folder_of(run, recorded(run, model.removeprefix(ARTIFACT), "model"))


def meant(run: JobRun, model: str) -> str:
    """The artifact that an alias stood for when the job first asked: a later attempt goes on with the same."""
    if not model.startswith(ALIAS):
        return model
    if not run.job.model.startswith(ARTIFACT):
        run.job = run.writer.jobs.update(run.job.id, JobFacts(model=ARTIFACT + _held(run, model)))
        run.log.info("%s is %s", model, run.job.model)
    return run.job.model


def _held(run: JobRun, model: str) -> str:
    try:
        held = run.service.aliases.get(model.removeprefix(ALIAS)).artifact_id
    except NotFound:
        held = None
    if held is None:
        raise BadInput(f"{model} stands for no model: tuneyard models aliases", field="model")
    return held


def recorded(run: JobRun, artifact_id: str, field: str) -> Artifact:
    """The artifact that a config's field names. Raises BadInput where there is none."""
    try:
        return run.service.artifacts.get(artifact_id)
    except NotFound:
        raise BadInput(f"there is no artifact {artifact_id!r}", field=field) from None


def folder_of(run: JobRun, artifact: Artifact) -> Path:
    """Where an artifact lies on this host, fetched if need be; with an adapter, what it needs is had as well.

    Raises:
        BadInput: it is not on this host and cannot be fetched.
    """
    if artifact.kind == "base":
        return fetch_model(artifact.uri, home(), run.log.info)
    if artifact.kind == "adapter" and artifact.parent_id is not None:
        parent = recorded(run, artifact.parent_id, "model")
        if parent.kind != "base":  # a base is had again by its name, by whoever loads the adapter
            folder_of(run, parent)
    if is_url(artifact.uri):
        return fetch(artifact.uri, artifact.sha256, run.log.info)
    folder = Path(artifact.uri)
    if not folder.is_dir():
        folder = fetched_model(artifact.sha256 or "-")
    return folder if folder.is_dir() else _from_api(run, artifact, folder)


def _from_api(run: JobRun, artifact: Artifact, folder: Path) -> Path:
    """What another host made may lie where the API can read it."""
    where = f"{ARTIFACT}{artifact.id} lies in {artifact.uri}, which is not on this host"
    if artifact.sha256 is None:
        raise BadInput(where, field="model")
    run.log.info("%s: asking the API for it", where)

    def make(staging: Path) -> None:
        run.service.artifacts.download(artifact.id, staging)

    try:
        return made_once(folder, make, run.log.info)
    except (BadInput, NotFound, Conflict) as problem:
        raise BadInput(f"{where}, and the API does not have it: {problem}", field="model") from None
