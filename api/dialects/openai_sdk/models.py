"""OpenAI's models: what is recorded here and can be tuned or tested."""

from typing import Annotated, TypeVar

from fastapi import APIRouter
from sqlmodel import Session, SQLModel, col
from sqlmodel.sql.expression import SelectOfScalar

from api import tables
from api.access.auth import DatabaseDep, PlaceDep, needs
from api.access.caller import Caller
from api.access.owned import owned, page
from api.artifact_removal import delete_row, remove_files
from api.config_checks import ALIAS, ARTIFACT, MODELS
from api.dialects.openai_sdk.words import alias_in_words, artifact_in_words
from api.given import Open
from api.lineage import WITHOUT_FILES
from api.problems import Problem
from api.strict_json import StrictRoute

router = APIRouter(prefix="/v1/models", tags=["OpenAI"], route_class=StrictRoute)

MOST = 1000
MISSING = "The model does not exist"
Found = TypeVar("Found", bound=SQLModel)
Reader = Annotated[Caller, needs("artifacts:read")]
Deleter = Annotated[Caller, needs("artifacts:write")]


@router.get("")
def list_models(caller: Reader, database: DatabaseDep) -> Open:
    """Aliases, then the newest thousand of the models, the newest first; each base once."""
    owner = caller.workspace_name
    with database.reading() as session:
        aliases = session.exec(_aliases(caller).order_by(col(tables.ModelAlias.name))).all()
        newest = [col(tables.Artifact.pk).desc()]
        found = page(session, _models(caller), newest, lambda row: artifact_in_words(row, owner), MOST, 0)
    shown = {model["id"]: model for model in (alias_in_words(row, owner) for row in aliases)}
    for model in found.items:
        shown.setdefault(model["id"], model)
    return {"object": "list", "data": [*shown.values()]}


@router.get("/{model:path}")
def retrieve_model(caller: Reader, model: str, database: DatabaseDep) -> Open:
    """By `artifact:ID`, `alias:NAME`, or the name of a base that was fetched."""
    with database.reading() as session:
        if model.startswith(ALIAS):
            return alias_in_words(_first(session, _named(caller, model)), caller.workspace_name)
        return artifact_in_words(_first(session, _meant(caller, model)), caller.workspace_name)


@router.delete("/{model:path}")
def delete_model(caller: Deleter, model: str, database: DatabaseDep, place: PlaceDep) -> Open:
    """409 where something needs it. An alias is moved or undone, not deleted."""
    with database.writing() as session:
        if model.startswith(ALIAS):
            _first(session, _named(caller, model))
            raise Problem(409, "An alias is no model: undo its moves", field="model")
        row = _first(session, _meant(caller, model))
        files = delete_row(session, caller, row, place)
    remove_files(place, row.uri, files)
    return {"id": model, "object": "model", "deleted": True}


def _first(session: Session, query: SelectOfScalar[Found]) -> Found:
    row = session.exec(query).first()
    if row is None:
        raise Problem(404, MISSING, field="model")
    return row


def _aliases(caller: Caller) -> SelectOfScalar[tables.ModelAlias]:
    """Those that stand for a model."""
    return owned(tables.ModelAlias, caller.workspace_id).where(
        col(tables.ModelAlias.artifact_id).is_not(None)
    )


def _models(caller: Caller) -> SelectOfScalar[tables.Artifact]:
    models = owned(tables.Artifact, caller.workspace_id).where(col(tables.Artifact.kind).in_(MODELS))
    return models.options(WITHOUT_FILES)


def _named(caller: Caller, model: str) -> SelectOfScalar[tables.ModelAlias]:
    return _aliases(caller).where(tables.ModelAlias.name == _storable(model.removeprefix(ALIAS)))


def _meant(caller: Caller, model: str) -> SelectOfScalar[tables.Artifact]:
    artifact, wanted = tables.Artifact, _storable(model.removeprefix(ARTIFACT))
    is_it = col(artifact.id) == wanted
    if not model.startswith(ARTIFACT):
        is_it |= (col(artifact.kind) == "base") & (col(artifact.name) == wanted)
    return _models(caller).where(is_it).order_by(col(artifact.pk).desc())


def _storable(text: str) -> str:
    """PostgreSQL refuses to be asked for NUL."""
    return text.replace("\0", "\ufffd")
