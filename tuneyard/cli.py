"""The command `tuneyard`: start fine-tunes; look at jobs, models, tests and GPUs; manage keys."""

from __future__ import annotations

import io
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from tuneyard import __version__, display, exit_codes
from tuneyard.alias_commands import list_aliases, list_moves, promote, undo
from tuneyard.audit_command import audit
from tuneyard.auth_commands import auth
from tuneyard.chart_command import chart
from tuneyard.client_commands import client, submit
from tuneyard.compare_commands import compare, report
from tuneyard.completion_command import completion
from tuneyard.config_commands import configs
from tuneyard.credentials import DEFAULT_ENVIRONMENT, DEFAULT_NAME, DEFAULT_URL
from tuneyard.dataset_commands import datasets
from tuneyard.doctor_command import doctor_command
from tuneyard.endpoint_commands import agent, endpoints, marketplace
from tuneyard.errors import KeyExpiresSoon, TuneyardError, told
from tuneyard.gpu_commands import gpus
from tuneyard.job_commands import jobs
from tuneyard.job_life_commands import errors, events, logs, pause, predictions, resume
from tuneyard.key_commands import keys
from tuneyard.keys import redact
from tuneyard.metric_command import metrics
from tuneyard.model_commands import models
from tuneyard.options import elsewhere
from tuneyard.pipeline_command import pipeline
from tuneyard.predict_command import predict
from tuneyard.suite_commands import suites
from tuneyard.template_commands import template
from tuneyard.test_commands import test, tests
from tuneyard.train_commands import check, merge, train
from tuneyard.user_commands import users
from tuneyard.why_command import why

_HELP_END = f"""\b
Environment:
  TUNEYARD_API_URL       where the API is (default {DEFAULT_URL})
  TUNEYARD_API_KEY       the key, or
  TUNEYARD_API_KEY_FILE  a file that holds it; else what `tuneyard auth login` stored
  TUNEYARD_ENVIRONMENT   for this environment (default {DEFAULT_ENVIRONMENT}),
  TUNEYARD_CREDENTIAL    under this name (default {DEFAULT_NAME}),
  TUNEYARD_CONFIG_HOME   in this folder (default ~/.config/tuneyard)

\b
Exit codes:
{exit_codes.MEANINGS}

\b
Example: tuneyard jobs list --status running
"""


@click.group(epilog=_HELP_END, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--api-url", metavar="URL", help="Where the API is; else TUNEYARD_API_URL.")
@click.option(
    "--patience",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to try again while the API is away or busy.",
)
@click.version_option(__version__, prog_name="tuneyard")
def cli(api_url: str | None, patience: float) -> None:  # `connect` reads them from the context
    """Start fine-tunes; look at them, at batch tests and GPUs; manage API keys and people.

    \b
    At first:
      tuneyard auth login                  once, with a key that an admin made
      tuneyard check config.yaml           what is wrong with a fine-tune's config
      tuneyard train config.yaml --watch   runs it and shows how it goes
      tuneyard jobs list                   what there is; COMMAND --help has examples
    """


for command in (
    metrics,
    train,
    test,
    predict,
    check,
    merge,
    pipeline,
    configs,
    jobs,
    tests,
    models,
    datasets,
    suites,
    gpus,
    client,
    elsewhere(submit, 'submit --prompt "What is the date?"'),
    endpoints,
    agent,
    marketplace,
    auth,
    keys,
    users,
    audit,
    why,
    doctor_command,
    completion,
):
    cli.add_command(command)
client.add_command(template)
for command in (compare, report):
    tests.add_command(command)
for command in (chart, pause, resume, events, logs, errors, predictions):
    jobs.add_command(command)
for command in (list_aliases, list_moves, promote, undo):
    models.add_command(command)


def run(arguments: Sequence[str]) -> int:
    """Do what the arguments say; the exit code. What goes wrong is one line on stderr, and holds no key."""
    try:
        with _expiry_told():
            code = cli.main([*arguments], prog_name="tuneyard", standalone_mode=False)
    except click.UsageError as error:
        click.UsageError(redact(error.format_message()), error.ctx).show()
        return exit_codes.WRONG
    except click.Abort:
        return exit_codes.INTERRUPTED
    except TuneyardError as error:
        click.echo(f"tuneyard: {redact(' '.join(told(error).split()))}", err=True)
        return exit_codes.code_of(error)
    return code if isinstance(code, int) else 0


@contextmanager
def _expiry_told() -> Iterator[None]:
    """Say once, on stderr, that the key is about to expire, in place of Python's form of a warning."""
    told: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("always", KeyExpiresSoon)
        python_shows = warnings.showwarning

        def shown(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> None:
            if not issubclass(category, KeyExpiresSoon):
                python_shows(message, category, *where, **more)
            elif not told:
                told.append(display.plain(message))
                click.echo(f"tuneyard: {told[0]}", err=True)

        warnings.showwarning = shown
        yield


def main() -> None:
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a name that this terminal cannot show is no reason to fail
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
