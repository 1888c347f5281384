"""Models of the record, by the names that a config's `model` has for them."""

from sqlmodel import Session, col
from sqlmodel.sql.expression import SelectOfScalar

from api.access.owned import owned
from api.config_checks import ALIAS, ARTIFACT, MODELS
from api.lineage import WITHOUT_FILES
from api.problems import Problem
from api.tables import Artifact, ModelAlias


def aliases_in_use(session: Session, workspace_id: int) -> list[ModelAlias]:
    """Those that stand for a model, by name."""
    return list(session.exec(_aliases(workspace_id).order_by(col(ModelAlias.name))))


def newest_models(session: Session, workspace_id: int, most: int) -> list[Artifact]:
    return list(session.exec(_models(workspace_id).order_by(col(Artifact.pk).desc()).limit(most)))


def model_of(session: Session, workspace_id: int, name: str, missing: str) -> Artifact | ModelAlias:
    """What `artifact:ID`, an artifact's id, `alias:NAME` or the name of a base means, of several the newest.

    Raises:
        Problem: 404 with the text of `missing`.
    """
    wanted = name.removeprefix(ARTIFACT).removeprefix(ALIAS)
    row: Artifact | ModelAlias | None = None
    if "\0" in wanted:  # PostgreSQL refuses to be asked
        pass
    elif name.startswith(ALIAS):
        row = session.exec(_aliases(workspace_id).where(ModelAlias.name == wanted)).first()
    else:
        is_it = col(Artifact.id) == wanted
        if not name.startswith(ARTIFACT):
            is_it |= (col(Artifact.kind) == "base") & (col(Artifact.name) == wanted)
        row = session.exec(_models(workspace_id).where(is_it).order_by(col(Artifact.pk).desc())).first()
    if row is None:
        raise Problem(404, missing, field="model")
    return row


def _aliases(workspace_id: int) -> SelectOfScalar[ModelAlias]:
    return owned(ModelAlias, workspace_id).where(col(ModelAlias.artifact_id).is_not(None))


def _models(workspace_id: int) -> SelectOfScalar[Artifact]:
    return owned(Artifact, workspace_id).where(col(Artifact.kind).in_(MODELS)).options(WITHOUT_FILES)
