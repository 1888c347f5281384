"""`tuneyard test` starts a batch test; `tuneyard tests` shows, follows, stops and puts away those that there are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from pydantic import TypeAdapter

from tuneyard import display
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import BatchTest, Prediction
from tuneyard.client import Client
from tuneyard.config_faults import read_form
from tuneyard.config_files import Written, changes_in
from tuneyard.job_commands import follow, job_goes_on, leave_with
from tuneyard.options import (
    changes_option,
    connected,
    example,
    json_option,
    paged,
    show_json,
    show_page,
    width,
)
from tuneyard.shapes import JobStatus, Page
from tuneyard.train_commands import watch_option, written_in

FAILURES_SHOWN = 5
_id = click.argument("test_id", metavar="ID")
_ids = click.argument("test_ids", metavar="ID...", nargs=-1, required=True)


@click.command(
    short_help="Batch-test a model.",
    epilog=example("test --model artifact:01KA1B2C3D4E5F6G7H8J9K0MNP --suite suite.jsonl --watch"),
)
@click.argument(
    "config_file",
    metavar="[CONFIG]",
    required=False,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
)
@click.option("--config-id", metavar="ID", help="One that is kept, in place of a file.")
@click.option("--model", help="The model to test; without a CONFIG, together with --suite.")
@click.option("--suite", help="The suite: its id, or a file where jobs run.")
@changes_option
@click.option("--name", help="What to call the test, in place of the config's own.")
@watch_option
@json_option
@connected
def test(
    client: Client,
    config_file: Path | None,
    config_id: str | None,
    model: str | None,
    suite: str | None,
    changes: tuple[str, ...],
    name: str | None,
    watching: bool,
    as_json: bool,
) -> None:
    """Batch-test a model: CONFIG is a YAML or JSON file with at least `model` and `suite`.

    Every field and its default: tuneyard configs schema --kind batch_test.
    """
    named = {"model": model, "suite": suite}
    pairs = [f"{field}={json.dumps(value)}" for field, value in named.items() if value is not None]
    pairs += changes
    if config_file is not None and config_id is not None:
        raise click.UsageError("Name a file or a --config-id.")
    if config_file is None and config_id is None and None in (model, suite):
        raise click.UsageError("Name a file, a --config-id, or --model and --suite.")
    if config_id is not None and not pairs:
        _started(client.tests.run(name=name, config_id=config_id), watching, as_json)
        return
    written = Written("the command line", changes_in(pairs), {})
    if config_file is not None or config_id is not None:
        written = written_in(client, config_file, config_id, pairs)
    config, faults = read_form(BatchTestConfig, written.values)
    if config is None:
        raise written.refusal(faults)
    _started(client.tests.run(config, name), watching, as_json)


def _started(test: BatchTest, watching: bool, as_json: bool) -> None:
    if as_json and not watching:
        show_json(test)
    elif not as_json:
        click.echo(f"{test.id}  {test.status}")
    if watching:
        leave_with(_followed(test, 1.0, as_json), well=JobStatus.COMPLETED)
    elif not as_json:
        click.echo(f"Follow it with: tuneyard tests watch {test.id}", err=True)


def _followed(test: BatchTest, every: float, as_json: bool | None) -> BatchTest:
    """Watch a batch test until it has ended; `as_json` None: show nothing."""
    return follow(
        lambda patient: patient.tests.watch(test.id, every),
        test.name,
        as_json,
        lambda: job_goes_on(test.id, group="tests"),
    )


@click.group(epilog=example("tests list"))
def tests() -> None:
    """Batch tests and their answers."""


@tests.command("list", epilog=example("tests list --limit 5"))
@click.option("--status", type=click.Choice([*(status.value for status in JobStatus), "canceled"]))
@click.option("--suite", "suite_id", metavar="ID", help="Those of this suite.")
@click.option("--model", help="Those of this model, as it was named.")
@click.option("--archived", is_flag=True, help="Those that are archived, in place of the others.")
@paged(100, 20)
@json_option
@connected
def list_tests(
    client: Client,
    status: str | None,
    suite_id: str | None,
    model: str | None,
    archived: bool,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """List batch tests, newest first."""
    page = client.tests.list(status, suite_id, model, archived, limit, offset)
    show_page(page, as_json, display.tests_table)


@tests.command("show", epilog=example("tests show 01KA1B2C3D4E5F6G7H8J9K0MNP --predictions 10"))
@_id
@click.option(
    "--predictions", type=click.IntRange(0, 1000), help="Show the first so many answers, not the failures."
)
@json_option
@connected
def show_test(client: Client, test_id: str, predictions: int | None, as_json: bool) -> None:
    """Show one batch test: its counts, its score and its first failures."""
    test = client.tests.get(test_id)
    wanted = client.tests.predictions(test_id, predictions).items if predictions else []
    if as_json:
        shown = test.model_dump(mode="json")
        if predictions is not None:
            shown["predictions"] = [one.model_dump(mode="json") for one in wanted]
        click.echo(TypeAdapter(dict[str, Any]).dump_json(shown, indent=2).decode())
        return
    click.echo(display.test_card(test, datetime.now(UTC)))
    failing = test.failed_prompts + test.completed_prompts - test.passed_prompts
    if predictions is None and failing:
        wanted = client.tests.predictions(test_id, FAILURES_SHOWN, passed=False).items
    if wanted:
        title = "First failures" if predictions is None else "First answers"
        click.echo(f"\n{title}\n{display.predictions_table(wanted, width())}")


@tests.command("answers", epilog=example("tests answers 01KA1B2C3D4E5F6G7H8J9K0MNP --wrong --tag dates"))
@_id
@click.option("--wrong", is_flag=True, help="Those that are wrong, or failed with an error.")
@click.option("--failed", is_flag=True, help="Those that failed with an error.")
@click.option("--tag", help="Those of prompts with this tag.")
@paged(1000, 50)
@json_option
@connected
def show_answers(
    client: Client,
    test_id: str,
    wrong: bool,
    failed: bool,
    tag: str | None,
    limit: int,
    offset: int,
    as_json: bool,
) -> None:
    """List a batch test's answers by prompt."""
    page: Page[Prediction] = client.tests.predictions(
        test_id, limit, offset, passed=False if wrong else None, failed=True if failed else None, tag=tag
    )
    show_page(page, as_json, lambda rows, _, columns: display.predictions_table(rows, columns))


