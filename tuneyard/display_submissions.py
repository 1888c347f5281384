"""Submitted prompts as text for a terminal."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from tuneyard.display import Column, fields, long_time, short_time, table
from tuneyard.submission_shapes import Submission


def submission_card(job: Submission, now: datetime) -> str:
    result = job.result or {}
    return fields(
        [
            ("Job", job.job_id),
            ("State", job.state),
            ("Type", job.payload.get("type")),
            ("Model", job.payload.get("model")),
            ("Prompt", job.payload.get("prompt")),
            ("Answer", result.get("text")),
            ("Error", job.error),
            ("Host", job.assigned_miner_id),
            ("Submitted", long_time(job.requested_at, now)),
            ("Expires", None if job.started_at else long_time(job.expires_at, now)),
            ("Started", long_time(job.started_at, now)),
            ("Ended", long_time(job.completed_at, now)),
        ]
    )


def history_table(jobs: Iterable[Submission], now: datetime, width: int) -> str:
    columns = [
        Column("JOB"),
        Column("STATE"),
        Column("TYPE", elastic=True),
        Column("MODEL", elastic=True),
        Column("SUBMITTED (UTC)"),
        Column("PROMPT", elastic=True),
    ]
    rows = [
        (
            one.job_id,
            one.state,
            one.payload.get("type"),
            one.payload.get("model"),
            short_time(one.requested_at, now),
            one.payload.get("prompt"),
        )
        for one in jobs
    ]
    return table(columns, rows, width)


def answer(text: str) -> str:
    """A model's answer as it is, lines and all, but for what a terminal would act on."""
    return "".join(character if character.isprintable() or character in "\n\t" else "?" for character in text)
