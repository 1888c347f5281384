"""Aliases: names such as `production` that stand for a model, and move only on evidence. Every move can be undone."""

from typing import Annotated, Any

from fastapi import APIRouter, Path
from sqlmodel import Session, col

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import Limit, Offset, find, owned, page, record
from api.comparison import compare_runs
from api.config_checks import MODELS
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import AliasMove, CompareRequest, Comparison, ModelAlias, Promotion, Undo
from tuneyard.shapes import Page
from tuneyard.values import Alias

router = APIRouter(prefix="/api/v1/aliases", tags=["aliases"], route_class=StrictRoute)

Reader = Annotated[Caller, needs("artifacts:read")]
Mover = Annotated[Caller, needs("aliases:write")]
AliasName = Annotated[Alias, Path()]
MISSING = "Alias not found"
GOOD_ENOUGH = {"better": {"better"}, "not_worse": {"better", "same"}}


@router.get("")
def list_aliases(
    caller: Reader, database: DatabaseDep, limit: Limit = 50, offset: Offset = 0
) -> Page[ModelAlias]:
    """By name."""
    query = owned(tables.ModelAlias, caller.workspace_id)
    with database.reading() as session:
        return page(session, query, [col(tables.ModelAlias.name)], ModelAlias.model_validate, limit, offset)


@router.get("/{name}")
def get_alias(caller: Reader, name: AliasName, database: DatabaseDep) -> ModelAlias:
    """What the name stands for now."""
    with database.reading() as session:
        return ModelAlias.model_validate(_named(session, caller, name))


@router.get("/{name}/moves")
def list_moves(
    caller: Reader, name: AliasName, database: DatabaseDep, limit: Limit = 50, offset: Offset = 0
) -> Page[AliasMove]:
    """The newest first."""
    with database.reading() as session:
        alias = _named(session, caller, name)
        query = owned(tables.AliasMove, caller.workspace_id).where(tables.AliasMove.alias_pk == alias.pk)

        def shown(row: tables.AliasMove) -> AliasMove:
            return AliasMove.model_validate(row.model_dump() | {"alias": name})

        return page(session, query, [col(tables.AliasMove.pk).desc()], shown, limit, offset)


@router.post("/{name}/promote", responses={404: {}})
def promote(caller: Mover, name: AliasName, asked: Promotion, database: DatabaseDep) -> ModelAlias:
    """Let the alias stand for an artifact, if the two batch tests say that it may; 409 says why not. Where it stands
    for that artifact already, nothing is moved."""
    with database.writing() as session:
        artifact = find(
            session, tables.Artifact, caller.workspace_id, asked.artifact_id, "Artifact not found"
        )
        if artifact.kind not in MODELS:
            raise Problem(409, f"The artifact is a {artifact.kind}, not a model", field="artifact_id")
        alias = _locked(session, caller, name)
        if alias.artifact_id != artifact.id:
            evidence = _evidence(session, caller, alias, artifact, asked)
            _move(session, caller, alias, artifact.id, evidence=evidence, reason=asked.reason)
    return ModelAlias.model_validate(alias)


@router.post("/{name}/undo")
def undo(caller: Mover, name: AliasName, asked: Undo, database: DatabaseDep) -> ModelAlias:
    """Take the newest move back that was not taken back yet."""
    with database.writing() as session:
        _named(session, caller, name)
        alias = _locked(session, caller, name)
        moves = session.exec(
            owned(tables.AliasMove, caller.workspace_id)
            .where(tables.AliasMove.alias_pk == alias.pk)
            .order_by(col(tables.AliasMove.pk).desc())
        ).all()
        undone = {move.undoes for move in moves}
        last = next((move for move in moves if move.undoes is None and move.id not in undone), None)
        if last is None:
            raise Problem(409, "Every move of the alias is taken back already")
        if asked.move_id not in (None, last.id):
            raise Problem(409, f"The newest move that stands is {last.id}", field="move_id")
        if last.from_artifact_id is not None:
            _demand_there(session, caller, last.from_artifact_id)
        _move(session, caller, alias, last.from_artifact_id, undoes=last.id, reason=asked.reason)
    return ModelAlias.model_validate(alias)


