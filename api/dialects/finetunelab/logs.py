"""The training platform's log lines and errors of a job."""

from collections import Counter
from hashlib import sha256
from typing import Annotated

from fastapi import APIRouter, Query

from api.access.auth import DatabaseDep
from api.access.owned import Offset, hold_job
from api.dialects.finetunelab.bodies import LogsBody, PlatformLogs
from api.dialects.finetunelab.jobs import OwnJob, TrainingJob
from api.given import Open, object_in, shape_of
from api.job_history import append_lines, errors_of, lines_page
from api.openapi_words import OWN_WORDS
from api.problems import Problem
from api.strict_json import StrictRoute

router = APIRouter(prefix="/api/training/local", tags=["training platform"], route_class=StrictRoute)

ManyLines = Annotated[int, Query(ge=1, le=1000)]


@router.get("/{job_id}/logs")
def read_logs(job: TrainingJob, database: DatabaseDep, limit: ManyLines = 100, offset: Offset = 0) -> Open:
    """The texts of its lines, the oldest first."""
    with database.reading() as session:
        found = lines_page(session, job, None, None, limit, offset)
    lines = [line.text for line in found.items]
    return {"logs": lines, "total_lines": found.total, "offset": offset, "limit": limit}


@router.post("/{job_id}/logs", **OWN_WORDS)
def write_logs(holder: OwnJob, database: DatabaseDep, body: LogsBody = None) -> Open:
    """Store lines behind those that are there. They have no numbers: what is sent twice is there twice."""
    given = object_in(body)
    if not isinstance(given.get("logs"), list) or not given["logs"]:
        raise Problem(400, "logs must be a list with at least one line")
    texts = shape_of(PlatformLogs, given).logs
    with database.writing() as session:
        append_lines(session, hold_job(session, holder), texts)
    return {"success": True, "count": len(texts)}


@router.get("/{job_id}/errors")
def read_errors(job: TrainingJob, database: DatabaseDep) -> Open:
    """What went wrong, the newest first, the same thing once with a count. Tracebacks are in the log."""
    with database.reading() as session:
        found = errors_of(session, job)
    counts = Counter((one.kind, one.message) for one in found)
    newest = {(one.kind, one.message): one for one in found}
    errors = [
        one.model_dump(include={"message", "file", "line", "field", "hint"})
        | {
            "timestamp": one.at,
            "level": "error",
            "phase": one.kind,
            "dedupe_key": sha256(f"{one.kind}:{one.message}".encode()).hexdigest()[:12],
            "count": counts[key],
            "traceback": None,
        }
        for key, one in sorted(newest.items(), key=lambda pair: pair[1].at, reverse=True)
    ]
    summed = {"error_count": len(found), "unique_error_count": len(errors)}
    return {"job_id": job.id, "errors": errors, "traceback": None} | summed
