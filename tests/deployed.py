"""Starting deployments as a person does, with Prefect's CLI, and waiting for what comes of it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import httpx
import psutil

from deployments.local_stack import REPOSITORY, Stack
from tuneyard.shapes import Job

FINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def prefect(stack: Stack, *words: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """One call of Prefect's CLI against the stack."""
    return subprocess.run(
        [sys.executable, "-m", "prefect", *words],
        env=stack.environment,
        cwd=REPOSITORY,
        input=given,
        capture_output=True,
        text=True,
    )


def start(stack: Stack, deployment: str, parameters: dict[str, Any]) -> str:
    """The id of the new flow run."""
    done = prefect(stack, "deployment", "run", deployment, "--params", "-", given=json.dumps(parameters))
    found = re.search(r"UUID: ([0-9a-f-]{36})", done.stdout)
    assert found, done.stdout + done.stderr
    return found[1]


def until(ready: Callable[[], Any], seconds: float = 120) -> Any:
    """What `ready` gives once it gives something true."""
    deadline = time.monotonic() + seconds
    while not (value := ready()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.5)
    return value


def flow_run(stack: Stack, run_id: str) -> dict[str, Any]:
    run: dict[str, Any] = httpx.get(f"{stack.prefect_url}/flow_runs/{run_id}", timeout=30).json()
    return run


def ended(stack: Stack, run_id: str, seconds: float = 120) -> dict[str, Any]:
    """The flow run, once Prefect shows it in a final state."""

    def look() -> dict[str, Any] | None:
        run = flow_run(stack, run_id)
        return run if run["state_type"] in FINAL else None

    found: dict[str, Any] = until(look, seconds)
    return found


def job_of(stack: Stack, run_id: str) -> Job:
    """The one job that a flow run recorded, once it has."""
    with stack.client() as client:
        jobs: list[Job] = until(lambda: client.jobs.list(flow_run_id=run_id).items)
    assert len(jobs) == 1
    return jobs[0]


def runs_of(stack: Stack, job_id: str) -> list[dict[str, Any]]:
    """Every flow run of a job."""
    body = {"flow_runs": {"tags": {"all_": [f"job:{job_id}"]}}}
    found: list[dict[str, Any]] = httpx.post(
        f"{stack.prefect_url}/flow_runs/filter", json=body, timeout=30
    ).json()
    return found


def finished(stack: Stack, run_id: str, seconds: float = 120) -> Job:
    """The job of a flow run that has ended."""
    ended(stack, run_id, seconds)
    return job_of(stack, run_id)


def artifacts(stack: Stack, run_id: str) -> dict[str, dict[str, Any]]:
    """Prefect's artifacts of a flow run, by key."""
    body = {"artifacts": {"flow_run_id": {"any_": [run_id]}}}
    found = httpx.post(f"{stack.prefect_url}/artifacts/filter", json=body, timeout=30).json()
    return {artifact["key"]: artifact for artifact in found}


def whole_log(stack: Stack, run_id: str) -> str:
    """Everything that Prefect logged of a run that has ended; the last of it comes after the run's final state."""
    body = {"logs": {"flow_run_id": {"any_": [run_id]}}, "sort": "TIMESTAMP_ASC"}

    def look() -> str | None:
        found = httpx.post(f"{stack.prefect_url}/logs/filter", json=body, timeout=30).json()
        ends = [
            e
            for e in found
            if e["name"] == "prefect.flow_runs" and e["message"].startswith("Finished in state")
        ]
        return "\n".join(entry["message"] for entry in found) if ends else None

    said: str = until(look)
    return said


def trainers(job: Job) -> list[psutil.Process]:
    """The living child processes that work on a job: its id is in the folder they were given."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(job.id in word for word in process.cmdline()):
                found.append(process)
        except psutil.Error:
            continue
    return found
