"""Which artifacts are a config's: those made with it, and those that somebody said are."""

from typing import Annotated

from fastapi import APIRouter, Query
from sqlmodel import Session, col, delete

from api import lineage, tables
from api.access.auth import DatabaseDep
from api.access.caller import Caller
from api.access.owned import KeptId, Offset, owned
from api.database import insert_into
from api.problems import Problem
from api.routes.configs import Reader, Writer, find_config
from api.strict_json import StrictRoute
from tuneyard.shapes import Artifact, LinkedArtifact

router = APIRouter(prefix="/api/v1/configs/{config_id}", tags=["configs"], route_class=StrictRoute)
ManyArtifacts = Annotated[int, Query(ge=1, le=1000)]
_LINKS = tables.ConfigArtifact.__table__  # type: ignore[attr-defined]


@router.get("/$artifacts", responses={400: {}})
def list_linked(
    caller: Reader, config_id: KeptId, database: DatabaseDep, limit: ManyArtifacts = 1000, offset: Offset = 0
) -> list[Artifact]:
    """The newest first, without their content."""
    link, artifact = tables.ConfigArtifact, tables.Artifact
    with database.reading() as session:
        config = find_config(session, caller, config_id)
        query = owned(artifact, caller.workspace_id).join(link, col(link.artifact_pk) == artifact.pk)
        query = query.where(link.config_pk == config.pk).options(lineage.WITHOUT_FILES)
        rows = session.exec(query.order_by(col(artifact.pk).desc()).limit(limit).offset(offset)).all()
        levels = lineage.levels(session, caller.workspace_id, [row.id for row in rows])
    found = [Artifact.model_validate(row).without_content() for row in rows]
    return [one.model_copy(update={"level": levels[one.id]}) for one in found]


@router.post("/$link-artifact", status_code=204, responses={400: {}})
def link_artifact(caller: Writer, config_id: KeptId, named: LinkedArtifact, database: DatabaseDep) -> None:
    """Say that an artifact is the config's; the same again changes nothing."""
    with database.writing() as session:
        config, artifact = _both(session, caller, config_id, named)
        row = {"config_pk": config.pk, "artifact_pk": artifact.pk, "workspace_id": caller.workspace_id}
        session.connection().execute(insert_into(session, _LINKS).on_conflict_do_nothing(), row)


@router.post("/$unlink-artifact", status_code=204, responses={400: {}})
def unlink_artifact(caller: Writer, config_id: KeptId, named: LinkedArtifact, database: DatabaseDep) -> None:
    """It is the config's no more; one that is not changes nothing."""
    link = tables.ConfigArtifact
    with database.writing() as session:
        config, artifact = _both(session, caller, config_id, named)
        mine = (col(link.config_pk) == config.pk) & (col(link.artifact_pk) == artifact.pk)
        session.exec(delete(link).where(mine))


def _both(
    session: Session, caller: Caller, config_id: KeptId, named: LinkedArtifact
) -> tuple[tables.Config, tables.Artifact]:
    config = find_config(session, caller, config_id)
    mine = owned(tables.Artifact, caller.workspace_id).where(tables.Artifact.id == named.artifact_id)
    artifact = session.exec(mine).first()
    if artifact is None:  # 400, as seed 002's clients know it
        raise Problem(400, f"Artifact {named.artifact_id} not found", field="artifact_id")
    return config, artifact
