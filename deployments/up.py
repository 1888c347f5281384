"""`make up`: the whole stack on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from deployments.local_stack import REPOSITORY, Stack, restart, running_stack, stop_on_signals
from deployments.processes import Server, StartFailed
from tuneyard.home import home

ENV_FILE = "env"
MOST_DEATHS = 3
DEATH_SECONDS = 600.0


@click.command()
@click.option("--api-port", default=8400, show_default=True, envvar="API_PORT")
@click.option("--prefect-port", default=4200, show_default=True, envvar="PREFECT_PORT")
def main(api_port: int, prefect_port: int) -> None:
    """Start the API, a Prefect server and a worker on a GPU work pool; run until Ctrl-C."""
    stop_on_signals()
    click.echo(f"Starting in {home()} (about half a minute) …")
    try:
        with running_stack(home(), api_port, prefect_port) as stack:
            click.echo(_welcome(stack, write_env(stack)))
            _watch(stack)
    except StartFailed as problem:
        raise click.ClickException(str(problem)) from None
    except KeyboardInterrupt:
        click.echo("Stopped.")


def write_env(stack: Stack) -> Path:
    """What another terminal needs, to be sourced; it names the key's file and holds no key."""
    names = ("TUNEYARD_HOME", "TUNEYARD_API_URL", "PREFECT_HOME", "PREFECT_API_URL")
    lines = [f'export {name}="{stack.environment[name]}"' for name in names]
    lines.append(f'export TUNEYARD_API_KEY_FILE="{stack.key_file("user")}"')
    lines.append(f'export PATH="{Path(sys.executable).parent}:$PATH"')
    file = stack.home / ENV_FILE
    file.write_text("\n".join(lines) + "\n")
    return file


def _welcome(stack: Stack, env: Path) -> str:
    shown = os.path.relpath(env, REPOSITORY) if env.is_relative_to(REPOSITORY) else str(env)
    return f"""
  Prefect UI   {stack.ui_url}
  API          {stack.api_url}   (docs: {stack.api_url}/docs)
  Keys         {stack.key_file("user")} (reads jobs and tests), {stack.key_file("admin")} (makes keys)
  Logs         {stack.home / "logs"}

In another terminal, from {REPOSITORY}:

  . {shown}                                       # where all of this is
  tuneyard train examples/dates/finetune.json --watch    # fine-tunes a small model: minutes on a CPU
  tuneyard jobs list                                     # its id, then: tuneyard jobs show ID
  prefect deployment run batch-test/gpu --params - < examples/dates/batch_test.json
  curl -sH "X-API-Key: $(cat $TUNEYARD_API_KEY_FILE)" {stack.api_url}/api/v1/jobs

docs/start.md goes on from here. Ctrl-C stops it all; what was kept is there at the next start."""


def _watch(stack: Stack) -> None:
    """Stay until a signal. A server that dies is started again; one that dies over and over ends it all."""
    deaths: dict[str, list[float]] = {server.name: [] for server in stack.servers}
    while True:
        for server in stack.servers:
            if server.process.poll() is not None:
                _raise(stack, server, deaths[server.name])
        time.sleep(1)


def _raise(stack: Stack, server: Server, deaths: list[float]) -> None:
    """Say that a server ended, and start it again unless it has died too often of late."""
    code = server.process.returncode
    words = f"{server.name} ended (exit code {code}):\n{server.last_words()}\nIts log: {server.log}"
    deaths.append(time.monotonic())
    if len([death for death in deaths if deaths[-1] - death < DEATH_SECONDS]) > MOST_DEATHS:
        raise StartFailed(words)
    click.echo(f"{time.strftime('%H:%M:%S')}  {words}\nStarting it again.", err=True)
    restart(stack, server.name)


if __name__ == "__main__":
    main()
