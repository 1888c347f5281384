"""Whatever is killed while a model answers, and whenever: each prompt has one answer, the same as undisturbed."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from deployments.local_stack import Stack
from tests.deployed import job_of, start, trainers, until
from tuneyard.shapes import Job

PROMPTS, ROUNDS = 50, 5
HANGS_ON_TIME = {"id", "latency_ms"}


@pytest.fixture(scope="module")
def test_config(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A batch test of some seconds, in many batches."""
    suite = tmp_path_factory.mktemp("suite") / "suite.jsonl"
    rows = [{"prompt": f"March {day}" + ", 2031" * (day % 5), "expected": str(day)} for day in range(PROMPTS)]
    suite.write_text("".join(json.dumps(row) + "\n" for row in rows))
    # Sampled, so that the small model goes on to the last token: what is said twice must be said alike.
    decoding = {"max_new_tokens": 180, "temperature": 2.0, "seed": 7}
    settings = {**decoding, "batch_size": 1, "max_restarts": 20}
    return {"model": str(tiny_model), "suite": str(suite), **settings}


Outcome = tuple[dict[str, Any], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def undisturbed(stack: Stack, test_config: dict[str, Any]) -> Outcome:
    return outcome(stack, completed(stack, begin(stack, test_config)))


def begin(stack: Stack, config: dict[str, Any]) -> str:
    return job_of(stack, start(stack, "batch-test/gpu", {"config": config})).id


def completed(stack: Stack, job_id: str) -> Job:
    with stack.client() as client:
        job: Job = until(lambda: (job := client.jobs.get(job_id)).status.is_final and job, 200)
    assert (job.status, job.error) == ("completed", None)
    return job


def outcome(stack: Stack, job: Job) -> Outcome:
    """What must not hang on any disturbance: the figures, and every prompt's one answer."""
    with stack.client() as client:
        test = client.tests.get(job.id)
        answers = list(client.tests.iter_predictions(job.id))
    figures = {"score": test.score, "completed": test.completed_prompts, "failed": test.failed_prompts}
    return figures, [answer.model_dump(exclude=HANGS_ON_TIME) for answer in answers]


def answered(stack: Stack, job_id: str) -> int:
    with stack.client() as client:
        return client.tests.get(job_id).completed_prompts


def kill_flow(stack: Stack, job: Job) -> None:
    with stack.client() as client:
        pid = client.jobs.get(job.id).pid
    if pid is not None and psutil.pid_exists(pid):
        psutil.Process(pid).kill()


def kill_generator(stack: Stack, job: Job) -> None:
    for process in trainers(job):
        if "tasks.generate" in process.cmdline():
            process.kill()


def demand_the_same(stack: Stack, job: Job, undisturbed: Outcome) -> None:
    figures, answers = outcome(stack, job)
    assert [answer["prompt_index"] for answer in answers] == list(range(PROMPTS))
    assert (figures, answers) == undisturbed


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_a_run_whose_generator_and_flow_are_killed_answers_each_prompt_once(
    stack: Stack, test_config: dict[str, Any], undisturbed: Outcome
) -> None:
    job_id = begin(stack, test_config)
    with stack.client() as client:
        for number, kill in enumerate((kill_generator, kill_flow)):
            until(lambda least=3 + 9 * number: answered(stack, job_id) >= least)
            assert not client.jobs.get(job_id).status.is_final
            kill(stack, client.jobs.get(job_id))
            until(lambda restarts=number + 1: client.jobs.get(job_id).restarts == restarts)
    job = completed(stack, job_id)
    assert job.restarts == 2
    demand_the_same(stack, job, undisturbed)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_five_kills_at_random_moments_change_nothing(
    stack: Stack, test_config: dict[str, Any], undisturbed: Outcome
) -> None:
    moments = random.Random(5)
    for number in range(ROUNDS):
        job_id = begin(stack, test_config)
        time.sleep(moments.uniform(0, 20))
        with stack.client() as client:
            (kill_generator, kill_flow)[number % 2](stack, client.jobs.get(job_id))
        demand_the_same(stack, completed(stack, job_id), undisturbed)
