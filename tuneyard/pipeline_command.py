"""`tuneyard pipeline`: fine-tune, test, promote."""

from __future__ import annotations

from pathlib import Path

import click

from tuneyard.client import Client
from tuneyard.config_faults import read_form
from tuneyard.config_files import changes_in, read_config
from tuneyard.configs import PipelineConfig
from tuneyard.display import plain
from tuneyard.exit_codes import NOT_WELL
from tuneyard.job_commands import followed, leave_with
from tuneyard.options import changes_option, connected, example, json_option, show_json
from tuneyard.shapes import JobStatus
from tuneyard.train_commands import watch_option


@click.command(
    short_help="Fine-tune, test and promote a model.",
    epilog=example("pipeline examples/dates/pipeline.json --watch"),
)
@click.argument(
    "config_file",
    metavar="[CONFIG]",
    required=False,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--config-id", metavar="ID", help="One that is kept, in place of a file.")
@changes_option
@click.option("--name", help="What to call the job, in place of the config's own.")
@watch_option
@json_option
@connected
def pipeline(
    client: Client,
    config_file: Path | None,
    config_id: str | None,
    changes: tuple[str, ...],
    name: str | None,
    watching: bool,
    as_json: bool,
) -> None:
    """Fine-tune, batch-test the base and the tuned model, and let an alias stand for the tuned one if it is better.

    CONFIG has `finetune`, `test` and `alias`; with --watch, exit 3 unless it was promoted.
    """
    if (config_file is None) == (config_id is None):
        raise click.UsageError("Name a file or a --config-id.")
    if config_file is not None:
        written = read_config(config_file, changes)
        config, faults = read_form(PipelineConfig, written.values)
        if config is None:
            raise written.refusal(faults)
    else:
        config = PipelineConfig.model_validate(changes_in(changes, client.configs.get(config_id or "").data))
    job = client.jobs.pipeline(config, name)
    if as_json and not watching:
        show_json(job)
    elif not as_json:
        click.echo(f"{job.id}  {job.status}")
    if watching:
        _tell_end(job.id, job.name, as_json)


def _tell_end(job_id: str, name: str, as_json: bool) -> None:
    done = followed(job_id, name, 1.0, as_json)
    leave_with(done, well=JobStatus.COMPLETED)
    click.echo(plain(done.result.get("why")), err=as_json)
    if not done.result.get("promoted"):
        click.get_current_context().exit(NOT_WELL)
