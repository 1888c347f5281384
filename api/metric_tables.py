"""Metrics in SQLite and in PostgreSQL: the few statements that the writer needs, over a connection of its own.

They are written out, and what is stored goes in as it is: the ORM takes longer than the databases do.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

import orjson

from api.database import Database
from api.metric_body import NUMBERS, Row
from api.metric_rollup import Bucket
from api.strict_json import word_of
from tuneyard.values import NOT_FINITE

FACTS = (
    "pk",
    "id",
    "workspace_id",
    "kind",
    "status",
    "attempt",
    "started_at",
    "ended_at",
    "current_step",
    "current_epoch",
    "loss",
    "eval_loss",
    "diverged",
    "best_eval_loss",
    "best_step",
    "best_epoch",
    "tokens_per_second",
    "gpu_memory_allocated_gb",
)
_KEPT = ("pk", "id", "workspace_id", "kind", "attempt", "ended_at")
CHANGED = (*(name for name in FACTS if name not in _KEPT), "last_report_at")
_COLUMNS = ("job_pk", "attempt", "workspace_id", "step", *NUMBERS, "timestamp", "extra")
_CONFLICT = "ON CONFLICT (job_pk, step, attempt) DO UPDATE SET " + ", ".join(
    f"{name} = coalesce(excluded.{name}, metric.{name})" for name in NUMBERS
)
_BUCKET = ("job_pk", "width", "bucket", "workspace_id", "points", "not_finite", "columns")
Key = tuple[int, int]  # width, number
_JOB = f"SELECT {', '.join(FACTS)} FROM job WHERE token_digest = ?"
_FOLLOW = (
    f"UPDATE job SET {', '.join(f'{name} = ?' for name in CHANGED)}, metrics_version = metrics_version + 1 "
    "WHERE pk = ?"
)
_PUT = (
    f"INSERT INTO metric_bucket ({', '.join(_BUCKET)}) VALUES ({', '.join('?' * len(_BUCKET))}) "
    f"ON CONFLICT (job_pk, width, bucket) DO UPDATE SET {', '.join(f'{n} = excluded.{n}' for n in _BUCKET[4:])}"
)


class MetricTables(ABC):
    """A connection that one thread writes over. What is written counts from `commit` on."""

    lock = ""

    def __init__(self, database: Database) -> None:
        self._kept = database.engine.raw_connection()
        self._connection: Any = self._kept.driver_connection
        self._kept.detach()

    @abstractmethod
    def begin(self) -> None: ...

    @abstractmethod
    def insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        """Store rows of _COLUMNS, each of another step or attempt; one that is there is filled in and overwritten."""

    @abstractmethod
    def time(self, value: datetime) -> Any:
        """A time as a job's row holds it."""

    @abstractmethod
    def moment(self, value: Any) -> datetime | None:
        """The time that a job's row holds."""

    @abstractmethod
    def _row(self, found: tuple[Any, ...]) -> Row: ...

    def _sql(self, text: str) -> str:
        return text

    def _ask(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        found: list[tuple[Any, ...]] = self._connection.execute(self._sql(text), values).fetchall()
        return found

    def job(self, digest: str) -> dict[str, Any] | None:
        """The facts of the job that a token is for; nobody else changes it until the commit."""
        found = self._ask(_JOB + self.lock, [digest])
        return dict(zip(FACTS, found[0], strict=True)) if found else None

    def follow(self, job: dict[str, Any]) -> None:
        values = [job[name] for name in CHANGED]
        self._connection.execute(self._sql(_FOLLOW), [*values, job["pk"]])

    def last_step(self, job_pk: int) -> int:
        """-1: it has none."""
        last = self._ask("SELECT max(step) FROM metric WHERE job_pk = ?", [job_pk])[0][0]
        return -1 if last is None else int(last)

    def rows(self, job_pk: int, first: int, last: int) -> list[Row]:
        """Of each of those steps the newest attempt's row, in order."""
        text = (
            f"SELECT step, {', '.join(NUMBERS)}, timestamp, {self._sql('extra')} FROM metric "
            "WHERE job_pk = ? AND step BETWEEN ? AND ? ORDER BY step, attempt"
        )
        newest = {found[0]: found for found in self._ask(text, [job_pk, first, last])}
        return [self._row(found) for found in newest.values()]

    def buckets(self, job_pk: int, keys: Sequence[Key]) -> dict[Key, Bucket]:
        """Those of them that there are."""
        which = " OR ".join("(width = ? AND bucket = ?)" for _ in keys)
        text = f"SELECT width, bucket, points, not_finite, columns FROM metric_bucket WHERE job_pk = ? AND ({which})"
        found = self._ask(text, [job_pk, *(part for key in keys for part in key)])
        return {(row[0], row[1]): Bucket(row[2], row[3], orjson.loads(row[4])) for row in found}

    def buckets_in(self, job_pk: int, width: int, first: int, last: int) -> dict[int, Bucket]:
        text = (
            "SELECT bucket, points, not_finite, columns FROM metric_bucket "
            "WHERE job_pk = ? AND width = ? AND bucket BETWEEN ? AND ?"
        )
        found = self._ask(text, [job_pk, width, first, last])
        return {row[0]: Bucket(row[1], row[2], orjson.loads(row[3])) for row in found}

    def put(self, job: dict[str, Any], buckets: Iterable[tuple[Key, Bucket]]) -> None:
        """Store buckets in the place of what was there."""
        values = [
            (job["pk"], *key, job["workspace_id"], bucket.points, bucket.not_finite, bucket.as_json())
            for key, bucket in buckets
        ]
        self._many(self._sql(_PUT), values)

    def _many(self, text: str, values: Sequence[tuple[Any, ...]]) -> None:
        self._connection.executemany(text, values)

    def commit(self) -> None:
        self._connection.commit()

    def close(self) -> None:
        """What was not committed is forgotten."""
        self._kept.close()


class SqliteMetrics(MetricTables):
    """Rows go in by the handful: each statement gives up the interpreter once, not once a row."""

    _HANDFULS = (128, 64, 32, 16, 8, 4, 2, 1)

    def __init__(self, database: Database) -> None:
        super().__init__(database)
        # Pages. What many small commits write again and again goes from the log into the file once in a while.
        self._connection.execute("PRAGMA wal_autocheckpoint = 4000")

    def begin(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        done = 0
        for count in self._HANDFULS:
            while len(rows) - done >= count:
                values = [value for row in rows[done : done + count] for value in row]
                self._connection.execute(_insert_into_sqlite(count), values)
                done += count

    def time(self, value: datetime) -> str:
        return value.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")

    def moment(self, value: str | None) -> datetime | None:
        return None if value is None else datetime.fromisoformat(value).replace(tzinfo=UTC)

    def _row(self, found: tuple[Any, ...]) -> Row:
        return (*found[:-1], orjson.loads(found[-1]))


@cache
def _insert_into_sqlite(count: int) -> str:
    one = f"({', '.join('?' * len(_COLUMNS))})"
    return (
        f"INSERT INTO metric ({', '.join(_COLUMNS)}) VALUES {', '.join([one] * count)} "
        f"{_CONFLICT}, extra = json_patch(metric.extra, excluded.extra)"
    )


class PostgresMetrics(MetricTables):
    lock = " FOR UPDATE"
    _ARRAYS = (
        "bigint",
        "int",
        "bigint",
        "bigint",
        *("float8" for _ in NUMBERS),
        "bigint",
        "text",
    )
    _FROM = ", ".join("extra::json" if name == "extra" else name for name in _COLUMNS)
    _INSERT = (
        f"INSERT INTO metric ({', '.join(_COLUMNS)}) SELECT {_FROM} FROM unnest("
        + ", ".join(f"%b::{kind}[]" for kind in _ARRAYS)
        + f") AS sent ({', '.join(_COLUMNS)}) {_CONFLICT}, "
        "extra = (metric.extra::jsonb || excluded.extra::jsonb)::json"
    )

    def begin(self) -> None:
        """The first statement does."""

    def _sql(self, text: str) -> str:
        return "extra::text" if text == "extra" else text.replace("?", "%s")

    def insert(self, rows: Sequence[tuple[Any, ...]]) -> None:
        columns = [list(values) for values in zip(*rows, strict=True)]
        for place in range(4, 4 + len(NUMBERS)):
            columns[place] = [NOT_FINITE.get(value, value) for value in columns[place]]
        self._connection.execute(self._INSERT, columns)

    def _many(self, text: str, values: Sequence[tuple[Any, ...]]) -> None:
        self._connection.cursor().executemany(text, values)

    def time(self, value: datetime) -> datetime:
        return value

    def moment(self, value: datetime | None) -> datetime | None:
        return value

    def _row(self, found: tuple[Any, ...]) -> Row:
        numbers = [word_of(value) for value in found[1:-2]]
        return (found[0], *numbers, found[-2], orjson.loads(found[-1]))


def metric_tables(database: Database) -> MetricTables:
    return SqliteMetrics(database) if database.is_sqlite else PostgresMetrics(database)
