"""What batch tests come to: one by itself, two beside each other."""

from typing import Annotated

from fastapi import APIRouter

from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.comparison import compare_runs
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import CompareRequest, Comparison

router = APIRouter(prefix="/batch-tests", tags=["batch tests"], route_class=StrictRoute)


@router.post("/compare", responses={404: {}})
def compare(
    caller: Annotated[Caller, needs("tests:read")], body: CompareRequest, database: DatabaseDep
) -> Comparison:
    """Two batch tests of one suite, paired by prompt: is the candidate better, worse or the same?"""
    with database.reading() as session:
        return compare_runs(session, caller.workspace_id, body)
