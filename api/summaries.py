"""What one batch test says: scores with intervals, by tag and by scorer, latency and tokens."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select as select_columns
from sqlmodel import Session, col

from api import tables
from api.comparability import Run
from api.paired_statistics import mean_interval
from api.routes.batch_tests import shown_test
from tuneyard.batch_shapes import GroupFigures, Interval, TestSummary

QUANTILES = (50, 90, 99)
MOST_INTERVALS = 100  # of tags, the largest first; the others have their counts alone


class _Row(NamedTuple):
    """An answer without its texts; one with an error has the score 0, one that nobody has judged yet none."""

    failed: bool
    score: float | None
    passed: bool | None
    weight: float
    tags: list[str] | None
    scores: dict[str, float] | None
    latency_ms: float | None
    input_tokens: int | None
    output_tokens: int | None
    finish_reason: str | None


def summary_of(session: Session, run: Run) -> TestSummary:
    rows = _rows(session, run[0].pk)
    outcomes = [row for row in rows if row.failed or row.score is not None]
    return TestSummary(
        test=shown_test(run),
        overall=_figures(outcomes),
        tags=_by_tag(outcomes),
        scorers=_by_scorer(rows),
        latency_ms=_latency([row.latency_ms for row in rows if row.latency_ms is not None]),
        input_tokens=sum(row.input_tokens or 0 for row in rows),
        output_tokens=sum(row.output_tokens or 0 for row in rows),
        finish_reasons=dict(sorted(Counter(row.finish_reason for row in rows if row.finish_reason).items())),
    )


def _rows(session: Session, job_pk: int) -> list[_Row]:
    table = tables.Prediction
    columns: tuple[Any, ...] = (
        col(table.error).is_not(None),
        *(getattr(table, name) for name in _Row._fields[1:]),
    )
    query = select_columns(*columns).where(col(table.job_pk) == job_pk, col(table.step) == 0)
    return [_Row(*row) for row in session.execute(query.order_by(col(table.prompt_index)))]


def _figures(rows: Sequence[_Row], *, with_interval: bool = True) -> GroupFigures:
    passed = sum(row.passed is True and not row.failed for row in rows)
    scores = [(0.0 if row.failed else row.score or 0.0, row.weight) for row in rows]
    interval = _mean(scores) if scores and with_interval else None
    return GroupFigures(prompts=len(rows), passed=passed, score=interval)


def _by_tag(rows: Iterable[_Row]) -> dict[str, GroupFigures]:
    by_tag: dict[str, list[_Row]] = defaultdict(list)
    for row in rows:
        for tag in set(row.tags or ()):
            by_tag[tag].append(row)
    large = set(sorted(by_tag, key=lambda tag: (-len(by_tag[tag]), tag))[:MOST_INTERVALS])
    return {tag: _figures(by_tag[tag], with_interval=tag in large) for tag in sorted(by_tag)}


def _by_scorer(rows: Iterable[_Row]) -> dict[str, Interval]:
    """Over the answers that each scorer has judged: an error is nobody's to judge."""
    scores: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for row in rows:
        for scorer, score in ({} if row.failed else row.scores or {}).items():
            scores[scorer].append((score, row.weight))
    return {scorer: _mean(scores[scorer]) for scorer in sorted(scores)}


def _mean(scores: Sequence[tuple[float, float]]) -> Interval:
    """Of scores with their weights."""
    return mean_interval([score for score, _ in scores], [weight for _, weight in scores])


def _latency(milliseconds: Sequence[float]) -> dict[str, float]:
    if not milliseconds:
        return {}
    import numpy as np

    found = {f"p{at}": np.percentile(milliseconds, at) for at in QUANTILES}
    return {name: round(float(one), 3) for name, one in (found | {"mean": np.mean(milliseconds)}).items()}
