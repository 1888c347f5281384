"""What one token's reports change, in one transaction: the rows, the buckets they fall in, the job's newest values."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any, Protocol

import orjson

from api.access.caller import JobCaller
from api.lifecycle import Event, after
from api.metric_body import EXTRA, NUMBERS, TIME, Row, microseconds
from api.metric_rollup import WIDTHS, Bucket, in_buckets, in_larger
from api.metric_tables import Key, MetricTables
from api.tables import now, token_is_over
from tuneyard.shapes import JobStatus

RUN = 64  # buckets
_TIMES = WIDTHS[1] // WIDTHS[0]
_EPOCH, _LOSS, _EVAL = (1 + NUMBERS.index(name) for name in ("epoch", "train_loss", "eval_loss"))
_NEWEST = {
    "current_epoch": _EPOCH,
    "loss": _LOSS,
    "eval_loss": _EVAL,
    "tokens_per_second": 1 + NUMBERS.index("tokens_per_second"),
    "gpu_memory_allocated_gb": 1 + NUMBERS.index("gpu_memory_allocated_gb"),
}
_Job = dict[str, Any]


class Report(Protocol):
    """Rows of one request, for the job of that id; None: for whichever is the token's."""

    job_id: str | None
    rows: list[Row]


@dataclass(frozen=True)
class Written:
    """What became of a report. No `who`: its token is none that holds; no `status`: it is another job's."""

    who: JobCaller | None = None
    status: str = ""


def take(tables: MetricTables, digest: str, reports: Sequence[Report]) -> dict[int, Written]:
    """Store those of one token's reports that it may write; what became of each, by its `id()`."""
    job = tables.job(digest)
    if job is None or token_is_over(tables.moment(job["ended_at"])):
        return {id(report): Written() for report in reports}
    who = JobCaller(job["pk"], job["id"], job["workspace_id"], digest)
    mine = [report for report in reports if report.job_id in (None, job["id"])]
    if mine:
        _store(tables, job, _in_order([row for report in mine for row in report.rows]))
    written = Written(who, job["status"])
    return {id(report): written if report in mine else Written(who) for report in reports}


def _store(tables: MetricTables, job: _Job, rows: list[Row]) -> None:
    arrived = now()
    first, last_before = rows[0][0], tables.last_step(job["pk"])
    tables.insert(_to_insert(job, rows, microseconds(arrived)))
    if first > last_before:
        _add_to_buckets(tables, job, rows)
    else:
        _sum_up_again(tables, job, rows)
    _move(tables, job, arrived)
    if job["kind"] == "finetune":
        _follow(job, rows)
    tables.follow(job)


def _in_order(rows: list[Row]) -> list[Row]:
    """By step, each once: of what the same step says twice, the later."""
    if all(one[0] < other[0] for one, other in pairwise(rows)):
        return rows
    known: dict[int, Row] = {}
    for row in rows:
        known[row[0]] = _both(known[row[0]], row) if row[0] in known else row
    return [known[step] for step in sorted(known)]


def _both(old: Row, new: Row) -> Row:
    numbers = (a if b is None else b for a, b in zip(old[:TIME], new[:TIME], strict=True))
    return (*numbers, old[TIME] or new[TIME], old[EXTRA] | new[EXTRA])


def _to_insert(job: _Job, rows: list[Row], arrived: int) -> list[tuple[Any, ...]]:
    of = (job["pk"], job["attempt"], job["workspace_id"])
    return [
        of + row[:TIME] + (row[TIME] or arrived, orjson.dumps(row[EXTRA]).decode() if row[EXTRA] else "{}")
        for row in rows
    ]


def _add_to_buckets(tables: MetricTables, job: _Job, rows: list[Row]) -> None:
    """The rows come after all that are there: of each width only the bucket of the first can have been begun."""
    first, more = rows[0][0], in_buckets(rows)
    begun = tables.buckets(job["pk"], [(width, first // width) for width in WIDTHS])
    found: dict[Key, Bucket] = {}
    for width in WIDTHS:
        found |= {(width, number): bucket for number, bucket in more.items()}
        if here := begun.get((width, first // width)):
            here.add(more[first // width])
            found[width, first // width] = here
        more = in_larger(more, _TIMES)
    tables.put(job, found.items())


def _sum_up_again(tables: MetricTables, job: _Job, rows: list[Row]) -> None:
    """Some of the rows were there, or are in between: their buckets, from what is stored now."""
    numbers, smaller = sorted({row[0] // WIDTHS[0] for row in rows}), 0
    for width in WIDTHS:
        found: dict[int, Bucket] = {}
        for first, last in _runs(numbers):
            if smaller:
                inner = tables.buckets_in(job["pk"], smaller, first * _TIMES, last * _TIMES + _TIMES - 1)
                found |= in_larger(inner, _TIMES)
            else:
                found |= in_buckets(tables.rows(job["pk"], first * width, last * width + width - 1))
        tables.put(job, [((width, number), found[number]) for number in numbers])
        numbers, smaller = sorted({number // _TIMES for number in numbers}), width


def _runs(numbers: list[int]) -> Iterator[tuple[int, int]]:
    """Numbers in order as first and last of those that follow one another, few enough to be read at once."""
    first = last = numbers[0]
    for number in numbers[1:]:
        if number != last + 1 or number - first >= RUN:
            yield first, last
            first = number
        last = number
    yield first, last


def _move(tables: MetricTables, job: _Job, arrived: datetime) -> None:
    """The first point turns a job running; those that come late, once it has ended, do not."""
    job["status"] = after(JobStatus(job["status"]), Event.REPORT).value
    job["last_report_at"] = tables.time(arrived)
    if job["status"] == JobStatus.RUNNING and job["started_at"] is None:
        job["started_at"] = job["last_report_at"]


def _follow(job: _Job, rows: list[Row]) -> None:
    """Bring the job's newest values up to the rows that are not behind it."""
    evaluated = [row for row in rows if isinstance(row[_EVAL], float)]
    best = min(evaluated, key=lambda row: float(row[_EVAL]), default=None)
    if best and (job["best_eval_loss"] is None or best[_EVAL] < job["best_eval_loss"]):
        job |= {"best_eval_loss": best[_EVAL], "best_step": best[0], "best_epoch": _finite(best[_EPOCH])}
    ahead = [row for row in reversed(rows) if job["current_step"] is None or row[0] >= job["current_step"]]
    if not ahead:
        return
    job["current_step"] = ahead[0][0]
    for name, place in _NEWEST.items():
        job[name] = next((row[place] for row in ahead if isinstance(row[place], float)), job[name])
    told = next((row for row in ahead if row[_LOSS] is not None or row[_EVAL] is not None), None)
    if told:
        job["diverged"] = isinstance(told[_LOSS], str) or isinstance(told[_EVAL], str)


def _finite(value: float | str | None) -> float | None:
    return None if isinstance(value, str) else value
