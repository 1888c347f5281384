"""OpenAI's models: what is recorded here and can be tuned or tested."""

from typing import Annotated

from fastapi import APIRouter

from api.access.auth import DatabaseDep, PlaceDep, needs
from api.access.caller import Caller
from api.artifact_removal import delete_row, remove_files
from api.dialects.openai_sdk.words import model_in_words
from api.given import Open
from api.known_models import aliases_in_use, model_of, newest_models
from api.problems import Problem
from api.strict_json import StrictRoute
from api.tables import Artifact, ModelAlias

router = APIRouter(prefix="/v1/models", tags=["OpenAI"], route_class=StrictRoute)

MOST = 1000
MISSING = "The model does not exist"
Reader = Annotated[Caller, needs("artifacts:read")]
Deleter = Annotated[Caller, needs("artifacts:write")]


@router.get("")
def list_models(caller: Reader, database: DatabaseDep) -> Open:
    """Aliases, then the newest thousand of the models, the newest first; each base once."""
    with database.reading() as session:
        rows: list[Artifact | ModelAlias] = [
            *aliases_in_use(session, caller.workspace_id),
            *newest_models(session, caller.workspace_id, MOST),
        ]
    shown: dict[str, Open] = {}
    for row in rows:
        model = model_in_words(row, caller.workspace_name)
        shown.setdefault(model["id"], model)
    return {"object": "list", "data": [*shown.values()]}


@router.get("/{model:path}")
def retrieve_model(caller: Reader, model: str, database: DatabaseDep) -> Open:
    """By `artifact:ID`, `alias:NAME`, or the name of a base that was fetched."""
    with database.reading() as session:
        row = model_of(session, caller.workspace_id, model, MISSING)
    return model_in_words(row, caller.workspace_name)


@router.delete("/{model:path}")
def delete_model(caller: Deleter, model: str, database: DatabaseDep, place: PlaceDep) -> Open:
    """409 where something needs it. An alias is moved or undone, not deleted."""
    with database.writing() as session:
        row = model_of(session, caller.workspace_id, model, MISSING)
        if isinstance(row, ModelAlias):
            raise Problem(409, "An alias is no model: undo its moves", field="model")
        files = delete_row(session, caller, row, place)
    remove_files(place, row.uri, files)
    return {"id": model, "object": "model", "deleted": True}
