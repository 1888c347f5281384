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
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from api.database import Database
from api.metric_body import Row
from api.metric_tables import MetricTables, metric_tables
from api.metric_transaction import Written, take
from api.problems import Problem

log = logging.getLogger("tuneyard.api")
ROWS_AT_ONCE = 20_000
_POSTGRES_FULL = "53100"
_FULL = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR)


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
            outcomes |= take(tables, digest, reports)
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
