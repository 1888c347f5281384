"""`tuneyard train`, `check` and `merge`: a config becomes a job, or what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, get_args

import click

from tuneyard import display_jobs
from tuneyard.client import Client
from tuneyard.config_commands import FORMS
from tuneyard.config_faults import read_form
from tuneyard.config_files import Written, changes_in, read_config
from tuneyard.configs import FinetuneConfig, MergeConfig, TabularConfig
from tuneyard.exit_codes import WRONG
from tuneyard.forms import filled
from tuneyard.job_commands import followed, leave_with
from tuneyard.options import changes_option, connected, example, json_option, show_json
from tuneyard.shapes import Job, JobStatus, Preflight, PreflightFigures, Validation

CheckedKind = Literal["finetune", "batch_test", "tabular", "predict"]
config_file = click.argument(
    "config_file", metavar="CONFIG", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)


watch_option = click.option(
    "--watch", "watching", is_flag=True, help="Follow it until it ends; exit 3 unless it completes."
)


@click.command(
    short_help="Fine-tune a model.",
    epilog=example("train examples/dates/finetune.json --set epochs=2 --watch"),
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
def train(
    client: Client,
    config_file: Path | None,
    config_id: str | None,
    changes: tuple[str, ...],
    name: str | None,
    watching: bool,
    as_json: bool,
) -> None:
    """Fine-tune: CONFIG is a YAML or JSON file with at least `model` and `dataset`; or fit a table, with
    `method: tabular` and `dataset`.

    Every field and its default: tuneyard configs schema, with --kind tabular for a table's.
    """
    if (config_file is None) == (config_id is None):
        raise click.UsageError("Name a file or a --config-id.")
    if config_file is None and not changes:
        _started(client.jobs.train(name=name, config_id=config_id), watching, as_json)
        return
    written = written_in(client, config_file, config_id, changes)
    form: type[FinetuneConfig | TabularConfig] = (
        TabularConfig if _kind_in(written.values) == "tabular" else FinetuneConfig
    )
    config, faults = read_form(form, written.values)
    if config is None:
        raise written.refusal(faults)
    _started(client.jobs.train(config, name), watching, as_json)


def _kind_in(values: Mapping[str, Any]) -> CheckedKind:
    """What a config is for, by its fields."""
    if values.get("method") == "tabular":
        return "tabular"
    return "batch_test" if "suite" in values else "predict" if "prompts" in values else "finetune"


def written_in(
    client: Client, config_file: Path | None, config_id: str | None, changes: Sequence[str]
) -> Written:
    """A file's config, or one that is kept, with the changes made."""
    if config_file is not None:
        return read_config(config_file, changes)
    kept = client.configs.get(config_id or "")
    data = {"method": "tabular", **kept.data} if kept.kind == "tabular" else kept.data
    return Written(f"config {kept.id}", changes_in(changes, data), {})


@click.command(
    short_help="Add an adapter into its base model.",
    epilog=example("merge 01KA1B2C3D4E5F6G7H8J9K0MNP --watch"),
)
@click.argument("artifact", metavar="ARTIFACT")
@click.option("--name", help="What to call the job and the model; default: the adapter's name.")
@watch_option
@json_option
@connected
def merge(client: Client, artifact: str, name: str | None, watching: bool, as_json: bool) -> None:
    """Add an adapter into its base model: ARTIFACT is the adapter's id."""
    config = filled(MergeConfig, artifact=artifact, **({"name": name} if name else {}))
    _started(client.jobs.merge(config), watching, as_json)


def _started(job: Job, watching: bool, as_json: bool) -> None:
    if as_json and not watching:
        show_json(job)
    elif not as_json:
        click.echo(f"{job.id}  {job.status}")
    if watching:
        leave_with(followed(job.id, job.name, 1.0, as_json), well=JobStatus.COMPLETED)
    elif not as_json:
        click.echo(f"Follow it with: tuneyard jobs watch {job.id}", err=True)


@click.command(
    short_help="Say what is wrong with a config.", epilog=example("check examples/dates/finetune.json --run")
)
@config_file
@click.option("--kind", type=click.Choice(get_args(CheckedKind)), help="Default: what its fields say.")
@changes_option
@click.option("--run", "running", is_flag=True, help="Also look at the model and the rows, where jobs run.")
@json_option
@connected
def check(
    client: Client,
    config_file: Path,
    kind: CheckedKind | None,
    changes: tuple[str, ...],
    running: bool,
    as_json: bool,
) -> None:
    """Say what is wrong with a config before it takes a GPU; exit 2 if it is invalid."""
    written = read_config(config_file, changes)
    kind = kind or _kind_in(written.values)
    if running and kind != "finetune":
        raise click.UsageError("--run looks at fine-tunes only.")
    config, faults = read_form(FORMS[kind], written.values)
    if config is None:
        _show(written, Validation(valid=False, diagnostics=faults), as_json)
        return
    seen = client.jobs.validate(written.values, running, kind=None if kind == "finetune" else kind)
    if seen.job is None:
        _show(written, seen, as_json)
        return
    job = followed(seen.job.id, seen.job.name, 1.0, None if as_json else False)
    leave_with(job, well=JobStatus.COMPLETED)
    found = Preflight.model_validate(job.result)
    diagnostics = seen.diagnostics + found.diagnostics
    _show(written, found.model_copy(update={"diagnostics": diagnostics}), as_json)


def _show(written: Written, seen: Validation | Preflight, as_json: bool) -> None:
    seen = seen.model_copy(update={"diagnostics": [written.place(one) for one in seen.diagnostics]})
    if as_json:
        show_json(seen)
    else:
        _print(seen)
    if not seen.valid:
        click.get_current_context().exit(WRONG)


def _print(seen: Validation | Preflight) -> None:
    if seen.diagnostics:
        click.echo(display_jobs.diagnostic_lines(seen.diagnostics))
    figures = seen.figures if isinstance(seen, Preflight) else PreflightFigures()
    if shown := display_jobs.figures_card(figures):
        click.echo(shown)
    errors = sum(one.severity == "error" for one in seen.diagnostics)
    click.echo("valid" if seen.valid else f"invalid: {errors} error{'s' if errors != 1 else ''}")
