"""`make demo`: tuneyard doing its real work on this machine, from nothing to a table.

A batch test of the base model, a fine-tune and a batch test of the result, each started as a Prefect deployment
in the way a person starts it; then the SDK reads it all back with an API key.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from typing import Any

import click
import httpx

from deployments.local_stack import REPOSITORY, Stack, running_stack, stop_on_signals
from deployments.processes import StartFailed, free_port
from tuneyard import Client
from tuneyard.batch_shapes import BatchTest
from tuneyard.home import home
from tuneyard.shapes import Job, MetricRow

DATES = REPOSITORY / "examples" / "dates"
POLL_SECONDS = 1.0
ENDED_BADLY = {"FAILED", "CRASHED", "CANCELLED"}


class DemoFailed(Exception):
    """A step did not end well; the message says which, and why."""


@click.command()
def main() -> None:
    """Batch-test, fine-tune and batch-test again a real 135-million-parameter model, on this machine."""
    stop_on_signals()
    started = time.monotonic()
    try:
        _say(f"Starting the API, Prefect and a worker in {home()} …")
        with running_stack(home(), free_port(), free_port(), poll_seconds=1.0) as stack:
            _say(f"Prefect UI {stack.ui_url}   API {stack.api_url}")
            with stack.client() as client:
                table = _play(stack, client)
        click.echo(table.format(minutes=(time.monotonic() - started) / 60))
    except (StartFailed, DemoFailed) as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        raise click.ClickException("stopped; nothing was left running") from None


def _play(stack: Stack, client: Client) -> str:
    _say("1/3  Batch test of the base model")
    before = client.tests.get(_run(stack, client, "batch-test/gpu", _parameters("batch_test.json")).id)
    _say("2/3  Fine-tune (full, one epoch of 400 rows)")
    job = _run(stack, client, "finetune/gpu", _parameters("finetune.json"))
    _say("3/3  Batch test of the tuned model")
    tuned = _parameters("batch_test.json")
    tuned["config"]["model"] = f"artifact:{job.result['artifact_id']}"
    after = client.tests.get(_run(stack, client, "batch-test/gpu", tuned).id)
    return _table(job, list(client.metrics.iter(job.id)), before, after)


def _parameters(file: str) -> dict[str, Any]:
    parameters: dict[str, Any] = json.loads((DATES / file).read_text())
    return parameters


def _run(stack: Stack, client: Client, deployment: str, parameters: dict[str, Any]) -> Job:
    """Start a deployment, follow its job to the end, and give the ended job."""
    run_id = _start(stack, deployment, parameters)
    job_id = _job_of(stack, client, run_id)
    try:
        job = _followed(client, job_id)
    except KeyboardInterrupt:
        client.jobs.cancel(
            job_id
        )  # nobody waits for it any more, and the next `make up` must not go on with it
        raise
    if job.status != "completed":
        raise DemoFailed(f"{deployment}: job {job.id} {job.status}: {job.error}\nLogs: {stack.home / 'logs'}")
    return job


def _followed(client: Client, job_id: str) -> Job:
    said = ""
    for job in client.jobs.watch(job_id, every=POLL_SECONDS):
        if (line := _line(job)) != said:
            _say(f"     {line}")
            said = line
    return job


def _start(stack: Stack, deployment: str, parameters: dict[str, Any]) -> str:
    command = ["prefect", "deployment", "run", deployment, "--params", "-"]
    _say(f"     $ {' '.join(command)} <<< '{json.dumps(parameters)}'")
    done = subprocess.run(
        [sys.executable, "-m", *command],
        input=json.dumps(parameters),
        env=stack.environment,
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    found = re.search(r"UUID: ([0-9a-f-]{36})", done.stdout)
    if done.returncode or not found:
        raise DemoFailed(f"{deployment} could not be started:\n{done.stdout}{done.stderr}")
    return found[1]


def _job_of(stack: Stack, client: Client, run_id: str) -> str:
    """The job that the run records first of all; a run that ends before it did is said to have failed."""
    while True:
        if jobs := client.jobs.list(flow_run_id=run_id).items:
            return jobs[0].id
        run = httpx.get(f"{stack.prefect_url}/flow_runs/{run_id}", timeout=30).raise_for_status().json()
        if run["state_type"] in ENDED_BADLY:
            raise DemoFailed(f"The run {run_id} ended before it recorded a job: {run['state']['message']}")
        time.sleep(POLL_SECONDS)


def _line(job: Job) -> str:
    """One line of progress; it changes only when there is something new to say."""
    if job.status.is_final or job.current_step is None:
        return f"{job.status}: {job.error or job.stage or ''}".rstrip(": ")
    loss = f", loss {job.loss:.4f}" if job.loss is not None else ""
    speed = f", {job.tokens_per_second:.0f} tokens/s" if job.tokens_per_second else ""
    return f"{job.status}: {job.current_step} of {job.total_steps or '?'}{loss}{speed}"


def _table(job: Job, points: list[MetricRow], before: BatchTest, after: BatchTest) -> str:
    losses = [point.train_loss for point in points if point.train_loss is not None]
    return f"""
  suite before      {before.passed_prompts}/{before.total_prompts}
  suite after       {after.passed_prompts}/{after.total_prompts}
  first loss        {losses[0]:.4f}
  last loss         {losses[-1]:.4f}
  steps             {job.current_step}
  tokens/s          {job.result["tokens_per_second"]:.0f} on {job.device}
  minutes           {{minutes:.1f}}

  The model lies in {job.result["model_dir"]}
  Where to look next: `make up` shows these runs in the Prefect UI and by the API; then, in another terminal,
    . .tuneyard/env
    tuneyard jobs show {job.id}
    tuneyard metrics {job.id}
    tuneyard tests show {after.id}
  docs/start.md goes on from here.
"""


def _say(line: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')}  {line}")


if __name__ == "__main__":
    main()
