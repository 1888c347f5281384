"""A batch test's report: made by its own flow, kept, shown by Prefect, and compared where the config says with what."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack import Stack
from tests.deployed import artifacts, finished, start
from tuneyard.shapes import Job, NewArtifact

PROMPTS = 8


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "eight.jsonl"
    rows = [{"prompt": f"Say {n}", "expected": str(n), "tags": ["numbers"]} for n in range(PROMPTS)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def answered(stack: Stack, suite: Path, model: str, **more: Any) -> tuple[str, Job]:
    config = {"model": model, "suite": str(suite), "max_new_tokens": 4, "batch_size": 8} | more
    run_id = start(stack, "batch-test/gpu", {"config": config})
    job = finished(stack, run_id)
    assert (job.status, job.error) == ("completed", None)
    return run_id, job


def test_a_fine_tune_without_effect_is_told_in_result_page_and_prefect(
    stack: Stack, suite: Path, tiny_model: Path, tmp_path: Path
) -> None:
    run_id, base = answered(stack, suite, str(tiny_model))
    assert base.result.keys() >= {"score", "score_low", "score_high", "report_artifact_id"}
    assert "verdict" not in base.result
    assert "answered" in artifacts(stack, run_id)["batch-test-report"]["data"]
    with stack.client("admin") as client:
        unchanged = client.artifacts.create(
            NewArtifact(
                name="unchanged",
                uri=str(tiny_model),
                size_bytes=1,
                sha256="a" * 64,
                base_model=str(tiny_model),
            )
        )
    run_id, job = answered(stack, suite, f"artifact:{unchanged.id}", compare_with=base.id)
    assert (job.result["verdict"], job.result["no_effect"]) == ("same", True)
    assert "NO EFFECT" in artifacts(stack, run_id)["batch-test-report"]["data"]
    with stack.client() as client:
        report = client.artifacts.get(job.result["report_artifact_id"])
        assert (report.kind, report.parent_id, report.job_id) == ("report", unchanged.id, job.id)
        kept = client.artifacts.download(report.id, tmp_path / "kept")
        assert (kept / "report.html").read_text(encoding="utf-8") == client.tests.report(job.id, base.id)
        assert client.tests.summary(job.id).overall.prompts == PROMPTS


@pytest.mark.slow
def test_what_cannot_be_compared_costs_no_answer(stack: Stack, suite: Path, tiny_model: Path) -> None:
    _, job = answered(stack, suite, str(tiny_model), compare_with="nowhere")
    assert "Batch test not found" in job.result["not_compared"]
    assert job.result["report_artifact_id"]
