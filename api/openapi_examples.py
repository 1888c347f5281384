"""What /openapi.json shows of the main shapes, as one story: rows, a fine-tune, its metrics, its model, its test."""

from datetime import UTC, datetime
from typing import Any

from pydantic import BaseModel

from tuneyard.batch_configs import BatchTestConfig, PredictConfig
from tuneyard.batch_shapes import (
    BatchTest,
    CompareRequest,
    ModelAlias,
    NewSuite,
    Promotion,
    Prompt,
    Suite,
    TestRequest,
)
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import (
    ApiKey,
    Artifact,
    Claim,
    CreatedApiKey,
    Dataset,
    Diagnostic,
    Gpu,
    GpuHost,
    Health,
    Job,
    JobEnd,
    Login,
    MetricBatch,
    MetricPoint,
    MetricRow,
    NewApiKey,
    NewJob,
    Page,
    PredictRequest,
    Problem,
    Reported,
    TrainRequest,
    ValidateRequest,
    Validation,
)

JOB, TEST, BASELINE, MODEL, SUITE, ROWS = (
    f"01KA8Z3Q5V7N9R1T3W5Y7B9D{end}" for end in ("1J", "2T", "3B", "4M", "5S", "6R")
)
KEY = "4pQ8sT2vX6zB"
BASE = "HuggingFaceTB/SmolLM2-135M-Instruct"
SHA = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
MORNING, NOON = datetime(2026, 11, 21, 9, tzinfo=UTC), datetime(2026, 11, 21, 12, tzinfo=UTC)
TUNE: dict[str, Any] = {"name": "dates", "model": BASE, "dataset": "examples/dates/train.jsonl", "epochs": 1}
ASK: dict[str, Any] = {
    "name": "dates",
    "model": BASE,
    "suite": "examples/dates/suite.jsonl",
    "max_new_tokens": 16,
}

_job = Job(
    id=JOB,
    kind="finetune",
    name="dates",
    status="running",
    stage="training",
    model=BASE,
    dataset=TUNE["dataset"],
    config=TUNE,
    attempt=1,
    host="gpu-1",
    current_step=20,
    total_steps=50,
    progress=40.0,
    loss=0.1204,
    created_at=MORNING,
    claimed_at=MORNING,
    started_at=MORNING,
    last_report_at=NOON,
    artifact_id=MODEL,
)
_test = BatchTest(
    id=TEST,
    name="dates",
    status="completed",
    model=f"artifact:{MODEL}",
    suite=SUITE,
    suite_id=SUITE,
    total_prompts=50,
    completed_prompts=50,
    passed_prompts=49,
    score=0.98,
    created_at=MORNING,
    started_at=MORNING,
    ended_at=NOON,
)
_key = ApiKey(
    id=KEY,
    key_prefix=KEY,
    name="notebook",
    permissions=["jobs:read", "jobs:write"],
    scopes=["training"],
    is_active=True,
    is_expired=False,
    is_valid=True,
    created_at=MORNING,
    updated_at=MORNING,
    expires_at=datetime(2027, 2, 19, 9, tzinfo=UTC),
)
_model = Artifact(
    id=MODEL,
    kind="model",
    name="dates",
    uri=f"/var/lib/tuneyard/artifacts/{JOB}/model",
    sha256=SHA,
    size_bytes=269_060_552,
    base_model=BASE,
    job_id=JOB,
    created_at=NOON,
)
_card = Gpu(
    uuid="GPU-8c5a3b1d-0f2e-4a6b-9c8d-7e6f5a4b3c2d",
    index=0,
    name="NVIDIA H200",
    taken_at=NOON,
    jobs=[JOB],
    utilization_percent=97.0,
)
_question = Prompt(prompt="Write as an ISO date: March 5th, 2031", expected="2031-03-05", tags=["long"])

# A request shows what one would send, an answer all that it holds.
ASKED: tuple[BaseModel, ...] = (
    NewJob(model="my-model", name="from a script of my own"),
    Claim(host="gpu-1", pid=4711),
    JobEnd(status="completed", result={"final_loss": 0.0031}),
    MetricPoint(step=20, train_loss=0.1204, learning_rate=6e-5, extra={"reward": 0.7}),
    MetricBatch(metrics=[MetricPoint(step=10, train_loss=0.6258), MetricPoint(step=20, train_loss=0.1204)]),
    TrainRequest(config=FinetuneConfig(**TUNE)),
    TestRequest(config=BatchTestConfig(**ASK)),
    ValidateRequest(config=TUNE),
    PredictRequest(config=PredictConfig(model=BASE, prompts=["Write as an ISO date: March 5th, 2031"])),
    NewSuite(name="dates", prompts=[_question]),
    CompareRequest(baseline=BASELINE, candidate=TEST),
    Promotion(artifact_id=MODEL, baseline=BASELINE, candidate=TEST, reason="dates are right now"),
    NewApiKey(name="notebook", scopes=["training"], expires_in_days=90),
    Login(name="ada", password="a pass phrase of her own"),
)
ANSWERED: tuple[BaseModel, ...] = (
    _job,
    Page[Job](items=[_job], total=1, limit=50, offset=0),
    Reported(count=2, job_status="running"),
    MetricRow(attempt=1, step=20, train_loss=0.1204, learning_rate=6e-5, timestamp=NOON),
    Validation(
        valid=True,
        diagnostics=[Diagnostic(severity="warning", code="duplicates", message="3 rows are copies")],
    ),
    _test,
    Suite(id=SUITE, name="dates", sha256=SHA, prompt_count=1, prompts=[_question], created_at=MORNING),
    Dataset(
        id=ROWS,
        name="dates",
        uri=f"dataset:{ROWS}",
        sha256=SHA,
        rows=400,
        file_name="train.jsonl",
        size_bytes=51_200,
        created_at=MORNING,
    ),
    _model,
    ModelAlias(name="production", artifact_id=MODEL, updated_at=NOON),
    GpuHost(host="gpu-1", taken_at=NOON, interval_seconds=10.0, driver_version="580.65.06", gpus=[_card]),
    _key,
    CreatedApiKey(**_key.model_dump(), key=f"wak_{KEY}_… (shown once)"),
    Health(status="healthy", checks={"database": "healthy"}),
    Problem(
        type="urn:tuneyard:error:not-found",
        title="Not Found",
        status=404,
        detail="Job not found",
        instance=f"/api/v1/jobs/{JOB}",
        request_id="01KA8ZB2M4P6S8T0W2Y4A6C8E0",
        error="Job not found",
    ),
)


def add_examples(schemas: dict[str, Any]) -> None:
    """Give each shape of the story its example; a shape that is asked for and answered in two forms, both."""
    shown = [(one, one.model_dump(mode="json", exclude_unset=True)) for one in ASKED]
    shown += [(one, one.model_dump(mode="json")) for one in ANSWERED]
    for shape, example in shown:
        name = type(shape).__name__.replace("[", "_").replace("]", "_")
        for form in {name, f"{name}-Input", f"{name}-Output"} & set(schemas):
            schemas[form]["examples"] = [example]
