"""Writes the dates example: train.jsonl (400 rows) and suite.jsonl (50 prompts), the same bytes every time.

    python examples/dates/make_rows.py [FOLDER]

No date and no prompt is in both files, so the suite measures whether the rule was learnt, not the rows.
"""

from __future__ import annotations

import json
import random
import sys
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

SEED, TRAINING_ROWS, SUITE_PROMPTS = 2031, 400, 50
FIRST, LAST = date(1950, 1, 1), date(2099, 12, 31)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th … 11th, 12th, 13th … 21st."""
    if number % 100 in (11, 12, 13):
        return f"{number}th"
    return str(number) + {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")


SPELLINGS: list[Callable[[date], str]] = [
    lambda day: f"{day:%B} {ordinal(day.day)}, {day.year}",
    lambda day: f"{day:%B} {day.day}, {day.year}",
    lambda day: f"{day.day} {day:%B} {day.year}",
    lambda day: f"the {ordinal(day.day)} of {day:%B} {day.year}",
    lambda day: f"{day:%b} {day.day}, {day.year}",
    lambda day: f"{day:%A}, {day.day} {day:%B} {day.year}",
]


def main(folder: Path) -> None:
    """Draws distinct dates and spells each in one way, the spellings in turn."""
    chance = random.Random(SEED)
    days = chance.sample(range((LAST - FIRST).days + 1), TRAINING_ROWS + SUITE_PROMPTS)
    pairs = []
    for at, day in enumerate(FIRST + timedelta(days=days) for days in days):
        pairs.append((f"Write as an ISO date: {SPELLINGS[at % len(SPELLINGS)](day)}", day.isoformat()))
    train = [{"prompt": prompt, "completion": answer} for prompt, answer in pairs[:TRAINING_ROWS]]
    suite = [{"prompt": prompt, "expected": answer} for prompt, answer in pairs[TRAINING_ROWS:]]
    for name, rows in (("train.jsonl", train), ("suite.jsonl", suite)):
        (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
