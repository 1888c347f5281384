"""Metric points in: each stored once, whatever is sent twice, with the buckets it falls in and the job's newest values.

One thread writes, and what has come in while it wrote goes into its next transaction together: points, buckets,
the job's row, or nothing of it. Whoever sent them is answered after the commit. In SQLite (WAL, synchronous=NORMAL)
and PostgreSQL what was answered survives a SIGKILL of the server; after a power cut SQLite may lack the last moments,
PostgreSQL (synchronous_commit) nothing. Of a request whose points are not all right none is stored.
"""

import asyncio
import logging
import queue
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from itertools import pairwise
from typing import Any

import orjson
from sqlalchemy.exc import SQLAlchemyError

from api.access.caller import JobCaller
from api.database import Database
from api.lifecycle import Event, after
from api.metric_body import EXTRA, NUMBERS, TIME, Row, microseconds
from api.metric_rollup import WIDTHS, Bucket, in_buckets, in_larger
from api.metric_tables import Key, MetricTables, metric_tables
from api.problems import Problem
from api.tables import now, token_is_over
from tuneyard.shapes import JobStatus

log = logging.getLogger("tuneyard.api")
ROWS_AT_ONCE = 20_000
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
_POSTGRES_FULL = "53100"
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)
_Job = dict[str, Any]


@dataclass(frozen=True)
class Written:
    """What became of a report. No `who`: its token is none that holds; no `status`: it is another job's."""

    who: JobCaller | None = None
    status: str = ""


@dataclass
class _Report:
    """Rows of one request. `answer` is the future that its endpoint waits for, in `loop`."""

    digest: str
    job_id: str | None
    rows: list[Row]
    loop: asyncio.AbstractEventLoop
    answer: asyncio.Future[Written] = field(init=False)

    def __post_init__(self) -> None:
        self.answer = self.loop.create_future()

    def settle(self, outcome: Written | Exception) -> None:
        if self.answer.done():  # nobody waits any more
            return
        if isinstance(outcome, Exception):
            self.answer.set_exception(outcome)
        else:
            self.answer.set_result(outcome)


class MetricStore:
    """One process's writer of metrics. Its thread starts with the first report."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._driver: Any = database.engine.dialect.loaded_dbapi
        self._waiting: queue.SimpleQueue[_Report | None] = queue.SimpleQueue()
        self._tables: MetricTables | None = None
        self._thread: threading.Thread | None = None

    async def write(self, digest: str, job_id: str | None, rows: list[Row]) -> Written:
        """Store the rows of the run whose token has that digest, unless it is another job's than `job_id`.

        Raises:
            Problem: 503 where the database is locked or away, or its disk is full.
        """
        if self._thread is None:
            self._thread = threading.Thread(target=self._write_on, name="metrics", daemon=True)
            self._thread.start()
        report = _Report(digest, job_id, rows, asyncio.get_running_loop())
        self._waiting.put(report)
        return await report.answer

    def stop(self) -> None:
        """Write what is left."""
        if self._thread is not None:
            self._waiting.put(None)
            self._thread.join()

    def _write_on(self) -> None:
        while (first := self._waiting.get()) is not None:
            group, over = self._gather(first)
            outcomes = self._outcomes(group)
            for loop in {report.loop for report in group}:
                mine = [pair for pair in zip(group, outcomes, strict=True) if pair[0].loop is loop]
                _tell(loop, mine)
            if over:
                break
        self._forget()

    def _gather(self, first: _Report) -> tuple[list[_Report], bool]:
        """It and what waits behind it; whether that is all there will be."""
        group, rows = [first], len(first.rows)
        while rows < ROWS_AT_ONCE:
            try:
                more = self._waiting.get_nowait()
            except queue.Empty:
                break
            if more is None:
                return group, True
            group.append(more)
            rows += len(more.rows)
        return group, False

    def _outcomes(self, group: list[_Report]) -> Sequence[Written | Exception]:
        try:
            return self._commit(group)
        except (self._driver.Error, SQLAlchemyError) as problem:
            self._forget()
            if len(group) > 1 and not isinstance(problem, self._driver.OperationalError):
                return [outcome for report in group for outcome in self._outcomes([report])]
            return [_no_answer(problem)] * len(group)
        except Exception as problem:  # noqa: BLE001  whoever waits is told, whatever it was
            self._forget()
            return [problem] * len(group)

    def _commit(self, group: list[_Report]) -> list[Written]:
        if self._tables is None:
            self._tables = metric_tables(self._database)
        tables, outcomes = self._tables, dict[int, Written]()
        tables.begin()
        for digest in sorted({report.digest for report in group}):
            reports = [report for report in group if report.digest == digest]
            outcomes |= _take(tables, digest, reports)
        tables.commit()
        return [outcomes[id(report)] for report in group]

    def _forget(self) -> None:
        """The connection, with what it has not committed."""
        tables, self._tables = self._tables, None
        if tables is not None:
            with suppress(Exception):  # it was given up already
                tables.close()


def _tell(loop: asyncio.AbstractEventLoop, outcomes: list[tuple[_Report, Written | Exception]]) -> None:
    def settle() -> None:
        for report, outcome in outcomes:
            report.settle(outcome)

    try:
        loop.call_soon_threadsafe(settle)
    except RuntimeError:
        log.warning("%s answers to metric reports came after the server had stopped", len(outcomes))


def _no_answer(problem: Exception) -> Problem:
    log.error("The database took no metrics: %s", getattr(problem, "orig", problem))
    code = getattr(problem, "sqlite_errorcode", 0) & 0xFF
    if code in _FULL or getattr(problem, "sqlstate", None) == _POSTGRES_FULL:
        return Problem(503, "The database's disk is full: nothing was stored; try again")
    return Problem(503, "The database is locked or away: try again")


def _take(tables: MetricTables, digest: str, reports: list[_Report]) -> dict[int, Written]:
    """Store those of one token's reports that it may write; what became of each."""
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
