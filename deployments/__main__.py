"""`python -m deployments`: make the pool, the block type and the deployments so; `store-key` keeps a service key,
`store-endpoint` an endpoint's address and key."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import httpx
import yaml
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import StateType
from prefect.exceptions import ObjectNotFound
from prefect.settings import PREFECT_API_URL

from blocks.credentials import EndpointCredentials, TuneyardCredentials
from deployments.pools import ensure_host, ensure_pool
from tuneyard import Client
from tuneyard.errors import BadInput, TuneyardError

REPOSITORY = Path(__file__).resolve().parent.parent
BLOCK = "tuneyard"


@click.group(invoke_without_command=True)
@click.option(
    "--jobs-at-once",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    help="Fine-tunes and batch tests at a time: the number of hosts, for each works on its first card.",
)
@click.pass_context
def main(context: click.Context, jobs_at_once: int) -> None:
    """Make Prefect ready for tuneyard: GPU work pool, queues and their limits, block type, all deployments.

    Safe to run again: what is there is brought up to date, and a stored key is kept.
    """
    if context.invoked_subcommand:
        return
    _require_prefect()
    with get_client(sync_client=True) as prefect:
        ensure_pool(prefect, jobs_at_once)
        click.echo(f"Work pool gpu: {jobs_at_once} job(s) at a time.")
        drop_missed_rounds(prefect)
        advice = _key_advice(prefect)
    _prefect("block", "register", "-m", "blocks.credentials")
    click.echo("Block types Tuneyard credentials and Endpoint credentials: registered.")
    _prefect("--no-prompt", "deploy", "--all")
    click.echo(f"Deployments: {', '.join(_deployments())}.")
    click.echo(advice)


@main.command()
@click.option(
    "--api-url", required=True, help="Where the tuneyard API answers, such as http://127.0.0.1:8400."
)
@click.option("--block", default=BLOCK, show_default=True, help="Name of the block.")
def store_key(api_url: str, block: str) -> None:
    """Store a service key (scope worker) in Prefect. The key is read from standard input or asked for, never printed.

    Example: python -m deployments store-key --api-url http://127.0.0.1:8400 < service.key
    """
    _require_prefect()
    keep_key(api_url, _key("Service key"), block)
    click.echo(f"Stored in the block {block!r}.")


@main.command()
@click.argument("name")
@click.option(
    "--base-url", required=True, help="What stands before /chat/completions: http://127.0.0.1:8000/v1."
)
@click.option("--model", default="", help="The model to ask for where a config names none.")
def store_endpoint(name: str, base_url: str, model: str) -> None:
    """Store an OpenAI-compatible endpoint in Prefect, for `model: endpoint:NAME` and for judges. The key is read from
    standard input or asked for, never printed; empty: none. A block of that name is replaced.

    Example: python -m deployments store-endpoint gpt --base-url https://llm.example/v1 --model small < llm.key
    """
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", name):
        raise click.ClickException(f"{name!r}: a block's name is made of a-z, 0-9 and single dashes")
    _require_prefect()
    try:
        found = EndpointCredentials(base_url=base_url, api_key=_key("Key (empty: none)"), model=model)
    except BadInput as problem:
        raise click.ClickException(str(problem)) from None
    found.save(name, overwrite=True)
    click.echo(f"Stored: test it with model endpoint:{name}")


def _key(asking: str) -> str:
    if not sys.stdin.isatty():
        return sys.stdin.read().strip()
    answer: str = click.prompt(asking, default="", show_default=False, hide_input=True, err=True)
    return answer.strip()


@main.command()
@click.option("--name", default=socket.gethostname, show_default="this host's", help="The host's name.")
def host(name: str) -> None:
    """Have this host's cards read by a schedule of its own: where there are several hosts, on each.

    Safe to run again, after `python -m deployments`. Prints the command that starts the host's worker.
    """
    _require_prefect()
    with get_client(sync_client=True) as prefect:
        try:
            queue = ensure_host(prefect, name)
        except ObjectNotFound:
            raise click.ClickException("there is no deployment yet: python -m deployments") from None
    click.echo(f"Deployment: collect-metrics/{name}. Its worker, on this host:")
    queues = " ".join(f"--work-queue {one}" for one in ("jobs", "pipelines", "monitoring", queue))
    click.echo(f"prefect worker start --pool gpu {queues}")


def drop_missed_rounds(prefect: SyncPrefectClient) -> None:
    """Delete the rounds that came due while no worker ran: taken now, thirty of them would all see the same."""
    missed = prefect.read_flow_runs(
        flow_filter=FlowFilter(name=FlowFilterName(any_=["collect-metrics", "close-lost-jobs"])),
        flow_run_filter=FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.SCHEDULED])),
            expected_start_time=FlowRunFilterExpectedStartTime(before_=datetime.now(UTC)),
        ),
    )
    for run in missed:
        if run.auto_scheduled:
            prefect.delete_flow_run(run.id)


def keep_key(api_url: str, key: str, block: str = BLOCK) -> None:
    """Check the key against the API, then save it in Prefect; an existing block of that name is replaced."""
    try:
        with Client(api_url, key) as client:
            client.system()
    except TuneyardError as problem:
        raise click.ClickException(str(problem)) from None
    TuneyardCredentials(api_url=api_url, api_key=key).save(block, overwrite=True)


def _key_advice(prefect: SyncPrefectClient) -> str:
    try:
        prefect.read_block_document_by_name(
            BLOCK, TuneyardCredentials.get_block_type_slug(), include_secrets=False
        )
    except ObjectNotFound:
        return "No service key is stored yet: python -m deployments store-key --api-url URL < service.key"
    return f"Service key: in the block {BLOCK!r}."


def _deployments() -> list[str]:
    """As Prefect calls them."""
    written = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    flows = (one["entrypoint"].partition(":")[2].replace("_", "-") for one in written)
    return [f"{flow}/{one['name']}" for flow, one in zip(flows, written, strict=True)]


def _require_prefect() -> None:
    """One clear line when no Prefect server answers, before anything is half done."""
    url = PREFECT_API_URL.value()
    if not url:
        raise click.ClickException("PREFECT_API_URL is not set; for the stack of `make up`: . .tuneyard/env")
    try:
        httpx.get(f"{url}/health", timeout=10).raise_for_status()
    except httpx.HTTPError as problem:
        raise click.ClickException(
            f"no Prefect server answers at {url} ({problem}); start one: make up"
        ) from None


def _prefect(*words: str) -> None:
    """Run Prefect's CLI in the repository; what it says is shown only if it fails."""
    done = subprocess.run(
        [sys.executable, "-m", "prefect", *words],
        cwd=REPOSITORY,
        env={**os.environ, "PWD": str(REPOSITORY)},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise click.ClickException(f"prefect {' '.join(words)} failed:\n{done.stdout}{done.stderr}")


if __name__ == "__main__":
    main()
