"""Show a job or a batch test as it goes on: a bar on a terminal, lines elsewhere, JSON for a program."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from functools import partial

import click

from tuneyard.batch_shapes import BatchTest
from tuneyard.display import clipped, plain, progress_line, test_line
from tuneyard.shapes import Job

Watched = Job | BatchTest

_BAR_CELLS = 20
# The bar counts hundredths of a percent: `total_steps` may be unknown, and may change with the attempt.
_BAR_LENGTH = 10_000
_BAR_PLACE = len("  [] 100%  ") + _BAR_CELLS


def _words(job: Watched) -> str:
    return test_line(job) if isinstance(job, BatchTest) else progress_line(job)


def as_json(readings: Iterable[Watched]) -> None:
    for job in readings:
        click.echo(job.model_dump_json())


def as_lines(readings: Iterable[Watched]) -> None:
    """One line a change that a person would see."""
    said = ""
    for job in readings:
        line = f"{job.status}  {job.progress:.2f}%  {_words(job)}"
        if line != said:
            click.echo(f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC  {line}")
            said = line


def as_bar(readings: Iterable[Watched], name: str) -> None:
    label = clipped(plain(name), 20)
    shown = click.progressbar(
        length=_BAR_LENGTH,
        label=label,
        width=_BAR_CELLS,
        show_eta=False,
        update_min_steps=0,
        item_show_func=partial(_beside_the_bar, label=len(label)),
    )
    with shown as bar:
        for job in readings:
            # Set, not added to: a new attempt may begin behind the one before it.
            bar.pos = round(job.progress * _BAR_LENGTH / 100)
            bar.finished = bar.pos >= _BAR_LENGTH
            bar.update(0, job)


def _beside_the_bar(job: Watched | None, label: int) -> str:
    if job is None:
        return ""
    return clipped(_words(job), max(20, shutil.get_terminal_size().columns - label - _BAR_PLACE - 1))
