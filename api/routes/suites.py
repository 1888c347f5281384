"""Test suites: prompts with the answers that are expected."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from sqlalchemy import func, tuple_
from sqlalchemy.orm import defer
from sqlmodel import Session, col
from sqlmodel.sql.expression import SelectOfScalar

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import Limit, Offset, find, owned, page, record
from api.identity import identity_of
from api.openapi_words import or_again
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import NewSuite, Prompt, Suite, SuiteEdit
from tuneyard.shapes import Page
from tuneyard.suite_faults import fault_of
from tuneyard.values import NO_NUL

router = APIRouter(prefix="/api/v1/test-suites", tags=["test suites"], route_class=StrictRoute)

MISSING = "Test suite not found"
Versions = Literal["newest", "all"]


@router.post("", status_code=201, responses=or_again(Suite))
def create_suite(
    caller: Annotated[Caller, needs("suites:write")], new: NewSuite, database: DatabaseDep, response: Response
) -> Suite:
    """Record a suite; the same prompts under the same name again answer the one that is there, with 200."""
    with database.writing() as session:
        row, is_new = store_suite(session, caller, new)
    if not is_new:
        response.status_code = 200
    return Suite.model_validate(row)


def store_suite(session: Session, caller: Caller, new: NewSuite) -> tuple[tables.TestSuite, bool]:
    """The version of that name that has these prompts, stored if it is not there; whether it is new."""
    for index, prompt in enumerate(new.prompts):
        if fault := fault_of(prompt):
            field = f"prompts.{index}.{fault[0]}"
            raise Problem(409, f"{field}: {fault[1]}", field=field)
    prompts = [_as_kept(prompt) for prompt in new.prompts]
    row = tables.TestSuite(
        workspace_id=caller.workspace_id,
        name=new.name,
        description=new.description,
        sha256=identity_of(prompts),
        version=_newest_version(session, caller.workspace_id, new.name) + 1,
        prompt_count=len(prompts),
        prompts=prompts,
    )
    same = owned(tables.TestSuite, caller.workspace_id).where(
        tables.TestSuite.name == row.name, tables.TestSuite.sha256 == row.sha256
    )
    row, is_new = record(session, row, same, taken="That suite clashes with another")
    if is_new:
        record_event(session, caller, "suite.created", "suite", row.id, name=row.name)
    return row, is_new


def _as_kept(prompt: Prompt) -> dict[str, Any]:
    """What its digest is made of: what a prompt does not say leaves no trace in it."""
    return {"expected": None, "tags": [], **prompt.model_dump(mode="json", exclude_none=True)}


def _newest_version(session: Session, workspace_id: int, name: str) -> int:
    """0 where there is none of that name. One at a time in a workspace: PostgreSQL would give two the same."""
    session.get(tables.Workspace, workspace_id, with_for_update={"key_share": True})
    query = owned(tables.TestSuite, workspace_id).where(tables.TestSuite.name == name)
    return session.scalar(query.with_only_columns(func.max(col(tables.TestSuite.version)))) or 0


@router.get("")
def list_suites(
    caller: Annotated[Caller, needs("suites:read")],
    database: DatabaseDep,
    name: Annotated[str | None, Query(max_length=255, pattern=NO_NUL)] = None,
    versions: Versions = "newest",
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[Suite]:
    """The newest first, without their prompts; of each name the newest version."""
    with database.reading() as session:
        return suites_page(session, caller, name, versions, limit, offset)


def suites_page(
    session: Session, caller: Caller, name: str | None, versions: Versions, limit: int, offset: int
) -> Page[Suite]:
    query = _listed(caller.workspace_id)
    if name is not None:
        query = query.where(tables.TestSuite.name == name)
    if versions == "newest":
        key = col(tables.TestSuite.name), col(tables.TestSuite.version)
        newest = owned(tables.TestSuite, caller.workspace_id).with_only_columns(key[0], func.max(key[1]))
        query = query.where(tuple_(*key).in_(newest.group_by(key[0])))
    return page(session, query, [col(tables.TestSuite.pk).desc()], _without_prompts, limit, offset)


def _listed(workspace_id: int) -> SelectOfScalar[tables.TestSuite]:
    return owned(tables.TestSuite, workspace_id).options(defer(tables.TestSuite.prompts))  # type: ignore[arg-type]


def _without_prompts(row: tables.TestSuite) -> Suite:
    """Reads no column that the list has not loaded."""
    return Suite.model_validate(row.model_dump(exclude={"prompts"}))


@router.get("/{suite_id}")
def get_suite(caller: Annotated[Caller, needs("suites:read")], suite_id: str, database: DatabaseDep) -> Suite:
    """One version of a suite, with its prompts."""
    with database.reading() as session:
        row = find(session, tables.TestSuite, caller.workspace_id, suite_id, MISSING)
    return Suite.model_validate(row)


@router.get("/{suite_id}/versions")
def list_versions(
    caller: Annotated[Caller, needs("suites:read")],
    suite_id: str,
    database: DatabaseDep,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[Suite]:
    """All versions of the suite that this is one of, the newest first, without their prompts."""
    with database.reading() as session:
        row = find(session, tables.TestSuite, caller.workspace_id, suite_id, MISSING)
        query = _listed(caller.workspace_id).where(tables.TestSuite.name == row.name)
        order = [col(tables.TestSuite.version).desc()]
        return page(session, query, order, _without_prompts, limit, offset)


@router.put("/{suite_id}")
def edit_suite(
    caller: Annotated[Caller, needs("suites:write")], suite_id: str, edit: SuiteEdit, database: DatabaseDep
) -> Suite:
    """Other prompts are the next version under the same name; the versions before stay as they are, and so do the
    batch tests that ran them. Prompts that the name has already answer that version. A description alone is changed
    in place."""
    with database.writing() as session:
        row = find(session, tables.TestSuite, caller.workspace_id, suite_id, MISSING)
        is_new = False
        if edit.prompts is not None:
            description = edit.description if edit.description is not None else row.description
            new = NewSuite(name=row.name, description=description, prompts=edit.prompts)
            row, is_new = store_suite(session, caller, new)
        if not is_new and edit.description not in (None, row.description):
            row.description = edit.description
            record_event(session, caller, "suite.described", "suite", row.id, name=row.name)
    return Suite.model_validate(row)
