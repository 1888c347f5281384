"""`tuneyard client template`: prompts remembered on this machine."""

from __future__ import annotations

import click
from pydantic import TypeAdapter

from tuneyard import job_templates
from tuneyard.client_commands import submit
from tuneyard.display import Column, table
from tuneyard.job_templates import Template
from tuneyard.options import example, json_option, width
from tuneyard.submission_shapes import WAIT

_TEMPLATES = TypeAdapter(list[Template])
name_option = click.option("--name", required=True, help="What it is remembered as.")
prompt_option = click.option("--prompt", help="What the model is to answer.")
model_option = click.option("--model", help="The model that is to answer.")


@click.group(epilog=example("client template list"))
def template() -> None:
    """Prompts that are remembered on this machine."""


@template.command("save", epilog=example('client template save --name date --prompt "What is the date?"'))
@name_option
@click.option("--type", "job_type", default="inference", show_default=True, help="A word of your own.")
@prompt_option
@model_option
@click.option("--ttl", type=click.IntRange(1), default=WAIT, show_default=True, help="Seconds it may wait.")
def save(name: str, job_type: str, prompt: str | None, model: str | None, ttl: int) -> None:
    """Remember a prompt, in place of the one of that name."""
    job_templates.keep(Template(name=name, type=job_type, prompt=prompt, model=model, ttl=ttl))
    click.echo(f"{name}  saved")


@template.command("list", epilog=example("client template list"))
@json_option
def list_templates(as_json: bool) -> None:
    """List what is remembered."""
    found = [job_templates.find(name) for name in job_templates.names()]
    if as_json:
        click.echo(_TEMPLATES.dump_json(found, indent=2).decode())
        return
    columns = [Column("NAME"), Column("TYPE"), Column("MODEL", elastic=True), Column("PROMPT", elastic=True)]
    click.echo(table(columns, [(one.name, one.type, one.model, one.prompt) for one in found], width()))


@template.command("run", epilog=example("client template run --name date"))
@name_option
@prompt_option
@model_option
@json_option
@click.pass_context
def run(context: click.Context, name: str, prompt: str | None, model: str | None, as_json: bool) -> None:
    """Submit one, with another prompt or model if they are given."""
    found = job_templates.find(name)
    context.invoke(
        submit,
        prompt=prompt or found.prompt,
        model=model or found.model,
        job_type=found.type,
        ttl=found.ttl,
        as_json=as_json,
        api_url=None,
    )


@template.command("delete", epilog=example("client template delete --name date"))
@name_option
def delete(name: str) -> None:
    """Forget one."""
    job_templates.forget(name)
    click.echo(f"{name}  deleted")
