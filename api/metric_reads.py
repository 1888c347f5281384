"""Metric points out: pages of a history, and its buckets.

What a run had reported after its last checkpoint is reported again by the run that goes on from there: of each step
the newest attempt's point counts, unless one attempt is asked for.
"""

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson
from sqlalchemy import Text, and_, cast, exists, func
from sqlalchemy import select as columns_of
from sqlmodel import Session, col, select

from api.database import Database
from api.metric_body import NUMBERS, Row
from api.metric_rollup import WIDTHS, Bucket, in_buckets, in_larger
from api.strict_json import word_of
from api.tables import Job, Metric, MetricBucket
from tuneyard.shapes import MetricRow

CHUNK = 10_000
FEWEST_BUCKETS = 4  # the kept buckets are fine enough where they are this part of what was asked for
_TABLE = Metric.__table__  # type: ignore[attr-defined]
_BUCKETS = MetricBucket.__table__  # type: ignore[attr-defined]
_FIXED = ("step", "attempt", *NUMBERS, "timestamp")
# Threads that fetch rows beside each other hand the interpreter to and fro at each row: one after the other is faster.
_fetching = threading.Lock()


@dataclass(frozen=True)
class Wanted:
    """Which points. `columns`: names, those in `extra` among them; None: all. `after`: the step before the first."""

    columns: tuple[str, ...] | None = None
    attempt: int | None = None
    after: int | None = None
    limit: int | None = None
    offset: int = 0

    def limited(self, limit: int, *, by_row: bool) -> "Wanted":
        """One page of it; a row of JSON always says which it is, and when it was."""
        named = self.columns
        if by_row and named is not None:
            named = (*named, "attempt", "timestamp")
        return replace(self, limit=limit, columns=named)

    @property
    def fixed(self) -> tuple[str, ...]:
        """The table's columns that are to be read, without `extra`."""
        chosen = self.columns
        return _FIXED if chosen is None else ("step", *(n for n in _FIXED[1:] if n in chosen))

    @property
    def extras(self) -> tuple[str, ...]:
        """The names that are to be looked for in `extra`."""
        return tuple(name for name in self.columns or () if name not in _FIXED and name != "extra")

    @property
    def reads_extra(self) -> bool:
        return self.columns is None or "extra" in self.columns or bool(self.extras)


@dataclass(frozen=True)
class Found:
    """Columns of one length by name; `extra` is JSON text. `next_step` goes in the next page's `after`."""

    columns: dict[str, list[Any]]
    next_step: int | None

    def __len__(self) -> int:
        return len(self.columns["step"])


def _of(job: Job, attempt: int | None) -> Any:
    """The condition that a row is one of the points asked for."""
    mine = _TABLE.c.job_pk == job.pk
    if attempt is not None:
        return and_(mine, _TABLE.c.attempt == attempt)
    if job.attempt <= 1:
        return mine
    again = _TABLE.alias()
    return and_(
        mine,
        ~exists().where(
            again.c.job_pk == job.pk, again.c.step == _TABLE.c.step, again.c.attempt > _TABLE.c.attempt
        ),
    )


def total(session: Session, job: Job, attempt: int | None = None) -> int:
    """How many points there are; of all attempts, as the widest buckets know."""
    if attempt is None:
        query = columns_of(func.sum(_BUCKETS.c.points)).where(
            _BUCKETS.c.job_pk == job.pk, _BUCKETS.c.width == WIDTHS[-1]
        )
    else:
        query = columns_of(func.count()).select_from(_TABLE).where(_of(job, attempt))
    return int(session.execute(query).scalar() or 0)


def points(session: Session, job: Job, wanted: Wanted) -> Found:
    """By step."""
    chosen = [_TABLE.c[name] for name in wanted.fixed]
    if wanted.reads_extra:
        chosen.append(cast(_TABLE.c.extra, Text))
    query = columns_of(*chosen).where(_of(job, wanted.attempt)).order_by(_TABLE.c.step).offset(wanted.offset)
    if wanted.after is not None:
        query = query.where(_TABLE.c.step > wanted.after)
    if wanted.limit is not None:
        query = query.limit(wanted.limit + 1)
    rows = _fetch(session, query)
    more = wanted.limit is not None and len(rows) > wanted.limit
    if more:
        rows.pop()
    columns = {name: [row[place] for row in rows] for place, name in enumerate(wanted.fixed)}
    if wanted.reads_extra:
        _unfold(columns, wanted, [row[-1] for row in rows])
    if not _is_sqlite(session):
        _words(columns)
    return Found(columns, rows[-1][0] if more else None)


def _fetch(session: Session, query: Any) -> list[tuple[Any, ...]]:
    """The driver's own rows: what the ORM would make of them is not needed."""
    with _fetching:
        return [*session.connection().execute(query).cursor.fetchall()]


