"""Batch tests after they were asked for: cancelled, put away, taken out again, deleted."""

from typing import Annotated

from fastapi import APIRouter

from api import tables
from api.access.audit import record_event
from api.access.auth import DatabaseDep, needs
from api.access.caller import Caller
from api.access.owned import lock_job
from api.job_removal import mark_deleted, remove_if_over
from api.problems import Problem
from api.routes.batch_tests import Run, find_run, owned_run, shown_test
from api.routes.jobs import cancel
from api.strict_json import StrictRoute
from tuneyard.batch_shapes import BatchTest
from tuneyard.shapes import JobStatus

router = APIRouter(prefix="/api/v1/batch-tests", tags=["batch tests"], route_class=StrictRoute)

Tester = Annotated[Caller, needs("tests:write")]
Written = Annotated[Run, owned_run("tests:write")]


@router.post("/{job_id}/cancel")
def cancel_test(caller: Tester, run: Written, database: DatabaseDep) -> BatchTest:
    """One that nobody works on is cancelled at once; a run reads `cancelling`, stops its work and ends. The answers
    so far are kept."""
    return shown_test((cancel(database, caller, run[0]), run[1]))


@router.post("/{job_id}/archive")
def archive_test(caller: Tester, run: Written, database: DatabaseDep) -> BatchTest:
    """Leave it out of lists, but for those of what is archived."""
    return shown_test(put_away(database, caller, [run[0].id], away=True)[0])


@router.post("/{job_id}/restore")
def restore_test(caller: Tester, run: Written, database: DatabaseDep) -> BatchTest:
    """Take an archived batch test back into the lists."""
    return shown_test(put_away(database, caller, [run[0].id], away=False)[0])


@router.delete("/{job_id}", status_code=204)
def delete_test(caller: Tester, run: Written, database: DatabaseDep) -> None:
    """Only one that has ended. Its job and its answers are gone then; the audit trail stays."""
    delete_tests(database, caller, [run[0].id])


def put_away(database: DatabaseDep, caller: Caller, ids: list[str], *, away: bool) -> list[Run]:
    """Archive or restore all of them, or none; what is so already stays as it is.

    Raises:
        Problem: 404 where one is not there.
    """
    with database.writing() as session:
        found = [find_run(session, caller.workspace_id, run_id) for run_id in ids]
        for job, run in found:
            if (run.archived_at is not None) == away:
                continue
            run.archived_at = tables.now() if away else None
            action = "test.archived" if away else "test.restored"
            record_event(session, caller, action, "job", job.id, name=job.name)
    return found


def delete_tests(database: DatabaseDep, caller: Caller, ids: list[str]) -> list[Run]:
    """Delete all of them, or none; what they were.

    Raises:
        Problem: 404 where one is not there; 409 where one has not ended, or an alias was moved on what it says.
    """
    with database.writing() as session:
        found = [find_run(session, caller.workspace_id, run_id) for run_id in ids]
        for job, _ in found:
            locked = lock_job(session, caller.workspace_id, job.id)
            if not JobStatus(locked.status).is_final:
                raise Problem(409, f"A {locked.status} batch test cannot be deleted: cancel it first")
            mark_deleted(session, caller, locked)
            remove_if_over(session, locked)
    return found
