"""The training platform's test suites: two lists of texts, prompts and what is expected."""

from collections.abc import Sequence
from typing import Annotated, Any

from fastapi import APIRouter

from api import tables
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import Limit, Offset
from api.dialects.finetunelab.bodies import PlatformAnswers, PlatformSuite, SuiteBody
from api.given import object_in, shape_of
from api.openapi_words import OWN_WORDS
from api.problems import Problem
from api.routes.suites import store_suite, suites_page
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import NewSuite, Prompt, Suite

router = APIRouter(prefix="/api/test-suites", tags=["training platform"], route_class=StrictRoute)

Open = dict[str, Any]
SHOWN = {"id", "name", "version", "description", "prompt_count", "created_at"}


@router.get("")
def list_suites(
    caller: Annotated[Caller, needs("suites:read", "testing")],
    database: DatabaseDep,
    limit: Limit = 50,
    offset: Offset = 0,
) -> Open:
    """The newest version of each suite, the newest first, without prompts."""
    with database.reading() as session:
        found = suites_page(session, caller, None, "newest", limit, offset)
    listed = [suite.model_dump(include=SHOWN) for suite in found.items]
    return {"test_suites": listed, "total": found.total, "limit": limit, "offset": offset}


@router.post("", **OWN_WORDS)
def create_suite(
    caller: Annotated[Caller, needs("suites:write", "testing")], database: DatabaseDep, body: SuiteBody = None
) -> Open:
    """Record a suite. Texts are trimmed; an empty prompt is dropped, with its answer where that is there."""
    given = object_in(body)
    if not isinstance(given.get("name"), str) or not given["name"].strip():
        raise Problem(400, "Missing required field: name")
    if not given.get("prompts"):
        raise Problem(400, "At least one prompt is required")
    asked = shape_of(PlatformSuite, given)
    answers = shape_of(PlatformAnswers, {"expected_answers": given.get("expected_answers")}).expected_answers
    prompts = _prompts(asked.prompts, answers or [])
    new = NewSuite(name=asked.name.strip(), description=asked.description, prompts=prompts)
    with database.writing() as session:
        row, _ = store_suite(session, caller, new)
    return {"success": True, "test_suite": _in_words(row)}


def _prompts(texts: Sequence[str], answers: Sequence[str | None]) -> list[Prompt]:
    kept = [text.strip() for text in texts if text.strip()]
    if not kept:
        raise Problem(400, "At least one prompt is required")
    if len(answers) == len(texts):
        answers = [answer for text, answer in zip(texts, answers, strict=True) if text.strip()]
    if answers and len(answers) != len(kept):
        problem = f"Expected answers count ({len(answers)}) must match prompts count ({len(kept)})"
        raise Problem(400, problem, field="expected_answers")
    expected = [(answer or "").strip() or None for answer in answers] or [None] * len(kept)
    return [Prompt(prompt=text, expected=answer) for text, answer in zip(kept, expected, strict=True)]


def _in_words(row: tables.TestSuite) -> Open:
    suite = Suite.model_validate(row)
    prompts = suite.prompts or []
    return suite.model_dump(include=SHOWN) | {
        "prompts": [prompt.text for prompt in prompts],
        "expected_answers": [prompt.expected for prompt in prompts],
    }
