"""The main job end to end: real Prefect server, worker and API, a tiny model, real files."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from deployments.local_stack import REPOSITORY, Stack
from tests.deployed import artifacts, ended, finished, job_of, prefect, start, whole_log
from tuneyard.shapes import Job, NewApiKey

ROWS = 40
PROMPTS = 12


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "rows.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"Say {n}", "completion": str(n)}) + "\n" for n in range(ROWS))
    )
    return path


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "suite.jsonl"
    path.write_text(
        "".join(
            json.dumps({"prompt": f"Say {n}", "expected": str(n)}) + "\n" for n in range(100, 100 + PROMPTS)
        )
    )
    return path


@pytest.fixture(scope="module")
def config(tiny_model: Path, rows: Path) -> dict[str, Any]:
    return {
        "model": str(tiny_model),
        "dataset": str(rows),
        "batch_size": 4,
        "epochs": 3,
        "report_every": 5,
        "checkpoint_every": 10,
    }


@pytest.fixture(scope="module")
def tuned(stack: Stack, config: dict[str, Any]) -> tuple[str, Job]:
    """A fine-tune that has run: its flow run's id and its job."""
    run_id = start(stack, "finetune/gpu", {"config": config})
    return run_id, finished(stack, run_id)


def test_a_deployed_fine_tune_completes_and_says_so_in_both_places(
    stack: Stack, tuned: tuple[str, Job]
) -> None:
    run_id, job = tuned
    assert (job.status, job.error, job.progress) == ("completed", None, 100.0)
    run = ended(stack, run_id)
    assert run["state_type"] == "COMPLETED"
    assert job.id in run["state"]["message"]
    assert job.attempt == 1
    assert job.started_at
    assert job.ended_at
    assert job.created_at <= job.started_at <= job.ended_at


def test_every_reported_step_is_in_the_record_once(stack: Stack, tuned: tuple[str, Job]) -> None:
    _, job = tuned
    with stack.client() as client:
        points = list(client.metrics.iter(job.id))
    steps = [point.step for point in points]
    assert steps == sorted(set(steps))
    assert steps[-1] == job.current_step == job.total_steps == 30
    assert {5, 10, 15, 20, 25, 30} <= set(steps)
    assert all(point.train_loss and point.learning_rate is not None and point.grad_norm for point in points)
    assert points[-1].train_loss < points[0].train_loss
    assert all(point.tokens_per_second for point in points[1:])


def test_the_model_it_made_is_kept_with_its_lineage(
    stack: Stack, tuned: tuple[str, Job], config: dict[str, Any]
) -> None:
    _, job = tuned
    with stack.client() as client:
        artifact = client.artifacts.get(job.result["artifact_id"])
    assert (artifact.job_id, artifact.base_model) == (job.id, config["model"])
    assert artifact.sha256
    folder = Path(artifact.uri)
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= {file.name for file in folder.iterdir()}
    assert artifact.size_bytes == sum(file.stat().st_size for file in folder.iterdir())


def test_prefect_shows_progress_a_loss_chart_and_a_summary(stack: Stack, tuned: tuple[str, Job]) -> None:
    shown = artifacts(stack, tuned[0])
    assert shown["finetune-progress"]["data"] == 100.0
    head, _, picture = shown["finetune-loss"]["data"].partition(",")
    assert head == "data:image/svg+xml;base64"
    assert b"<svg" in base64.b64decode(picture)
    assert f"artifact:{tuned[1].result['artifact_id']}" in shown["finetune-summary"]["data"]


def test_the_trainer_s_words_are_in_prefect_s_log(stack: Stack, tuned: tuple[str, Job]) -> None:
    said = whole_log(stack, tuned[0])
    assert "40 rows" in said
    assert "loss" in said


def test_seed_000_s_three_reads_answer_with_real_values(stack: Stack, tuned: tuple[str, Job]) -> None:
    _, job = tuned
    with httpx.Client(base_url=stack.api_url, headers={"X-API-Key": stack.key("user")}) as sdk_user:
        listed = sdk_user.get("/api/training/local/jobs").raise_for_status().json()
        assert job.id in [entry["id"] for entry in listed["jobs"]]
        status = sdk_user.get(f"/api/training/local/{job.id}/status").raise_for_status().json()
        assert (status["status"], status["progress"], status["current_step"]) == ("completed", 100, 30)
        assert status["loss"] == pytest.approx(job.loss)
        query = {"job_id": job.id, "limit": 3}
        metrics = sdk_user.get("/api/training/local/metrics", params=query).raise_for_status().json()
        assert len(metrics["metrics"]) == 3 < metrics["total"]


