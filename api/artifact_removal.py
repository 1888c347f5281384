"""Artifacts that are deleted: why one stays, and which of its files nobody else needs."""

import logging

from sqlmodel import Session, col, delete

from api.access.audit import record_event
from api.access.caller import Caller
from api.access.owned import is_anothers_job, is_used_elsewhere, owned
from api.config_checks import ARTIFACT
from api.kept_place import Place
from api.problems import Problem
from api.tables import Artifact, ConfigArtifact, Job, ModelAlias
from tuneyard.shapes import JobStatus, KeptFile

log = logging.getLogger("tuneyard.api")
NAMED = 5  # of what stands against it
_OPEN = [status for status in JobStatus if not status.is_final]


def delete_row(session: Session, who: Caller, row: Artifact, place: Place) -> list[KeptFile]:
    """Take an artifact out of the record; its files that lie in the API's place and are no other artifact's.

    Raises:
        Problem: 409 where an alias stands for it, something was made from it, or a job works with it.
    """
    _demand_free(session, row)
    files = _own_files(session, row, place)
    session.exec(delete(ConfigArtifact).where(col(ConfigArtifact.artifact_pk) == row.pk))
    session.delete(row)
    said = {"name": row.name, "kind": row.kind, "uri": row.uri, "files": len(files)}
    record_event(session, who, "artifact.deleted", "artifact", row.id, **said)
    return files


def _demand_free(session: Session, row: Artifact) -> None:
    mine = row.workspace_id
    aliases = session.exec(owned(ModelAlias, mine).where(ModelAlias.artifact_id == row.id)).all()
    if aliases:
        names = ", ".join(alias.name for alias in aliases[:NAMED])
        raise Problem(409, f"The alias {names} stands for it: promote another model, or undo the move, first")
    children = session.exec(owned(Artifact, mine).where(Artifact.parent_id == row.id).limit(NAMED)).all()
    if children:
        ids = ", ".join(child.id for child in children)
        raise Problem(409, f"Others were made from it: delete those first, as {ids}")
    using = owned(Job, mine).where(Job.model == ARTIFACT + row.id, col(Job.status).in_(_OPEN))
    if job := session.exec(using).first():
        raise Problem(409, f"The job {job.id} works with it: wait for that, or cancel it, first")


def _own_files(session: Session, row: Artifact, place: Place) -> list[KeptFile]:
    """None where the files lie elsewhere, as on another host, or in a folder of another's job."""
    try:
        parts = place.parts_of(row.uri)
    except Problem:
        return []
    uri = row.uri.rstrip("/")
    above = [uri.rsplit("/", number)[0] for number in range(1, len(parts))]
    if is_anothers_job(session, row.workspace_id, parts[0]) or is_used_elsewhere(session, row, above):
        return []
    return [KeptFile.model_validate(file) for file in row.files or ()]


def remove_files(place: Place, uri: str, files: list[KeptFile]) -> None:
    """What cannot be removed stays, and the log says so: the record holds it no more."""
    try:
        if files:
            place.remove(uri, files)
    except (OSError, Problem) as problem:
        log.warning("The files of an artifact that was deleted, at %s, were not removed: %s", uri, problem)