def _demand_there(session: Session, caller: Caller, artifact_id: str) -> None:
    there = owned(tables.Artifact, caller.workspace_id).where(tables.Artifact.id == artifact_id)
    if session.exec(there).first() is None:
        raise Problem(409, f"The artifact {artifact_id}, which it stood for, has been deleted")


def alias_named(session: Session, caller: Caller, name: str) -> tables.ModelAlias | None:
    query = owned(tables.ModelAlias, caller.workspace_id).where(tables.ModelAlias.name == name)
    return session.exec(query).first()


def _named(session: Session, caller: Caller, name: str) -> tables.ModelAlias:
    alias = alias_named(session, caller, name)
    if alias is None:
        raise Problem(404, MISSING)
    return alias


def _locked(session: Session, caller: Caller, name: str) -> tables.ModelAlias:
    """The alias's row, which nobody else changes until this transaction ends; a new one stands for nothing."""
    query = owned(tables.ModelAlias, caller.workspace_id).where(tables.ModelAlias.name == name)
    same = query.with_for_update()
    row = tables.ModelAlias(workspace_id=caller.workspace_id, name=name)
    found, _ = record(session, row, same, taken=f"The alias {name} is being made by somebody else")
    return found


def _evidence(
    session: Session, caller: Caller, alias: tables.ModelAlias, artifact: tables.Artifact, asked: Promotion
) -> dict[str, Any]:
    """What the two batch tests say, in short. Raises Problem 409 where that is not enough."""
    request = CompareRequest(**asked.model_dump(include={"baseline", "candidate", "alpha", "margin"}))
    found = compare_runs(session, caller.workspace_id, request)
    _demand_of(found.candidate.model, artifact, "candidate")
    if alias.artifact_id is not None:
        holder = find(session, tables.Artifact, caller.workspace_id, alias.artifact_id, "Artifact not found")
        _demand_of(found.baseline.model, holder, "baseline")
    _demand_verdict(found, asked)
    said = found.model_dump(
        mode="json", include={"verdict", "reason", "pairs", "baseline_score", "candidate_score", "difference"}
    )
    return said | asked.model_dump(include={"baseline", "candidate", "require", "alpha", "margin"})


def _demand_of(model: str, artifact: tables.Artifact, field: str) -> None:
    """That a batch test was of this artifact. A base is also known by the name that it was fetched by."""
    own = {f"artifact:{artifact.id}"} | ({artifact.name, artifact.uri} if artifact.kind == "base" else set())
    if model not in own:
        raise Problem(409, f"That batch test is of {model}, not of artifact:{artifact.id}", field=field)


def _demand_verdict(found: Comparison, asked: Promotion) -> None:
    if found.no_effect:
        raise Problem(409, f"Not promoted: {found.reason}", field="candidate")
    if found.verdict not in GOOD_ENOUGH[asked.require]:
        wanted = asked.require.replace("_", " ")
        raise Problem(
            409, f"Not promoted: it is {found.verdict}, not {wanted}. {found.reason}", field="candidate"
        )


def _move(
    session: Session,
    caller: Caller,
    alias: tables.ModelAlias,
    to: str | None,
    *,
    undoes: str | None = None,
    evidence: dict[str, Any] | None = None,
    reason: str | None,
) -> None:
    move = tables.AliasMove(
        workspace_id=caller.workspace_id,
        alias_pk=alias.pk,
        from_artifact_id=alias.artifact_id,
        to_artifact_id=to,
        undoes=undoes,
        evidence=evidence or {},
        reason=reason,
        actor=caller.maker,
    )
    session.add(move)
    action = "alias.moved" if undoes is None else "alias.undone"
    ends = {"from_artifact": alias.artifact_id, "to_artifact": to, "move": move.id}
    record_event(session, caller, action, "alias", alias.name, **ends)
    alias.artifact_id, alias.updated_at = to, tables.now()
    session.add(alias)
