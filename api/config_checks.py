"""What the record itself can see of a fine-tune's config, before any run looks at the model and the rows."""

from collections.abc import Iterable

from sqlmodel import Session

from api.access.owned import owned
from api.launches import Launches
from api.problems import Problem
from api.tables import Artifact
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import Diagnostic, JobKind

ARTIFACT = "artifact:"


def look_up(session: Session, workspace_id: int, config: FinetuneConfig) -> list[Diagnostic]:
    """What the config names that the record does not have."""
    if not config.model.startswith(ARTIFACT):
        return []
    artifact_id = config.model.removeprefix(ARTIFACT)
    found = session.exec(owned(Artifact, workspace_id).where(Artifact.id == artifact_id)).first()
    if found is not None and found.kind == "model":
        return []
    what = f"is a {found.kind}, not a model" if found else "is not recorded here"
    message = f"the artifact {artifact_id} {what}; tuneyard's models: GET /api/v1/artifacts"
    return [Diagnostic(severity="error", code="no_such_model", message=message, field="model")]


def startable(launches: Launches) -> Iterable[Diagnostic]:
    """A warning where a fine-tune could not be started now."""
    try:
        launches.demand(JobKind.FINETUNE)
    except Problem as problem:
        yield Diagnostic(severity="warning", code="cannot_start", message=problem.detail)