@tests.command("watch", epilog=example("tests watch 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@_id
@click.option(
    "--every",
    type=click.FloatRange(0.05, 3600),
    default=1.0,
    show_default=True,
    help="Seconds between looks.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one line of JSON a change.")
@connected
def watch_test(client: Client, test_id: str, every: float, as_json: bool) -> None:
    """Follow a batch test until it ends; exit 3 if it failed or was cancelled."""
    leave_with(_followed(client.tests.get(test_id), every, as_json), well=JobStatus.COMPLETED)


@tests.command("cancel", epilog=example("tests cancel 01KA1B2C3D4E5F6G7H8J9K0MNP --wait"))
@_id
@click.option("--wait", is_flag=True, help="Wait until its run has stopped.")
@json_option
@connected
def cancel_test(client: Client, test_id: str, wait: bool, as_json: bool) -> None:
    """Cancel a batch test; the answers so far are kept, and `tuneyard jobs resume` goes on behind them."""
    test = client.tests.cancel(test_id)
    if wait:
        test = _followed(test, 1.0, None)
    if as_json:
        show_json(test)
    else:
        click.echo(f"{test.id}  {test.status}")
    if wait:
        leave_with(test, well=JobStatus.CANCELLED)


@tests.command("archive", epilog=example("tests archive 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@_ids
@connected
def archive_tests(client: Client, test_ids: tuple[str, ...]) -> None:
    """Leave batch tests out of lists, but for `tests list --archived`."""
    for test_id in test_ids:
        click.echo(f"{client.tests.archive(test_id).id}  archived")


@tests.command("restore", epilog=example("tests restore 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@_ids
@connected
def restore_tests(client: Client, test_ids: tuple[str, ...]) -> None:
    """Take archived batch tests back into the lists."""
    for test_id in test_ids:
        click.echo(f"{client.tests.restore(test_id).id}  restored")


@tests.command("delete", epilog=example("tests delete 01KA1B2C3D4E5F6G7H8J9K0MNP"))
@_ids
@connected
def delete_tests(client: Client, test_ids: tuple[str, ...]) -> None:
    """Delete batch tests that have ended, and their answers, for good."""
    for test_id in test_ids:
        client.tests.delete(test_id)
        click.echo(f"{test_id}  deleted")
