"""Training rows that were uploaded to the record: fetched to this host before anything reads them."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE

from flows.job_run import JobRun
from tasks.data_source import RECORDED, fetched_folder
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput, NotFound
from tuneyard.home import home


@task(cache_policy=NO_CACHE)
def get_data(run: JobRun, config: FinetuneConfig) -> None:
    """Fetch what the config names as `dataset:<id>`; the trainer finds it where `fetched_folder` says."""
    for field, uri in (("dataset", config.dataset), ("eval_dataset", config.eval_dataset)):
        if uri is not None and uri.startswith(RECORDED):
            fetch(run, uri, field)


def fetch(run: JobRun, uri: str, field: str) -> Path:
    """Where it lies on this host: one file a content, whatever the names it was uploaded under; each id is a link to
    it under its own name."""
    run.at(f"Getting the data set {uri}")
    dataset_id = uri.removeprefix(RECORDED)
    try:
        found = run.service.datasets.get(dataset_id)
    except NotFound:
        raise BadInput(f"there is no data set {dataset_id!r}", field=field) from None
    if found.file_name is None:
        raise BadInput(f"{uri} was recorded, not uploaded: name it by its place, {found.uri}", field=field)
    content = home() / "datasets" / "content" / found.sha256
    if not content.exists():
        content.parent.mkdir(parents=True, exist_ok=True)
        run.service.datasets.download(dataset_id, content)
    folder = fetched_folder(uri)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / Path(found.file_name).name
    with suppress(FileExistsError):
        file.symlink_to(content)
    return file
