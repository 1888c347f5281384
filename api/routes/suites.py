"""Test suites: prompts with the answers that are expected."""

from typing import Annotated, Any

from fastapi import APIRouter, Response
from sqlalchemy import func
from sqlalchemy.orm import defer
from sqlmodel import Session, col

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import Limit, Offset, find, owned, page, record
from api.identity import identity_of
from api.openapi_words import or_again
from api.problems import Problem
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import NewSuite, Prompt, Suite
from tuneyard.shapes import Page

router = APIRouter(prefix="/test-suites", tags=["test suites"], route_class=StrictRoute)


@router.post("", status_code=201, responses=or_again(Suite))
def create_suite(
    caller: Annotated[Caller, needs("suites:write")], new: NewSuite, database: DatabaseDep, response: Response
) -> Suite:
    """Record a suite; the same prompts under the same name again answer the one that is there, with 200."""
    prompts = [_as_kept(prompt) for prompt in new.prompts]
    row = tables.TestSuite(
        workspace_id=caller.workspace_id,
        name=new.name,
        description=new.description,
        sha256=identity_of(prompts),
        prompt_count=len(prompts),
        prompts=prompts,
    )
    same = owned(tables.TestSuite, caller.workspace_id).where(
        tables.TestSuite.name == row.name, tables.TestSuite.sha256 == row.sha256
    )
    with database.writing() as session:
        row.version = _versions(session, caller.workspace_id, row.name) + 1
        row, is_new = record(session, row, same, taken="That suite clashes with another")
        if is_new:
            record_event(session, caller, "suite.created", "suite", row.id, name=row.name)
    if not is_new:
        response.status_code = 200
    return Suite.model_validate(row)


def _as_kept(prompt: Prompt) -> dict[str, Any]:
    """What its digest is made of: what a prompt does not say leaves no trace in it."""
    if prompt.messages is not None and prompt.messages[-1].role != "user":
        raise Problem(409, "the last turn of a chat must be the user's", field="prompts")
    return {"expected": None, "tags": [], **prompt.model_dump(mode="json", exclude_none=True)}


def _versions(session: Session, workspace_id: int, name: str) -> int:
    """The newest version of a suite; 0 where there is none of that name."""
    of_name = owned(tables.TestSuite, workspace_id).where(tables.TestSuite.name == name)
    newest = session.execute(of_name.with_only_columns(func.max(tables.TestSuite.version))).scalar()
    return newest or 0


@router.get("")
def list_suites(
    caller: Annotated[Caller, needs("suites:read")],
    database: DatabaseDep,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Page[Suite]:
    """The newest first, without their prompts."""
    query = owned(tables.TestSuite, caller.workspace_id).options(defer(tables.TestSuite.prompts))  # type: ignore[arg-type]
    with database.reading() as session:
        return page(session, query, [col(tables.TestSuite.pk).desc()], _without_prompts, limit, offset)


def _without_prompts(row: tables.TestSuite) -> Suite:
    """Reads no column that the list has not loaded."""
    return Suite.model_validate(row.model_dump(exclude={"prompts"}))


@router.get("/{suite_id}")
def get_suite(caller: Annotated[Caller, needs("suites:read")], suite_id: str, database: DatabaseDep) -> Suite:
    with database.reading() as session:
        row = find(session, tables.TestSuite, caller.workspace_id, suite_id, "Test suite not found")
    return Suite.model_validate(row)
