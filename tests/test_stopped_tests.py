"""A batch test on the real stack that is stopped: its generator is gone, its answers are kept, and it goes on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.local_stack import REPOSITORY, Stack
from tests.deployed import ended, trainers, until
from tuneyard.batch_shapes import BatchTest
from tuneyard.shapes import Job

PROMPTS = 120


def tuneyard(stack: Stack, *words: str) -> subprocess.CompletedProcess[str]:
    """The command, as somebody types it who holds the stack's key."""
    given = stack.environment | {"TUNEYARD_API_URL": stack.api_url, "TUNEYARD_API_KEY": stack.key("user")}
    command = [sys.executable, "-m", "tuneyard.cli", *words]
    return subprocess.run(command, env=given, cwd=REPOSITORY, capture_output=True, text=True, timeout=120)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_cancelled_test_keeps_its_answers_and_asks_for_no_answer_twice(
    stack: Stack, tiny_model: Path, tmp_path: Path
) -> None:
    suite = tmp_path / "suite.jsonl"
    suite.write_text(
        "".join(json.dumps({"prompt": f"Say {n}", "expected": "x"}) + "\n" for n in range(PROMPTS))
    )
    uploaded = tuneyard(stack, "datasets", "upload", str(suite), "--json")
    assert uploaded.returncode == 0, uploaded.stderr
    named = f"dataset:{json.loads(uploaded.stdout)['id']}"
    slow = ["--set", "batch_size=1", "--set", "max_new_tokens=200", "--json"]
    made = tuneyard(stack, "test", "--model", str(tiny_model), "--suite", named, *slow)
    assert made.returncode == 0, made.stderr
    test = BatchTest.model_validate_json(made.stdout)
    with stack.client() as client:

        def job() -> Job:
            return client.jobs.get(test.id)

        until(lambda: client.tests.get(test.id).completed_prompts >= 3)
        running = job()
        assert trainers(running)
        cancelled = tuneyard(stack, "jobs", "cancel", test.id, "--wait")
        assert cancelled.stdout == f"{test.id}  cancelled\n", cancelled.stderr
        assert ended(stack, str(running.flow_run_id))["state_type"] == "CANCELLED"
        until(lambda: not trainers(running), 10)
        kept = {one.prompt_index: one.id for one in client.tests.iter_predictions(test.id)}
        answered = [json.loads(line)["prompt_index"] for line in answers_of(stack, running)]
        assert 3 <= len(kept) < PROMPTS
        assert sorted(kept) == sorted(answered)  # also what came between the last look and the end
        assert client.jobs.resume(test.id).status == "pending"
        assert tuneyard(stack, "tests", "watch", test.id).returncode == 0
        done = client.tests.get(test.id)
        assert done.suite_id is not None
        assert client.suites.get(done.suite_id).prompt_count == PROMPTS
        assert (done.completed_prompts + done.failed_prompts, job().attempt) == (PROMPTS, 2)
        asked = [json.loads(line)["prompt_index"] for line in answers_of(stack, running)]
        assert (asked[: len(answered)], sorted(asked)) == (answered, list(range(PROMPTS)))


def answers_of(stack: Stack, job: Job) -> list[str]:
    return (stack.home / "jobs" / job.id / "answers.jsonl").read_text().splitlines()
