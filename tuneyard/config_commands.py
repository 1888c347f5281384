"""`tuneyard configs`: what is kept to ask for work with, and every field that may stand in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import click

from tuneyard import display_configs
from tuneyard.batch_configs import BatchTestConfig, PredictConfig
from tuneyard.client import Client
from tuneyard.config_faults import read_form
from tuneyard.config_files import Written, changes_in, read_config
from tuneyard.config_words import Config
from tuneyard.configs import FinetuneConfig, MergeConfig, PipelineConfig, TabularConfig
from tuneyard.forms import filled
from tuneyard.options import (
    changes_option,
    connected,
    example,
    json_option,
    paged,
    show,
    show_json,
    show_page,
    width,
)
from tuneyard.shapes import (
    ConfigKind,
    KeptConfig,
    NewBatchTestConfig,
    NewConfig,
    NewFinetuneConfig,
    NewMergeConfig,
    NewPipelineConfig,
    NewPredictConfig,
    NewTabularConfig,
)

FORMS: dict[ConfigKind, type[Config]] = {
    "finetune": FinetuneConfig,
    "batch_test": BatchTestConfig,
    "merge": MergeConfig,
    "pipeline": PipelineConfig,
    "tabular": TabularConfig,
    "predict": PredictConfig,
}
_NEW: dict[ConfigKind, type[NewConfig]] = {
    "finetune": NewFinetuneConfig,
    "batch_test": NewBatchTestConfig,
    "merge": NewMergeConfig,
    "pipeline": NewPipelineConfig,
    "tabular": NewTabularConfig,
    "predict": NewPredictConfig,
}
_KINDS = click.Choice(get_args(ConfigKind))
_kind = click.option("--kind", type=_KINDS, default="finetune", show_default=True)
_id = click.argument("config_id", metavar="ID")
_file = click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
_tag = click.option("--tag", "tags", multiple=True, help="A word to find it by; several times.")


@click.group(epilog=example("configs list --tag nightly"))
def configs() -> None:
    """Configs that are kept, and what may stand in one."""


@configs.command("schema", epilog=example("configs schema --kind batch_test"))
@_kind
@click.option("--json", "as_json", is_flag=True, help="Print it as JSON Schema.")
def show_schema(kind: ConfigKind, as_json: bool) -> None:
    """Show every field of a config, its default and what it means. Asks no server."""
    schema = FORMS[kind].model_json_schema()
    click.echo(json.dumps(schema, indent=2) if as_json else display_configs.schema_lines(schema, width()))


@configs.command("create", epilog=example("configs create examples/dates/finetune.json --name dates"))
@_file
@_kind
@changes_option
@click.option("--name", help="What to call it; default: the config's own name, or the file's.")
@click.option("--id", "config_id", help="An id of yours.")
@_tag
@json_option
@connected
def create_config(
    client: Client,
    file: Path,
    kind: ConfigKind,
    changes: tuple[str, ...],
    name: str | None,
    config_id: str | None,
    tags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Keep a YAML or JSON file's config."""
    written = read_config(file, changes)
    named = name or written.values.get("name") or file.stem
    new = _new(kind, written, str(named), tags, **({"id": config_id} if config_id else {}))
    _say(client.configs.create(new), as_json)


@configs.command("list", epilog=example("configs list --kind finetune --tag nightly"))
@click.option("--kind", type=_KINDS)
@click.option("--tag")
@paged(100, 20)
@json_option
@connected
def list_configs(
    client: Client, kind: ConfigKind | None, tag: str | None, limit: int, offset: int, as_json: bool
) -> None:
    """List configs, newest first."""
    show_page(client.configs.list(kind, tag, limit, offset), as_json, display_configs.configs_table)


@configs.command("show", epilog=example("configs show 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@_id
@json_option
@connected
def show_config(client: Client, config_id: str, as_json: bool) -> None:
    """Show one config."""
    show(client.configs.get(config_id), as_json, display_configs.config_card)


@configs.command("update", epilog=example("configs update 01KA1B2C3D4E5F6G7H8J9K0MNP --set epochs=2"))
@_id
@click.option(
    "--from",
    "file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="A file to keep instead.",
)
@changes_option
@click.option("--name", help="Another name.")
@_tag
@json_option
@connected
def update_config(
    client: Client,
    config_id: str,
    file: Path | None,
    changes: tuple[str, ...],
    name: str | None,
    tags: tuple[str, ...],
    as_json: bool,
) -> None:
    """Change what is named here; the rest stays as it is."""
    kept = client.configs.get(config_id)
    if file is None:
        written = Written(f"config {config_id}", changes_in(changes, kept.data), {})
    else:
        written = read_config(file, changes)
    new = _new(kept.kind, written, name or kept.name, tags or kept.tags)
    _say(client.configs.replace(config_id, new), as_json)


@configs.command("delete", epilog=example("configs delete 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@_id
@connected
def delete_config(client: Client, config_id: str) -> None:
    """Delete a config; jobs that were asked for with it stay as they are."""
    client.configs.delete(config_id)
    click.echo(f"{config_id}  deleted")


def _new(kind: ConfigKind, written: Written, name: str, tags: Sequence[str], **more: str) -> NewConfig:
    """What is to be kept. Raises BadInput naming the field and its line."""
    data, faults = read_form(FORMS[kind], written.values)
    if data is None:
        raise written.refusal(faults)
    return filled(_NEW[kind], kind=kind, data=written.values, name=name, tags=list(tags), **more)


def _say(kept: KeptConfig, as_json: bool) -> None:
    if as_json:
        show_json(kept)
    else:
        click.echo(f"{kept.id}  {kept.name}")
