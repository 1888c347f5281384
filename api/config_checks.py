"""What the record itself can see of a config, before any run looks at the model and the rows."""

from collections.abc import Iterable, Iterator

from pydantic import ValidationError
from sqlmodel import Session

from api import tables
from api.access.owned import find, owned
from api.launches import Launches
from api.problems import Problem
from api.tables import Artifact, Dataset
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.config_words import Config
from tuneyard.configs import FinetuneConfig, MergeConfig, PipelineConfig
from tuneyard.shapes import Diagnostic, JobKind

ARTIFACT, DATASET = "artifact:", "dataset:"
MODELS = ("base", "model", "adapter", "merged")
CONFIGS: dict[JobKind, type[Config]] = {
    JobKind.FINETUNE: FinetuneConfig,
    JobKind.BATCH_TEST: BatchTestConfig,
    JobKind.CHECK: FinetuneConfig,
    JobKind.MERGE: MergeConfig,
    JobKind.PIPELINE: PipelineConfig,
}


def look_up(session: Session, workspace_id: int, config: FinetuneConfig) -> list[Diagnostic]:
    """What the config names that the record does not have."""
    found = [*_model(session, workspace_id, config.model)]
    for field, named in (("dataset", config.dataset), ("eval_dataset", config.eval_dataset)):
        found += _data(session, workspace_id, field, named or "")
    return found


def _model(session: Session, workspace_id: int, named: str) -> Iterator[Diagnostic]:
    if not named.startswith(ARTIFACT):
        return
    artifact_id = named.removeprefix(ARTIFACT)
    found = session.exec(owned(Artifact, workspace_id).where(Artifact.id == artifact_id)).first()
    if found is None or found.kind not in MODELS:
        what = f"is a {found.kind}, not a model" if found else "is not recorded here"
        message = f"the artifact {artifact_id} {what}; tuneyard's models: GET /api/v1/artifacts"
        yield Diagnostic(severity="error", code="no_such_model", message=message, field="model")


def _data(session: Session, workspace_id: int, field: str, named: str) -> Iterator[Diagnostic]:
    if not named.startswith(DATASET):
        return
    dataset_id = named.removeprefix(DATASET)
    found = session.exec(owned(Dataset, workspace_id).where(Dataset.id == dataset_id)).first()
    if found is None or found.file_name is None:
        what = f"was not uploaded: name it by its place, {found.uri}" if found else "is not recorded here"
        message = f"the data set {dataset_id} {what}"
        yield Diagnostic(severity="error", code="no_such_dataset", message=message, field=field)


def demand_adapter(session: Session, workspace_id: int, config: MergeConfig) -> Artifact:
    """The adapter that is to be merged.

    Raises:
        Problem: 404 where there is no such artifact, 422 where it is none; naming the field.
    """
    adapter_id = config.artifact_id
    found = session.exec(owned(Artifact, workspace_id).where(Artifact.id == adapter_id)).first()
    if found is None:
        raise Problem(404, f"the artifact {adapter_id} is not recorded here", field="config.artifact")
    if found.kind != "adapter":
        raise Problem(
            422, f"the artifact {adapter_id} is a {found.kind}, not an adapter", field="config.artifact"
        )
    return found


def kept_config(session: Session, workspace_id: int, kind: JobKind, config_id: str) -> Config:
    """A config that is kept, of that kind, as it is meant today.

    Raises:
        Problem: 404 where there is none; 409 for another kind's, and for one that no run takes any more.
    """
    row = find(session, tables.Config, workspace_id, config_id, "Config not found")
    if row.kind != kind:
        raise Problem(409, f"the config {row.id} is for {row.kind}, not {kind.value}", field="config_id")
    try:
        return CONFIGS[kind].model_validate(row.data)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in ("data", *first["loc"]))
    raise Problem(409, f"the config {row.id} is of an older form: {field}: {first['msg']}", field="config_id")


def startable(launches: Launches) -> Iterable[Diagnostic]:
    """A warning where a fine-tune could not be started now."""
    try:
        launches.demand(JobKind.FINETUNE)
    except Problem as problem:
        yield Diagnostic(severity="warning", code="cannot_start", message=problem.detail)
