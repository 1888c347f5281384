"""The API being away costs a training run nothing: neither the run nor a single point."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deployments.local_stack import Stack, restart
from tests.deployed import finished, job_of, start, trainers, until

STEPS = 1500
AWAY = 6.0  # seconds


def test_a_server_that_is_killed_while_a_job_trains_loses_no_point(
    stack: Stack, tiny_model: Path, tmp_path: Path
) -> None:
    run_id = _start_training(stack, tiny_model, tmp_path)
    with _api_killed(stack):
        time.sleep(AWAY)
    _demand_every_point(stack, run_id)


@pytest.mark.slow
def test_a_server_that_comes_back_after_the_trainer_has_ended_gets_every_point(
    stack: Stack, tiny_model: Path, tmp_path: Path
) -> None:
    run_id = _start_training(stack, tiny_model, tmp_path)
    job = job_of(stack, run_id)
    with _api_killed(stack):
        until(lambda: not trainers(job), 200)
        time.sleep(AWAY)
    _demand_every_point(stack, run_id)


def _start_training(stack: Stack, tiny_model: Path, folder: Path) -> str:
    rows = folder / "rows.jsonl"
    rows.write_text(
        "".join(json.dumps({"prompt": f"Say {n}", "completion": str(n)}) + "\n" for n in range(64))
    )
    config = {
        "model": str(tiny_model),
        "dataset": str(rows),
        "max_steps": STEPS,
        "epochs": 1000,
        "batch_size": 2,
    }
    run_id = start(stack, "finetune/gpu", {"config": config})
    until(lambda: job_of(stack, run_id).status == "running")
    return run_id


@contextmanager
def _api_killed(stack: Stack) -> Iterator[None]:
    """SIGKILL; afterwards the same server on the same port."""
    [dead] = [server for server in stack.servers if server.name == "api"]
    dead.process.kill()
    dead.process.wait()
    yield
    restart(stack, "api")


def _demand_every_point(stack: Stack, run_id: str) -> None:
    job = finished(stack, run_id)
    assert (job.status, job.error, job.current_step) == ("completed", None, STEPS)
    with stack.client() as client:
        steps = [point.step for point in client.metrics.iter(job.id)]
    assert steps == [1, *range(10, STEPS + 1, 10)]
