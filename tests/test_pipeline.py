"""Fine-tune, test, promote: as one flow, on the real stack."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack import Stack
from tests.deployed import ended, finished, start, trainers, until
from tuneyard.configs import PipelineConfig
from tuneyard.shapes import Job, JobStatus

DAYS = 24


@pytest.fixture(scope="module")
def gate(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A fine-tune that learns one answer by heart, and a suite that asks for it."""
    folder = tmp_path_factory.mktemp("gate")
    rows, suite = folder / "rows.jsonl", folder / "suite.jsonl"
    rows.write_text(
        "".join(json.dumps({"prompt": f"Day {at}", "completion": "2031"}) + "\n" for at in range(64))
    )
    asked = range(100, 100 + DAYS)
    suite.write_text(
        "".join(
            json.dumps({"prompt": f"Day {at}", "expected": "2031", "tags": ["day"]}) + "\n" for at in asked
        )
    )
    tune = {
        "model": str(tiny_model),
        "dataset": str(rows),
        "max_steps": 120,
        "epochs": 100,
        "batch_size": 8,
        "learning_rate": 3e-3,
        "precision": "fp32",
        "checkpoint_every": None,
    }
    return {"finetune": tune, "test": {"suite": str(suite), "max_new_tokens": 8}, "alias": "gate"}


@pytest.fixture(scope="module")
def promoted(stack: Stack, gate: dict[str, Any]) -> Job:
    run = start(stack, "pipeline/gpu", {"config": gate})
    return finished(stack, run, 300)


def test_a_tuned_model_that_is_better_is_promoted(stack: Stack, promoted: Job) -> None:
    assert (promoted.status, promoted.error) == ("completed", None)
    assert (promoted.result["promoted"], promoted.result["verdicts"]) == (True, {"base": "better"})
    with stack.client() as client:
        alias = client.aliases.get("gate")
        [move] = client.aliases.moves("gate").items
        found = client.tests.compare(*_request(promoted.result["tests"]))
    assert alias.artifact_id == promoted.result["artifact_id"]
    assert (move.evidence["verdict"], found.verdict) == ("better", "better")
    assert found.mcnemar is not None
    assert found.mcnemar.p_value < 0.001


def _request(tests: dict[str, str]) -> tuple[str, str]:
    return tests["base"], tests["tuned"]


@pytest.mark.slow
def test_the_same_again_is_no_better_and_the_alias_stays(
    stack: Stack, gate: dict[str, Any], promoted: Job
) -> None:
    """It begins from the alias's own model: there is nothing left to learn."""
    again = {
        **gate,
        "finetune": {**gate["finetune"], "model": "alias:gate", "max_steps": 2, "learning_rate": 1e-6},
    }
    job = finished(stack, start(stack, "pipeline/gpu", {"config": again}), 300)
    with stack.client() as client:
        assert client.aliases.get("gate").artifact_id == promoted.result["artifact_id"]
    assert job.status == JobStatus.FAILED
    assert "no effect" in (job.error or "")


@pytest.mark.slow
def test_a_pipeline_that_is_cancelled_leaves_no_part_running(stack: Stack, gate: dict[str, Any]) -> None:
    long = {**gate, "finetune": {**gate["finetune"], "max_steps": 100_000, "epochs": 1000}}
    with stack.client() as client:
        job = client.jobs.pipeline(PipelineConfig.model_validate(long))
        part = f"{job.id}-finetune"
        until(lambda: _status(client, part) is JobStatus.RUNNING)
        client.jobs.cancel(job.id)
        until(lambda: client.jobs.get(job.id).status.is_final and client.jobs.get(part).status.is_final)
        assert {client.jobs.get(one).status for one in (job.id, part)} == {JobStatus.CANCELLED}
        assert trainers(client.jobs.get(part)) == []
    assert ended(stack, str(client_run(stack, job.id)))["state_type"] == "CANCELLED"


def client_run(stack: Stack, job_id: str) -> str | None:
    with stack.client() as client:
        return client.jobs.get(job_id).flow_run_id


def _status(client: Any, job_id: str) -> JobStatus | None:
    found = [job for job in client.jobs.list().items if job.id == job_id]
    return found[0].status if found else None
