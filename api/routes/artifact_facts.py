"""What else is known of an artifact: how it was made, and with which config."""

from typing import Annotated, Any

from fastapi import APIRouter
from sqlmodel import Session, col

from api import lineage, tables
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import KeptId, owned
from api.problems import Problem
from api.routes.artifacts import find_artifact, shown
from tuneyard.shapes import ArtifactMetadata, ExpandedArtifact, KeptConfig

router = APIRouter(prefix="/api/v1/artifacts/{artifact_id}", tags=["artifacts"], responses={400: {}})
Reader = Annotated[Caller, needs("artifacts:read")]
_MODELS = ("base", "model", "adapter", "merged", "tabular")


@router.get("/$metadata")
def read_metadata(caller: Reader, artifact_id: KeptId, database: DatabaseDep) -> ArtifactMetadata:
    """When it was made, how long that took, and what it is; what is not known is null."""
    with database.reading() as session:
        row = find_artifact(session, caller, artifact_id)
        job = session.exec(owned(tables.Job, row.workspace_id).where(tables.Job.id == row.job_id)).first()
    return ArtifactMetadata(**_made(row, job))


def _made(row: tables.Artifact, job: tables.Job | None) -> dict[str, Any]:
    """Its own details go before what its job's row tells."""
    started = job and (job.started_at or job.claimed_at)
    known = {
        "config_id": job and job.config_id,
        "started_at": started,
        "completed_at": row.created_at,
        "duration_seconds": started and (row.created_at - started).total_seconds(),
        "model_type": row.kind if row.kind in _MODELS else None,
        "model_size_bytes": row.size_bytes if row.kind in _MODELS else None,
    }
    said = {name: row.details[name] for name in known if isinstance(row.details.get(name), str | int | float)}
    made = ArtifactMetadata.model_validate(known | said).model_dump()
    if made["duration_seconds"] is not None:
        made["duration_seconds"] = round(made["duration_seconds"], 2)
    return made


@router.get("/$expand")
def expand_artifact(caller: Reader, artifact_id: KeptId, database: DatabaseDep) -> ExpandedArtifact:
    """The artifact without its content and without what was made from it, and the config it goes back to."""
    with database.reading() as session:
        row = find_artifact(session, caller, artifact_id)
        level = lineage.levels(session, row.workspace_id, [row.id])[row.id]
        config = _config_of(session, row)
    return ExpandedArtifact(
        **shown(row, level).without_content().model_dump(),
        level_label=row.kind,
        config=None if config is None else KeptConfig.model_validate(config),
    )


@router.get("/$config")
def read_config(caller: Reader, artifact_id: KeptId, database: DatabaseDep) -> KeptConfig:
    """The config that it was made with or, where it has none, its oldest ancestor."""
    with database.reading() as session:
        config = _config_of(session, find_artifact(session, caller, artifact_id))
    if config is None:
        raise Problem(404, "No config is linked to the artifact")
    return KeptConfig.model_validate(config)


def _config_of(session: Session, row: tables.Artifact) -> tables.Config | None:
    link, config, artifact = tables.ConfigArtifact, tables.Config, tables.Artifact
    linked = owned(config, row.workspace_id).join(link, col(link.config_pk) == config.pk)
    linked = linked.join(artifact, col(artifact.pk) == link.artifact_pk).order_by(col(config.pk).desc())
    for artifact_id in (row.id, lineage.oldest(session, row.workspace_id, row.id)):
        if found := session.exec(linked.where(artifact.id == artifact_id)).first():
            return found
    return None
