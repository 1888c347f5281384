"""Test suites as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tuneyard.batch_shapes import Prompt, Suite
from tuneyard.display import Column, fields, long_time, short_time, table

PROMPTS_SHOWN = 20
WIDTH = 120


def suites_table(suites: Iterable[Suite], now: datetime, width: int) -> str:
    columns = [
        Column("ID"),
        Column("VERSION", right=True),
        Column("PROMPTS", right=True),
        Column("CREATED (UTC)"),
        Column("NAME", elastic=True),
        Column("DESCRIPTION", elastic=True),
    ]
    rows = [
        (one.id, one.version, one.prompt_count, short_time(one.created_at, now), one.name, one.description)
        for one in suites
    ]
    return table(columns, rows, width)


def suite_card(suite: Suite, now: datetime) -> str:
    """What it is, and its first prompts."""
    prompts = suite.prompts or []
    card = fields(
        [
            ("ID", suite.id),
            ("Name", suite.name),
            ("Version", suite.version),
            ("Description", suite.description),
            ("Prompts", suite.prompt_count),
            ("Tags", ", ".join(sorted({tag for prompt in prompts for tag in prompt.tags})) or None),
            ("SHA-256", suite.sha256),
            ("Created", long_time(suite.created_at, now)),
        ]
    )
    rest = len(prompts) - PROMPTS_SHOWN
    more = f"\n… and {rest} more: tuneyard suites download {suite.id}" if rest > 0 else ""
    return f"{card}\n\n{_prompts_table(prompts[:PROMPTS_SHOWN])}{more}"


def _prompts_table(prompts: Iterable[Prompt]) -> str:
    columns = [
        Column("#", right=True),
        Column("PROMPT", elastic=True),
        Column("EXPECTED", elastic=True),
        Column("SCORER"),
        Column("WEIGHT", right=True),
    ]
    rows = [
        (index, one.text, one.expected, one.scorer and one.scorer.kind, one.weight)
        for index, one in enumerate(prompts)
    ]
    return table(columns, rows, WIDTH)
