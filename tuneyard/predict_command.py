"""`tuneyard predict`: prompts for a language model, rows for a model of a table; and what it made of them."""

from __future__ import annotations

import csv
import json
import sys
from pathlib import Path
from typing import Any

import click

from tuneyard.batch_configs import PredictConfig
from tuneyard.client import Client
from tuneyard.config_faults import read_form
from tuneyard.config_files import Written, changes_in
from tuneyard.display import plain
from tuneyard.job_commands import followed, leave_with
from tuneyard.options import changes_option, connected, example, json_option, show_json
from tuneyard.shapes import Artifact, JobStatus, Started
from tuneyard.train_commands import written_in


@click.command(
    short_help="Ask a model.",
    epilog=example('predict --model artifact:01KA1B2C3D4E5F6G7H8J9K0MNP --prompt "Hello" --watch'),
)
@click.argument(
    "config_file",
    metavar="[CONFIG]",
    required=False,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--config-id", metavar="ID", help="One that is kept, in place of a file.")
@click.option("--model", help="The model to ask; without a CONFIG, together with --prompt or --dataset.")
@click.option("--prompt", "prompts", multiple=True, help="What to ask it; several times.")
@click.option("--dataset", help="The rows to predict from, or rows of prompts: a file where jobs run.")
@changes_option
@click.option("--name", help="What to call the job, in place of the config's own.")
@click.option("--watch", "watching", is_flag=True, help="Wait for the answers; exit 3 unless there are any.")
@json_option
@connected
def predict(
    client: Client,
    config_file: Path | None,
    config_id: str | None,
    model: str | None,
    prompts: tuple[str, ...],
    dataset: str | None,
    changes: tuple[str, ...],
    name: str | None,
    watching: bool,
    as_json: bool,
) -> None:
    """Ask a model: CONFIG is a YAML or JSON file with at least `model`, and `prompts` or `dataset`.

    Every field and its default: tuneyard configs schema --kind predict.
    """
    if config_file is not None and config_id is not None:
        raise click.UsageError("Name a file or a --config-id.")
    named = {"model": model, "prompts": list(prompts) or None, "dataset": dataset}
    pairs = [f"{field}={json.dumps(value)}" for field, value in named.items() if value is not None]
    pairs += changes
    if config_id is not None and not pairs:
        _started(client, client.jobs.predict(name=name, config_id=config_id), watching, as_json)
        return
    written = Written("the command line", changes_in(pairs), {})
    if config_file is not None or config_id is not None:
        written = written_in(client, config_file, config_id, pairs)
    elif model is None or not (prompts or dataset):
        raise click.UsageError("Name a file, a --config-id, or --model and --prompt or --dataset.")
    config, faults = read_form(PredictConfig, written.values)
    if config is None:
        raise written.refusal(faults)
    _started(client, client.jobs.predict(config, name), watching, as_json)


def _started(client: Client, asked: Started, watching: bool, as_json: bool) -> None:
    if not watching:
        if as_json:
            show_json(asked)
            return
        click.echo(f"{asked.id}  {asked.status}")
        click.echo(f"Follow it with: tuneyard jobs watch {asked.id}", err=True)
        return
    leave_with(followed(asked.id, asked.name, 0.5, None), well=JobStatus.COMPLETED)
    made = client.artifacts.get(asked.artifact_id or "")
    if as_json:
        show_json(made)
    else:
        _show(made)


def _show(made: Artifact) -> None:
    """A table as CSV; the answer to one prompt by itself, and of several each below what was asked."""
    found = made.details.get("predictions")
    if found is None:
        click.echo(f"More than is shown here: tuneyard models download {made.id} --to FOLDER", err=True)
    elif isinstance(found, dict):
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(found["columns"])
        table.writerows(found["data"])
    else:
        for at, one in enumerate(found):
            _say(one, alone=len(found) == 1, first=at == 0)


def _say(one: dict[str, Any], *, alone: bool, first: bool) -> None:
    if not alone:
        click.echo(("" if first else "\n") + "> " + plain(one["prompt"]))
    if "error" in one:
        click.echo(f"tuneyard: {plain(one['error'])}", err=True)
    else:
        click.echo("".join(sign if sign.isprintable() or sign in "\n\t" else "?" for sign in one["response"]))
