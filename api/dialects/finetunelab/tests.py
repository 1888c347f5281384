"""The training platform's paths of batch testing, as clients of seed 000 know them.

What they ask for is what `POST /api/v1/ml/$test` starts. A `test_suite_id` is a recorded suite. A `dataset_id` is a
recorded data set whose rows have a prompt and what is expected: an uploaded one is the suite `dataset:<id>`, another
the file that it lies in. A `source_path` is such a file on the GPU host. There are no benchmarks here:
`benchmark_id` decides nothing.
"""

from typing import Annotated, Any

from fastapi import APIRouter
from sqlmodel import Session

from api import tables
from api.access.auth import DatabaseDep, LaunchesDep, needs
from api.access.caller import Caller
from api.access.owned import find
from api.config_checks import ALIAS, ARTIFACT, DATASET
from api.dialects.finetunelab.bodies import (
    CancelTestBody,
    PlatformCancelTest,
    PlatformTest,
    PlatformTestRuns,
    TestBody,
    TestRunsBody,
)
from api.dialects.finetunelab.words import batch_test_in_words, prediction_in_words, status_in_words
from api.given import Open, object_in, shape_of
from api.lifecycle import IllegalMove
from api.openapi_words import OWN_WORDS
from api.operation_log import OperationLogDep
from api.prediction_store import predictions_of
from api.problems import Problem
from api.routes.aliases import alias_named
from api.routes.batch_test_life import delete_tests, put_away
from api.routes.batch_tests import Run, find_run, owned_run
from api.routes.jobs import cancel
from api.routes.ml import start_test
from api.strict_json import StrictRoute
from tuneyard.batch_configs import BatchTestConfig

router = APIRouter(prefix="/api/batch-testing", tags=["training platform"], route_class=StrictRoute)

Tester = Annotated[Caller, needs("tests:write", "testing")]
TestingRun = Annotated[Run, owned_run("tests:read", "testing", "Test run not found")]
SOURCES = ("test_suite_id", "dataset_id", "source_path")
_WORDS: dict[str, Any] = OWN_WORDS | {"responses": {400: {}, 404: {}}}


@router.get("/status/{job_id}")
def read_test(pair: TestingRun, database: DatabaseDep) -> Open:
    """A batch test with all its results; `progress` goes from 0 to 1."""
    job, run = pair
    with database.reading() as session:
        found = predictions_of(session, job.pk, None, 0)
    return batch_test_in_words(job, run) | {
        "results": [prediction_in_words(prediction) for prediction in found.items]
    }


@router.post("/run", **_WORDS)
def run_test(
    caller: Tester,
    database: DatabaseDep,
    launches: LaunchesDep,
    operations: OperationLogDep,
    body: TestBody = None,
) -> Open:
    """Start a batch test. `total_prompts` is null where only the run can count them."""
    given = object_in(body).get("config")
    if not isinstance(given, dict):
        raise Problem(400, "Missing or invalid config object")
    if not any(given.get(name) for name in SOURCES):
        raise Problem(
            400, f"Missing config.{', config.'.join(SOURCES[:-1])}, or config.{SOURCES[-1]} (one is required)"
        )
    if not given.get("model_id"):
        raise Problem(400, "Missing config.model_id")
    asked = shape_of(PlatformTest, {name: value for name, value in given.items() if value is not None})
    if asked.judge_config is not None and asked.judge_config.enabled and caller.mode == "apiKey":
        raise Problem(400, "judge_config requires session auth: disable it, or log in")
    with database.reading() as session:
        config = _config(session, caller, asked)
    (job, _), _ = start_test(database, launches, operations, caller, config)
    counts = {"total_prompts": job.total_steps, "successful": 0, "failed": 0}
    return {
        "success": True,
        "test_run_id": job.id,
        "test_id": job.id,
        "status": status_in_words(job),
        "total_prompts": job.total_steps,
        "results": counts,
    }


