"""Configs that people keep, to ask for work with them again and again."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import Discriminator, Tag
from sqlalchemy import String, cast, func
from sqlmodel import Session, col, delete

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import KeptId, Limit, Offset, demand_id, find, owned, page, record
from api.config_checks import CONFIGS
from api.numbered_pages import NumbersDep
from api.openapi_words import or_again
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.config_words import FORM
from tuneyard.configs import TabularConfig
from tuneyard.shapes import (
    ConfigKind,
    ConfigTag,
    JobKind,
    KeptConfig,
    NewBatchTestConfig,
    NewFinetuneConfig,
    NewMergeConfig,
    NewPipelineConfig,
    NewPredictConfig,
    NewTabularConfig,
    NumberedPage,
    Page,
)

router = APIRouter(prefix="/api/v1/configs", tags=["configs"], route_class=StrictRoute)

Reader = Annotated[Caller, needs("configs:read")]
Writer = Annotated[Caller, needs("configs:write")]
MISSING = "Config not found"


def _form(body: Any) -> str:
    kind = body.get("kind", _kind_of(body.get("data"))) if isinstance(body, dict) else None
    return FORM + (kind if kind in ("batch_test", "merge", "pipeline", "tabular", "predict") else "finetune")


def _kind_of(data: Any) -> str | None:
    """Where none is said: a fine-tune has a model; a table's config need not have anything."""
    if not isinstance(data, dict) or data.get("method", "tabular") != "tabular":
        return None
    return "tabular" if data.keys() <= TabularConfig.model_fields.keys() else None


Keeping = Annotated[
    Annotated[NewFinetuneConfig, Tag(FORM + "finetune")]
    | Annotated[NewBatchTestConfig, Tag(FORM + "batch_test")]
    | Annotated[NewMergeConfig, Tag(FORM + "merge")]
    | Annotated[NewPipelineConfig, Tag(FORM + "pipeline")]
    | Annotated[NewTabularConfig, Tag(FORM + "tabular")]
    | Annotated[NewPredictConfig, Tag(FORM + "predict")],
    Discriminator(_form),
]


@router.post("", status_code=201, responses=or_again(KeptConfig))
def create_config(caller: Writer, new: Keeping, database: DatabaseDep, response: Response) -> KeptConfig:
    """Keep a config, with the id that is given or one of ours; the very same again answers 200."""
    row = tables.Config(id=new.id or tables.new_id(), workspace_id=caller.workspace_id, **_said(new))
    same = owned(tables.Config, caller.workspace_id).where(tables.Config.id == new.id)
    taken = f"There is another config with the id {new.id} already"
    with database.writing() as session:
        row, is_new = record(session, row, same, taken=taken)
        if is_new:
            record_event(session, caller, "config.created", "config", row.id, name=row.name)
    if not is_new:
        if any(getattr(row, name) != value for name, value in _said(new).items()):
            raise Problem(409, taken)
        response.status_code = 200
    return KeptConfig.model_validate(row)


def _said(new: Keeping) -> dict[str, Any]:
    data = new.data.model_dump(mode="json", exclude_unset=True)
    return {"kind": new.kind, "name": new.name, "tags": new.tags, "data": data}


@router.get("", responses={409: {}})
def list_configs(
    caller: Reader,
    database: DatabaseDep,
    numbers: NumbersDep,
    kind: ConfigKind | None = None,
    tag: Annotated[ConfigTag | None, Query()] = None,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[KeptConfig] | NumberedPage[KeptConfig]:
    """The newest first."""
    if numbers is not None:
        limit, offset = numbers.size, numbers.offset
    query = owned(tables.Config, caller.workspace_id)
    if kind is not None:
        query = query.where(tables.Config.kind == kind)
    if tag is not None:
        query = query.where(_holds(tag))
    with database.reading() as session:
        found = page(session, query, [col(tables.Config.pk).desc()], KeptConfig.model_validate, limit, offset)
    return found if numbers is None else numbers.of(found, found.items)


def _holds(tag: str) -> Any:
    """Whether a row's JSON list has the tag. No tag has a quote in it; LIKE would not tell its case on SQLite."""
    tags = cast(col(tables.Config.tags), String)
    return func.length(func.replace(tags, json.dumps(tag), "")) < func.length(tags)


@router.get("/$schema")
def read_schema(_: Reader, kind: ConfigKind = "finetune") -> dict[str, Any]:
    """JSON Schema of a kind's `data`, with every field's description and default: what Prefect draws its form from."""
    return CONFIGS[JobKind(kind)].model_json_schema()


def find_config(session: Session, caller: Caller, config_id: str) -> tables.Config:
    demand_id(config_id)
    return find(session, tables.Config, caller.workspace_id, config_id, MISSING)


@router.get("/{config_id}", responses={400: {}})
def get_config(caller: Reader, config_id: KeptId, database: DatabaseDep) -> KeptConfig:
    """As it was given, whichever its kind."""
    with database.reading() as session:
        return KeptConfig.model_validate(find_config(session, caller, config_id))


@router.put("/{config_id}", responses={400: {}})
def replace_config(caller: Writer, config_id: KeptId, new: Keeping, database: DatabaseDep) -> KeptConfig:
    """All of it anew; what has been asked for with it before stays as it was."""
    with database.writing() as session:
        row = find_config(session, caller, config_id)
        if new.id not in (None, row.id):
            raise Problem(409, "the id of a config does not change", field="id")
        for name, value in _said(new).items():
            setattr(row, name, value)
        row.updated_at = tables.now()
        record_event(session, caller, "config.changed", "config", row.id, name=row.name)
    return KeptConfig.model_validate(row)


@router.delete("/{config_id}", status_code=204, responses={400: {}})
def delete_config(caller: Writer, config_id: KeptId, database: DatabaseDep) -> None:
    """Jobs that were asked for with it keep what it said then."""
    with database.writing() as session:
        row = find_config(session, caller, config_id)
        session.exec(delete(tables.ConfigArtifact).where(col(tables.ConfigArtifact.config_pk) == row.pk))
        session.delete(row)
        record_event(session, caller, "config.deleted", "config", row.id, name=row.name)
