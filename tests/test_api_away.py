"""The API being away costs a training run nothing: neither the run nor a single point."""

from __future__ import annotations

import json
import time
from pathlib import Path

from deployments.local_stack import REPOSITORY, Stack
from deployments.processes import Server
from tests.deployed import finished, job_of, start, until

STEPS = 1500
AWAY = 6.0  # seconds


def test_a_server_that_is_killed_while_a_job_trains_loses_no_point(
    stack: Stack, tiny_model: Path, tmp_path: Path
) -> None:
    rows = tmp_path / "rows.jsonl"
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
    _kill_and_restart_api(stack)
    job = finished(stack, run_id)
    assert (job.status, job.error, job.current_step) == ("completed", None, STEPS)
    with stack.client() as client:
        steps = [point.step for point in client.metrics.iter(job.id)]
    assert steps == [1, *range(10, STEPS + 1, 10)]


def _kill_and_restart_api(stack: Stack) -> None:
    """SIGKILL, a while of nothing, and the same server on the same port."""
    [dead] = [server for server in stack.servers if server.name == "api"]
    dead.process.kill()
    dead.process.wait()
    time.sleep(AWAY)
    command = list(dead.process.args)  # type: ignore[arg-type]
    stack.servers[stack.servers.index(dead)] = Server("api", command, stack.environment, dead.log, REPOSITORY)
    with stack.client() as client:
        until(lambda: client.health().status == "healthy")