def _config(session: Session, caller: Caller, asked: PlatformTest) -> BatchTestConfig:
    fields: Open = {
        "model": _model(session, caller, asked.model_id),
        "suite": _suite(session, caller.workspace_id, asked),
        "name": asked.test_run_name or asked.name,
        "prompt_limit": asked.prompt_limit,
        "concurrency": asked.concurrency,
        "delay_ms": asked.delay_ms,
    }
    judge = asked.judge_config
    if judge is not None and judge.enabled:
        rubric = {"rubric": "\n".join(judge.criteria)} if judge.criteria else {}
        fields["scorers"] = ["exact", {"kind": "judge", "endpoint": judge.model or "", **rubric}]
    return shape_of(BatchTestConfig, fields)


def _model(session: Session, caller: Caller, model_id: str) -> str:
    """A bare word is an artifact's id or an alias; the rest is what a config's `model` may be."""
    if any(mark in model_id for mark in "/:") or model_id.endswith(".gguf"):
        return model_id
    if "\0" not in model_id and alias_named(session, caller, model_id):
        return ALIAS + model_id
    return ARTIFACT + find(session, tables.Artifact, caller.workspace_id, model_id, "Model not found").id


def _suite(session: Session, workspace_id: int, asked: PlatformTest) -> str:
    if asked.test_suite_id:
        return find(session, tables.TestSuite, workspace_id, asked.test_suite_id, "Test suite not found").id
    if asked.dataset_id:
        found = find(session, tables.Dataset, workspace_id, asked.dataset_id, "Dataset not found")
        return found.uri if found.file_name is None else DATASET + found.id
    return asked.source_path or ""


@router.post("/cancel", **_WORDS)
def cancel_test(caller: Tester, database: DatabaseDep, body: CancelTestBody = None) -> Open:
    """Its end is `cancelled`; until its work has stopped it is shown as `running`."""
    given = object_in(body)
    if "test_id" in given:  # what the platform's Python client calls it
        given = {"test_run_id": given["test_id"]} | given
    if not given.get("test_run_id"):
        raise Problem(400, "Missing test_run_id")
    run_id = shape_of(PlatformCancelTest, given).test_run_id
    with database.reading() as session:
        job, _ = find_run(session, caller.workspace_id, run_id, "Test run not found")
    try:
        cancelled = cancel(database, caller, job)
    except IllegalMove as refusal:
        raise Problem(400, f"Cannot cancel test with status: {refusal.status}") from None
    return {
        "success": True,
        "message": "Test run cancelled",
        "test_run_id": job.id,
        "status": status_in_words(cancelled),
    }


@router.post("/archive", **_WORDS)
def archive_tests(caller: Tester, database: DatabaseDep, body: TestRunsBody = None) -> Open:
    """All of them, or none."""
    return _count("archived", put_away(database, caller, _ids(body), away=True))


@router.patch("/archive", **_WORDS)
def restore_tests(caller: Tester, database: DatabaseDep, body: TestRunsBody = None) -> Open:
    """All of them, or none."""
    return _count("restored", put_away(database, caller, _ids(body), away=False))


@router.delete("/archive", **_WORDS)
def delete_all(caller: Tester, database: DatabaseDep, body: TestRunsBody = None) -> Open:
    """All of them, or none; only tests that have ended."""
    return _count("deleted", delete_tests(database, caller, _ids(body)))


def _ids(body: Any) -> list[str]:
    given = object_in(body)
    if not isinstance(given.get("testRunIds"), list) or not given["testRunIds"]:
        raise Problem(400, "Missing or invalid testRunIds array")
    return list(dict.fromkeys(shape_of(PlatformTestRuns, given).testRunIds))


def _count(done: str, runs: list[Run]) -> Open:
    return {"success": True, f"{done}Count": len(runs), f"{done}Ids": [job.id for job, _ in runs]}
