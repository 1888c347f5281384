"""What a model was made from, in the record: its base once, then each result under its parent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.job_run import JobRun
from flows.models import ARTIFACT
from tasks.data_source import RECORDED
from tasks.storage import keep
from tuneyard.shapes import Artifact, KeptFile, NewArtifact, NewDataset


def parent_of(run: JobRun, model: str, folder: Path, sha256: str) -> str:
    """The artifact that a config's model is; one that is none yet is recorded, by name and content.

    Written with the service's key: a base belongs to no job, and is the same for each.
    """
    if model.startswith(ARTIFACT):
        return model.removeprefix(ARTIFACT)
    path = Path(model).expanduser()
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    base = NewArtifact(
        kind="base",
        name=model[:255],
        uri=str(path.absolute()) if path.exists() else model,
        sha256=sha256,
        size_bytes=size,
    )
    return run.service.artifacts.create(base).id


def keep_result(
    run: JobRun,
    made: dict[str, Any],
    *,
    name: str,
    base_model: str | None,
    parent_id: str | None,
    details: dict[str, Any],
) -> Artifact:
    """Store what a job made where results are kept, and record it as this job's, under the id that was said when it
    was asked for; what an earlier attempt recorded under that id is told anew.

    Args:
        made: A child process's result, say: "model_dir", "kind", "sha256", "size_bytes" and "files".
    """
    files = [KeptFile.model_validate(file) for file in made["files"]]
    uri = keep(Path(made["model_dir"]), made["sha256"], files, run.log.info)
    return run.writer.artifacts.create(
        NewArtifact(
            id=run.job.artifact_id,
            kind=made["kind"],
            name=name,
            uri=uri,
            sha256=made["sha256"],
            size_bytes=made["size_bytes"],
            base_model=base_model,
            parent_id=parent_id,
            details=details,
            files=files,
        )
    )


def record_data(run: JobRun, uri: str, sha256: str, rows: int) -> None:
    """Which rows it was made from, by digest; what was uploaded is recorded already."""
    if uri.startswith(RECORDED):
        return
    name = uri.rstrip("/").rsplit("/", 1)[-1]
    run.service.datasets.create(NewDataset(name=name, uri=uri, sha256=sha256, rows=rows))


def without_files(made: dict[str, Any]) -> dict[str, Any]:
    """The figures for a job's result, which is no place for a list of files."""
    return {name: value for name, value in made.items() if name != "files"}
