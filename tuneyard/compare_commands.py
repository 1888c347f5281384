"""`tuneyard tests compare` and `tuneyard tests report`: what batch tests come to."""

from __future__ import annotations

from pathlib import Path

import click

from tuneyard import display_comparisons
from tuneyard.batch_shapes import Comparison
from tuneyard.client import Client
from tuneyard.errors import BadInput
from tuneyard.exit_codes import NO_EFFECT, NOT_WELL, UNDECIDED
from tuneyard.options import connected, example, json_option, show_json, width

FIRST, SECOND = "01KA1B2C3D4E5F6G7H8J9K0MNP", "01KA1B2C3D4E5F6G7H8J9K0MNQ"
_VERDICTS = f"""\b
Exit codes, beside those of every command:
  0  better, or the same
  {NOT_WELL}  worse
  {NO_EFFECT}  no effect: every answer of the fine-tune is its base model's
  {UNDECIDED}  too few prompts, or too many errors, to say

"""


@click.command("compare", epilog=_VERDICTS + example(f"tests compare {FIRST} {SECOND}"))
@click.argument("baseline", metavar="BASELINE")
@click.argument("candidate", metavar="CANDIDATE")
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.05,
    show_default=True,
    help="The significance level.",
)
@click.option(
    "--margin",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.1,
    show_default=True,
    help="Scores that differ by less for certain are the same.",
)
@click.option(
    "--changed",
    type=click.IntRange(0, 1000),
    default=10,
    show_default=True,
    metavar="N",
    help="How many of the prompts that changed to show, the lost ones first.",
)
@json_option
@connected
def compare(
    client: Client, baseline: str, candidate: str, alpha: float, margin: float, changed: int, as_json: bool
) -> None:
    """Say whether CANDIDATE is better than BASELINE, two batch tests of one suite."""
    found = client.tests.compare(baseline, candidate, alpha=alpha, margin=margin)
    if as_json:
        show_json(found)
    else:
        _show(found, changed)
    if code := _code(found):
        click.get_current_context().exit(code)


def _show(found: Comparison, changed: int) -> None:
    click.echo(display_comparisons.comparison_card(found))
    if found.tags:
        click.echo(f"\nBy tag\n{display_comparisons.tags_table(found.tags, width())}")
    if some := found.changed[:changed]:
        click.echo(f"\nChanged\n{display_comparisons.changed_table(some, width())}")
    if len(found.changed) > changed:
        click.echo(f"{changed} of {len(found.changed)} that changed; more: --changed N", err=True)


def _code(found: Comparison) -> int:
    if found.no_effect:
        return NO_EFFECT
    return {"worse": NOT_WELL, "insufficient_data": UNDECIDED}.get(found.verdict, 0)


@click.command("report", epilog=example(f"tests report {SECOND} --against {FIRST} --to report.html"))
@click.argument("test_id", metavar="ID")
@click.option("--against", metavar="ID", help="The batch test that it is compared with.")
@click.option("--to", "file", type=click.Path(path_type=Path), help="A file, in place of the screen.")
@connected
def report(client: Client, test_id: str, against: str | None, file: Path | None) -> None:
    """Write a batch test as one HTML page that needs nothing else."""
    page = client.tests.report(test_id, against)
    if file is None:
        click.echo(page)
        return
    try:
        file.write_text(page, encoding="utf-8")
    except OSError as problem:
        raise BadInput(problem.strerror or str(problem), file=str(file)) from None
    click.echo(file)
