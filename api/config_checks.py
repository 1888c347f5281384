"""What the record itself can see of a config, before any run looks at the model and the rows."""

from collections.abc import Iterable, Iterator, Sequence

from pydantic import ValidationError
from sqlmodel import Session, col

from api import tables
from api.access.owned import find, owned
from api.launches import Launches
from api.problems import Problem
from api.tables import Artifact, Dataset, Job, ModelAlias, TestSuite
from tuneyard.batch_configs import BatchTestConfig, PredictConfig
from tuneyard.config_words import Config
from tuneyard.configs import FinetuneConfig, MergeConfig, PipelineConfig, TabularConfig
from tuneyard.shapes import Diagnostic, JobKind

ARTIFACT, ALIAS, DATASET = "artifact:", "alias:", "dataset:"
MODELS = ("base", "model", "adapter", "merged")
CONFIGS: dict[JobKind, type[Config]] = {
    JobKind.FINETUNE: FinetuneConfig,
    JobKind.BATCH_TEST: BatchTestConfig,
    JobKind.CHECK: FinetuneConfig,
    JobKind.MERGE: MergeConfig,
    JobKind.PIPELINE: PipelineConfig,
    JobKind.TABULAR: TabularConfig,
    JobKind.PREDICT: PredictConfig,
}


NOT_THERE = ("no_such_suite", "no_such_test")  # answered with 404: no form says which there are


def look_up(session: Session, workspace_id: int, config: Config) -> list[Diagnostic]:
    """What the config names that the record does not have."""
    if isinstance(config, BatchTestConfig):
        return [*_of_test(session, workspace_id, config)]
    if isinstance(config, PipelineConfig):
        tuning, suite = config.finetune, config.test.suite
        found = [_within("finetune", one) for one in look_up(session, workspace_id, tuning)]
        return found + [_within("test", one) for one in _suite(session, workspace_id, suite)]
    if isinstance(config, TabularConfig):
        return [*_data(session, workspace_id, "dataset", config.dataset or "")]
    if isinstance(config, PredictConfig):
        asked = _model(session, workspace_id, config.model, (*MODELS, "tabular"))
        return [*asked, *_data(session, workspace_id, "dataset", config.dataset or "")]
    if not isinstance(config, FinetuneConfig):
        return []
    found = [*_model(session, workspace_id, config.model)]
    for field, named in (("dataset", config.dataset), ("eval_dataset", config.eval_dataset)):
        found += _data(session, workspace_id, field, named or "")
    return found


def demand_known(session: Session, workspace_id: int, config: Config) -> None:
    """Raises Problem for the first thing that the config names and the record does not have: 404 or 422, by field."""
    for fault in look_up(session, workspace_id, config):
        status = 404 if fault.code in NOT_THERE else 422
        raise Problem(status, fault.message, field=f"config.{fault.field}")


def _of_test(session: Session, workspace_id: int, config: BatchTestConfig) -> Iterator[Diagnostic]:
    yield from _model(session, workspace_id, config.model)
    yield from _suite(session, workspace_id, config.suite)
    yield from _data(session, workspace_id, "perplexity_on", config.perplexity_on or "")
    other = owned(Job, workspace_id).where(Job.kind == JobKind.BATCH_TEST, Job.id == config.compare_with)
    if config.compare_with is not None and session.exec(other).first() is None:
        message = f"the batch test {config.compare_with} is not recorded here"
        yield Diagnostic(severity="error", code="no_such_test", message=message, field="compare_with")


def _suite(session: Session, workspace_id: int, suite: str) -> Iterator[Diagnostic]:
    yield from _data(session, workspace_id, "suite", suite)
    if is_suite_id(suite) and suite_size(session, workspace_id, suite) is None:
        message = f"{suite!r} is neither a suite that is recorded here nor the name of a file of prompts"
        yield Diagnostic(severity="error", code="no_such_suite", message=message, field="suite")


def _within(part: str, one: Diagnostic) -> Diagnostic:
    return one.model_copy(update={"field": f"{part}.{one.field}"})


def is_suite_id(suite: str) -> bool:
    """Whether it names a recorded suite: a file of prompts has an ending, a data set its prefix."""
    return not any(mark in suite for mark in "/.:")


def suite_size(session: Session, workspace_id: int, suite_id: str) -> int | None:
    """How many prompts a recorded suite has; None: there is none of that id."""
    found = owned(TestSuite, workspace_id).where(TestSuite.id == suite_id)
    size: int | None = session.execute(found.with_only_columns(col(TestSuite.prompt_count))).scalar()
    return size


def _model(
    session: Session, workspace_id: int, named: str, kinds: Sequence[str] = MODELS
) -> Iterator[Diagnostic]:
    if named.startswith(ALIAS):
        yield from _alias(session, workspace_id, named.removeprefix(ALIAS))
    if not named.startswith(ARTIFACT):
        return
    artifact_id = named.removeprefix(ARTIFACT)
    found = session.exec(owned(Artifact, workspace_id).where(Artifact.id == artifact_id)).first()
    if found is None or found.kind not in kinds:
        what = f"is a {found.kind}, not a model" if found else "is not recorded here"
        message = f"the artifact {artifact_id} {what}; tuneyard's models: GET /api/v1/artifacts"
        yield Diagnostic(severity="error", code="no_such_model", message=message, field="model")


def _alias(session: Session, workspace_id: int, name: str) -> Iterator[Diagnostic]:
    alias = session.exec(owned(ModelAlias, workspace_id).where(ModelAlias.name == name)).first()
    if alias is None or alias.artifact_id is None:
        message = f"the alias {name} stands for no model; those that there are: GET /api/v1/aliases"
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


def kept_config(session: Session, workspace_id: int, config_id: str, *kinds: JobKind) -> Config:
    """A config that is kept, of one of these kinds, as it is meant today.

    Raises:
        Problem: 404 where there is none; 409 for another kind's, and for one that no run takes any more.
    """
    row = find(session, tables.Config, workspace_id, config_id, "Config not found")
    if row.kind not in kinds:
        raise Problem(409, f"the config {row.id} is for {row.kind}, not {kinds[0].value}", field="config_id")
    try:
        return CONFIGS[JobKind(row.kind)].model_validate(row.data)
    except ValidationError as problem:
        first = problem.errors(include_input=False, include_url=False)[0]
    field = ".".join(str(part) for part in ("data", *first["loc"]))
    raise Problem(409, f"the config {row.id} is of an older form: {field}: {first['msg']}", field="config_id")


def startable(launches: Launches, kind: JobKind) -> Iterable[Diagnostic]:
    """A warning where such a job could not be started now."""
    try:
        launches.demand(kind)
    except Problem as problem:
        yield Diagnostic(severity="warning", code="cannot_start", message=problem.detail)