def _is_sqlite(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _words(columns: dict[str, list[Any]]) -> None:
    """PostgreSQL keeps numbers that are not finite as such."""
    for name in NUMBERS:
        if name in columns:
            columns[name] = [word_of(value) for value in columns[name]]


def _unfold(columns: dict[str, list[Any]], wanted: Wanted, extra: list[str]) -> None:
    if wanted.extras:
        read = [{} if text == "{}" else orjson.loads(text) for text in extra]
        for name in wanted.extras:
            columns[name] = [row.get(name) for row in read]
    if wanted.columns is None or "extra" in wanted.columns:
        columns["extra"] = extra


def chunks(database: Database, job: Job, wanted: Wanted) -> Iterator[Found]:
    """All that is wanted, a few thousand points at a time; at least one chunk."""
    left = wanted.limit
    while True:
        some = CHUNK if left is None else min(CHUNK, left)
        with database.reading() as session:
            found = points(session, job, replace(wanted, limit=some))
        yield found
        left = None if left is None else left - len(found)
        if found.next_step is None or left == 0:
            return
        wanted = replace(wanted, after=found.next_step, offset=0)


def newest(session: Session, job: Job, count: int) -> list[MetricRow]:
    """The last points of the job's current attempt, the newest first."""
    mine = (col(Metric.job_pk) == job.pk, col(Metric.attempt) == job.attempt)
    rows = session.exec(select(Metric).where(*mine).order_by(col(Metric.step).desc()).limit(count)).all()
    return [MetricRow.model_validate(row.model_dump() | {"timestamp": row.at}) for row in rows]


@dataclass(frozen=True)
class Chart:
    """A history in buckets of `width` steps, by number."""

    width: int
    total: int
    buckets: dict[int, Bucket]


def chart(session: Session, job: Job, most: int, attempt: int | None) -> Chart:
    """In at most so many buckets, and seldom fewer than half of them.

    It is read from the buckets that are kept; point by point where those are too wide for it, or hold other attempts'.
    """
    mine = columns_of(_TABLE.c.step).where(_of(job, attempt)).limit(1)
    first = session.execute(mine.order_by(_TABLE.c.step)).scalar()
    last = session.execute(mine.order_by(_TABLE.c.step.desc())).scalar()
    if first is None or last is None:
        return Chart(1, 0, {})

    def count(width: int) -> int:
        return int(last // width - first // width + 1)

    kept = next((width for width in WIDTHS if count(width) <= 2 * most), WIDTHS[-1])
    one_attempt = attempt is None or job.attempt <= 1
    if one_attempt and count(kept) > most // FEWEST_BUCKETS:
        width = _multiple(kept, count, most)
        buckets = _kept(session, job, kept)
        return _chart(width, buckets if width == kept else in_larger(buckets, width // kept))
    width = _multiple(1, count, most)
    return _chart(width, _summed_up(session, job, attempt, width))


def _multiple(width: int, count: Callable[[int], int], most: int) -> int:
    """The least multiple of a width that gives no more than so many buckets."""
    times = -(-count(width) // most)
    while count(width * times) > most:
        times += 1
    return width * times


def _chart(width: int, buckets: dict[int, Bucket]) -> Chart:
    return Chart(width, sum(bucket.points for bucket in buckets.values()), buckets)


def _kept(session: Session, job: Job, width: int) -> dict[int, Bucket]:
    columns = _BUCKETS.c
    query = (
        columns_of(columns.bucket, columns.points, columns.not_finite, columns.columns)
        .where(columns.job_pk == job.pk, columns.width == width)
        .order_by(columns.bucket)
    )
    rows = _fetch(session, query)
    read = orjson.loads("[" + ",".join([row[3] for row in rows]) + "]")
    return {row[0]: Bucket(row[1], row[2], summed) for row, summed in zip(rows, read, strict=True)}


def _summed_up(session: Session, job: Job, attempt: int | None, width: int) -> dict[int, Bucket]:
    found: dict[int, Bucket] = {}
    wanted = Wanted(attempt=attempt, limit=CHUNK)
    while True:
        some = points(session, job, wanted)
        for number, bucket in in_buckets(_rows(some), width).items() if some else ():
            found.setdefault(number, Bucket()).add(bucket)
        if some.next_step is None:
            return found
        wanted = replace(wanted, after=some.next_step)


def _rows(found: Found) -> list[Row]:
    columns = found.columns
    extra = [None if text == "{}" else orjson.loads(text) for text in columns["extra"]]
    return [
        *zip(columns["step"], *(columns[name] for name in NUMBERS), columns["timestamp"], extra, strict=True)
    ]
