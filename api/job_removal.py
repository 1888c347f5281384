"""Jobs that are deleted: gone for every reader at once, and from the tables once nobody works on them."""

from sqlmodel import Session, SQLModel, or_

from api.access.audit import record_event
from api.access.caller import Caller
from api.access.owned import owned
from api.gpu_accounts import Tariff, account
from api.problems import Problem
from api.tables import AliasMove, Job, now
from tuneyard.shapes import JobKind, JobStatus

NO_TARIFF = Tariff(None, None, "")
_JOB = Job.__table__  # type: ignore[attr-defined]


def mark_deleted(session: Session, who: Caller, job: Job) -> None:
    """Hide a locked job. The audit trail keeps that it was, and what it has had of cards.

    Raises:
        Problem: 409 where an alias was moved on what it says.
    """
    _demand_no_promotion(session, job)
    had = account(session, job, NO_TARIFF)
    said = {"name": job.name, "kind": job.kind, "gpu_hours": had.gpu_hours, "energy_wh": had.energy_wh}
    action = "test.deleted" if job.kind == JobKind.BATCH_TEST else "job.deleted"
    record_event(session, who, action, "job", job.id, **said)
    job.deleted_at = now()


def remove_if_over(session: Session, job: Job) -> None:
    """Take a job that was deleted out of the tables, with all that hangs on it, once it has ended."""
    if job.deleted_at is None or not JobStatus(job.status).is_final:
        return
    session.flush()
    connection = session.connection()
    for table in SQLModel.metadata.tables.values():
        if "job_pk" in table.c:
            connection.execute(table.delete().where(table.c.job_pk == job.pk))
    connection.execute(_JOB.delete().where(_JOB.c.pk == job.pk))


def _demand_no_promotion(session: Session, job: Job) -> None:
    said = AliasMove.evidence
    resting = or_(*(said[side].as_string() == job.id for side in ("baseline", "candidate")))
    move = session.exec(owned(AliasMove, job.workspace_id).where(resting)).first()
    if move is not None:
        raise Problem(
            409, f"The promotion {move.id} of an alias rests on the job {job.id}: it is kept for that"
        )