def test_without_a_key_401_and_without_the_scope_403(stack: Stack, tuned: tuple[str, Job]) -> None:
    _, job = tuned
    with stack.client("admin") as admin:
        other = admin.keys.create(NewApiKey(name="prod only", scopes=["production"])).key
    for path in (
        "/api/training/local/jobs",
        f"/api/training/local/{job.id}/status",
        f"/api/training/local/metrics?job_id={job.id}",
    ):
        assert httpx.get(stack.api_url + path).status_code == 401
        refused = httpx.get(stack.api_url + path, headers={"X-API-Key": other})
        assert refused.status_code == 403
        assert "'training'" in refused.json()["error"]


@pytest.fixture(scope="module")
def tested(stack: Stack, tuned: tuple[str, Job], suite: Path) -> tuple[str, Job]:
    """A batch test of the tuned model that has run."""
    model = f"artifact:{tuned[1].result['artifact_id']}"
    config = {"model": model, "suite": str(suite), "max_new_tokens": 4, "batch_size": 5}
    run_id = start(stack, "batch-test/gpu", {"config": config})
    return run_id, finished(stack, run_id)


def test_a_batch_test_answers_every_prompt_once(stack: Stack, tested: tuple[str, Job]) -> None:
    _, job = tested
    assert (job.status, job.error) == ("completed", None)
    with stack.client() as client:
        test = client.tests.get(job.id)
        predictions = list(client.tests.iter_predictions(job.id))
    assert (test.total_prompts, test.completed_prompts, test.failed_prompts) == (PROMPTS, PROMPTS, 0)
    assert [p.prompt_index for p in predictions] == list(range(PROMPTS))
    assert all(p.response is not None and p.output_tokens and p.latency_ms for p in predictions)
    assert test.passed_prompts == sum(1 for p in predictions if p.passed)


def test_seed_000_s_batch_status_answers_with_real_values(stack: Stack, tested: tuple[str, Job]) -> None:
    _, job = tested
    answer = httpx.get(
        f"{stack.api_url}/api/batch-testing/status/{job.id}", headers={"X-API-Key": stack.key("user")}
    )
    status = answer.raise_for_status().json()
    assert (status["status"], status["completed_prompts"], status["progress"]) == ("completed", PROMPTS, 1.0)
    assert len(status["results"]) == PROMPTS


def test_metric_collection_reads_this_host(stack: Stack) -> None:
    run = ended(
        stack,
        start(
            stack, "collect-metrics/gpu", {"config": {"readings": 2, "interval_seconds": 0.1, "relay": True}}
        ),
    )
    assert run["state_type"] == "COMPLETED", run["state"]
    with stack.client() as client:
        hosts = client.gpus.list()
    assert hosts
    assert hosts[0].memory_total_gb
    assert hosts[0].gpus or hosts[0].no_gpu


def test_a_host_can_have_its_cards_read_by_a_schedule_of_its_own(stack: Stack) -> None:
    words = [sys.executable, "-m", "deployments", "host", "--name", "gpu-7"]
    for _ in range(2):
        done = subprocess.run(
            words, env=stack.environment, cwd=REPOSITORY, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith(
        "--work-queue jobs --work-queue pipelines --work-queue monitoring --work-queue host-gpu-7\n"
    )
    own, general = (
        httpx.get(f"{stack.prefect_url}/deployments/name/collect-metrics/{name}").json()
        for name in ("gpu-7", "gpu")
    )
    assert own["work_queue_name"] == "host-gpu-7"
    assert [one["parameters"]["config"]["relay"] for one in own["schedules"]] == [True]
    for same in ("entrypoint", "pull_steps", "parameter_openapi_schema"):
        assert own[same] == general[same]


def test_setting_the_deployments_up_again_is_safe(stack: Stack) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deployments"],
        env=stack.environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "in the block 'tuneyard'" in done.stdout
    listed = prefect(stack, "deployment", "ls").stdout
    assert listed.count("finetune/gpu") == 1


def test_the_nightly_fine_tune_is_there_and_switched_off(stack: Stack) -> None:
    found = httpx.get(f"{stack.prefect_url}/deployments/name/finetune/gpu").json()
    assert [(s["slug"], s["active"]) for s in found["schedules"]] == [("nightly", False)]
    found = httpx.get(f"{stack.prefect_url}/deployments/name/collect-metrics/gpu").json()
    assert [s["active"] for s in found["schedules"]] == [True]


def test_a_second_job_for_the_same_run_is_never_recorded(stack: Stack, tuned: tuple[str, Job]) -> None:
    assert job_of(stack, tuned[0]).id == tuned[1].id
