"""What batch tests come to: one by itself, two beside each other, and the page that shows it."""

from typing import Annotated

from fastapi import APIRouter, Query
from fastapi.responses import HTMLResponse

from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.comparison import compare_runs
from api.report_page import POLICY, report_page
from api.routes.batch_tests import Run, owned_run
from api.strict_json import StrictRoute
from api.summaries import summary_of
from tuneyard.batch_shapes import CompareRequest, Comparison, TestSummary

router = APIRouter(prefix="/api/v1/batch-tests", tags=["batch tests"], route_class=StrictRoute)

Against = Annotated[
    str | None, Query(min_length=1, max_length=100, description="The batch test that it is compared with.")
]


@router.post("/compare", responses={404: {}})
def compare(
    caller: Annotated[Caller, needs("tests:read")], body: CompareRequest, database: DatabaseDep
) -> Comparison:
    """Two batch tests of one suite, paired by prompt: is the candidate better, worse or the same?"""
    with database.reading() as session:
        return compare_runs(session, caller.workspace_id, body)


@router.get("/{job_id}/summary")
def summary(run: Annotated[Run, owned_run("tests:read")], database: DatabaseDep) -> TestSummary:
    """Scores with intervals, by tag and by scorer; an error counts as 0. Also while the test goes on."""
    with database.reading() as session:
        return summary_of(session, run)


@router.get("/{job_id}/report", response_class=HTMLResponse, responses={409: {}})
def report(
    run: Annotated[Run, owned_run("tests:read")], database: DatabaseDep, against: Against = None
) -> HTMLResponse:
    """The batch test as one page that needs nothing else, beside another where `against` says which."""
    with database.reading() as session:
        page = report_page(session, run, against)
    return HTMLResponse(
        page, headers={"Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff"}
    )
