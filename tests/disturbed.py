"""A fine-tune on the stack that tests disturb, and what it has to come to all the same."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from deployments.local_stack import Stack
from tests.deployed import FINAL, runs_of, trainers, until
from tuneyard.shapes import Job

STEPS = 600


@dataclass(frozen=True)
class Outcome:
    """What must not hang on any disturbance: every reported step once, its loss, and the weights' digest."""

    steps: list[int]
    losses: list[float | None]
    weights: str


@pytest.fixture(scope="session")
def short_config(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A fine-tune of some seconds with a checkpoint every half second or so."""
    rows = tmp_path_factory.mktemp("data") / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"prompt": f"Say {n}", "completion": str(n)}) + "\n" for n in range(64))
    )
    return {
        "model": str(tiny_model),
        "dataset": str(rows),
        "max_steps": STEPS,
        "epochs": 1000,
        "batch_size": 2,
        "checkpoint_every": 50,
        "precision": "fp32",
        "max_restarts": 50,
    }


@pytest.fixture(scope="session")
def unbroken(stack: Stack, short_config: dict[str, Any]) -> Outcome:
    """What a run comes to that nobody disturbs."""
    job = completed(stack, train(stack, short_config))
    assert (job.attempt, job.restarts) == (1, 0)
    return outcome(stack, job)


def train(stack: Stack, config: dict[str, Any]) -> str:
    """The id of a new job, started through the API."""
    answer = httpx.post(
        f"{stack.api_url}/api/v1/ml/$train",
        json={"config": config},
        headers={"X-API-Key": stack.key("user")},
        timeout=30,
    )
    return str(answer.raise_for_status().json()["id"])


def completed(stack: Stack, job_id: str, seconds: float = 200) -> Job:
    """The job once it has ended, as it should."""
    with stack.client() as client:
        job: Job = until(lambda: (job := client.jobs.get(job_id)).status.is_final and job, seconds)
    assert (job.status, job.error, job.current_step) == ("completed", None, STEPS)
    return job


def outcome(stack: Stack, job: Job) -> Outcome:
    with stack.client() as client:
        points = list(client.metrics.iter(job.id))
    return Outcome(
        [point.step for point in points],
        [point.train_loss for point in points],
        job.result["weights_sha256"],
    )


def reaches(stack: Stack, job_id: str, step: int, attempt: int = 1) -> Job:
    """The job once this attempt has reported this step, and goes on."""
    with stack.client() as client:

        def look() -> Job | None:
            job = client.jobs.get(job_id)
            assert not job.status.is_final, job.error
            is_there = job.attempt == attempt and (job.current_step or 0) >= step
            return job if is_there and trainers(job) else None

        job: Job = until(look)
    return job


def trainer_of(job: Job) -> psutil.Process:
    [trainer] = [process for process in trainers(job) if "tasks.train" in process.cmdline()]
    return trainer


def states_of_runs(stack: Stack, job: Job) -> list[tuple[str, str]]:
    """(type, name) of the last state of each of the job's runs, in order, once nothing of any is left."""
    until(lambda: not trainers(job), 10)

    def look() -> list[dict[str, Any]] | None:
        found = runs_of(stack, job.id)
        return found if found and all(run["state_type"] in FINAL for run in found) else None

    runs = sorted(until(look), key=lambda run: str(run["created"]))
    return [(run["state_type"], run["state_name"]) for run in runs]
