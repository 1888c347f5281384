"""A fine-tune that answers a suite on its way, started as a person does: its answers and scores are in the record."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.local_stack import Stack
from flows.suites import refuse_parted
from tests.deployed import finished, start
from tests.training_fixtures import write_rows
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput


@pytest.fixture
def config(tiny_model: Path, tmp_path: Path) -> dict[str, Any]:
    suite = tmp_path / "asked.yaml"
    suite.write_text("- prompt: a\n  expected: b\n- prompt: c\n  scorer: {kind: regex, pattern: '^'}\n")
    tests = {"suite": str(suite), "every_steps": 5, "max_new_tokens": 4}
    rows = str(write_rows(tmp_path / "rows.jsonl"))
    return {"model": str(tiny_model), "dataset": rows, "batch_size": 2, "tests": tests}


def test_a_fine_tune_s_answers_and_scores_are_kept_by_step(stack: Stack, config: dict[str, Any]) -> None:
    job = finished(stack, start(stack, "finetune/gpu", {"config": config}))
    assert (job.status, job.error) == ("completed", None)
    with stack.client() as client:
        answers = client.jobs.predictions(job.id).items
        scores = {point.step: point.extra.get("test_score") for point in client.metrics.iter(job.id)}
        [suite] = client.suites.list(name="asked").items
    assert [(one.step, one.prompt_index) for one in answers] == [
        (step, index) for step in (5, 10, 12) for index in (0, 1)
    ]
    assert {step for step, score in scores.items() if score is not None} == {5, 10, 12}
    assert all(one.passed for one in answers if one.prompt_index == 1)
    assert suite.prompt_count == 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"scorers": [{"kind": "judge", "endpoint": "e"}]}, "tests.scorers.0"),
        pytest.param({"scorers": [{"kind": "choice"}]}, "tests.prompts.0.choices", marks=pytest.mark.slow),
        pytest.param({"suite": "no-such-suite"}, "no-such-suite", marks=pytest.mark.slow),
    ],
)
def test_tests_that_cannot_be_are_refused_by_field(
    stack: Stack, config: dict[str, Any], change: dict[str, Any], said: str
) -> None:
    asked = config | {"tests": config["tests"] | change}
    job = finished(stack, start(stack, "finetune/gpu", {"config": asked}))
    assert job.status == "failed"
    assert said in json.dumps(job.error)


def test_a_model_in_parts_answers_nothing(config: dict[str, Any]) -> None:
    refuse_parted(FinetuneConfig(**config))
    with pytest.raises(BadInput, match="tests: with distributed: fsdp"):
        refuse_parted(FinetuneConfig(**config, distributed="fsdp", gpus=2))
