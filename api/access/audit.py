"""The audit trail: an event beside every act, in the transaction of the act."""

import logging
from typing import Any

from sqlmodel import Session

from api.access.caller import Caller, JobCaller
from api.tables import AuditEvent, Job
from tuneyard.shapes import JobKind

log = logging.getLogger("tuneyard.api")
OPERATIONS = {
    JobKind.FINETUNE: "train",
    JobKind.BATCH_TEST: "batch_test",
    JobKind.CHECK: "check",
    JobKind.MERGE: "merge",
    JobKind.PIPELINE: "pipeline",
}


def record_event(
    session: Session, who: Caller | JobCaller, action: str, object_kind: str, object_id: str, **details: Any
) -> None:
    """Add an event to the caller's workspace.

    Args:
        action: `kind.done`, as in `key.created`.
        details: JSON values that explain the act; never a key, a token or a password.
    """
    session.add(
        AuditEvent(
            workspace_id=who.workspace_id,
            actor_kind=who.kind,
            actor_id=who.id,
            actor_name=who.name,
            action=action,
            object_kind=object_kind,
            object_id=object_id,
            details=details,
            request_id=who.request_id,
            address=who.address,
        )
    )


def record_host_event(
    session: Session, workspace_id: int, action: str, object_kind: str, object_id: str, **details: Any
) -> None:
    """Add an event for an act of whoever runs commands on the API's host."""
    session.add(
        AuditEvent(
            workspace_id=workspace_id,
            actor_kind="host",
            actor_id="host",
            actor_name="a command on the host",
            action=action,
            object_kind=object_kind,
            object_id=object_id,
            details=details,
        )
    )


def log_operation(who: Caller, job: Job) -> None:
    """Say in the log that work was asked for, once it is recorded.

    `cost_estimate` is null: there is no tariff yet to estimate by.
    """
    fields = {
        "operation": OPERATIONS[JobKind(job.kind)],
        "key_prefix": who.id if who.kind == "key" else None,
        "job_id": job.id,
        "cost_estimate": None,
    }
    log.info("ml_operation", extra=fields)
