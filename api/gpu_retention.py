"""How long readings are kept: as they came, then five minutes to a row, then not at all.

It is done where readings come in, a little with each: no row of a card is looked at until it is five minutes past its
time. What jobs had of cards (`gpu_use`) is kept for as long as the jobs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any, Self

from sqlalchemy import delete
from sqlmodel import Session, col, select

from api.settings import Settings
from api.tables import Gpu, GpuSample, HostSample, now
from tuneyard.shapes import GpuCounters

BUCKET = timedelta(minutes=5)
MOST = 10_000  # rows of one card that are summed up at a time: more than five minutes have
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HIGHEST = {"temperature_c", "memory_used_gb", "memory_total_gb", "power_limit_w"}
_HIGHEST |= {"energy_j", "ecc_corrected", "ecc_uncorrected"}  # counters: the last is the highest
_MEANS = set(GpuCounters.model_fields) - _HIGHEST - {"throttle", "error"}


@dataclass(frozen=True)
class Limits:
    """Before which moments readings are summed up, and deleted."""

    raw: datetime
    all: datetime

    @classmethod
    def of(cls, settings: Settings) -> Self:
        raw = now() - timedelta(days=settings.tuneyard_gpu_raw_days)
        return cls(_bucket(raw), now() - timedelta(days=settings.tuneyard_gpu_keep_days))


def _bucket(moment: datetime) -> datetime:
    """The beginning of its five minutes."""
    return moment - (moment - _EPOCH) % BUCKET


def tidy(session: Session, card: Gpu, limits: Limits) -> None:
    """Sum up and delete what is too old of a locked card's readings."""
    if card.rolled_until is not None and card.rolled_until >= limits.raw:
        return
    mine = select(GpuSample).where(GpuSample.gpu_pk == card.pk, col(GpuSample.taken_at) < limits.raw)
    if card.rolled_until is not None:
        mine = mine.where(col(GpuSample.taken_at) >= card.rolled_until)
    old = list(session.exec(mine.order_by(col(GpuSample.taken_at)).limit(MOST)))
    card.rolled_until = limits.raw if len(old) < MOST else _bucket(old[-1].taken_at)
    whole = [point for point in old if point.taken_at < card.rolled_until]
    for begin, group in groupby(whole, key=lambda point: _bucket(point.taken_at)):
        _sum_up(session, card, begin, list(group))
    too_old = (col(GpuSample.gpu_pk) == card.pk, col(GpuSample.taken_at) < limits.all)
    session.connection().execute(delete(GpuSample).where(*too_old))


def _sum_up(session: Session, card: Gpu, begin: datetime, points: Sequence[GpuSample]) -> None:
    summed: dict[str, Any] = {name: _over(points, name, max) for name in _HIGHEST}
    summed |= {name: _over(points, name, _mean) for name in _MEANS}
    reasons = [set(point.throttle) for point in points if point.throttle is not None]
    row = GpuSample(
        gpu_pk=card.pk,
        taken_at=begin,
        workspace_id=card.workspace_id,
        samples=sum(point.samples for point in points),
        throttle=sorted(set().union(*reasons)) if reasons else None,
        jobs=sorted({job for point in points for job in point.jobs}),
        error=next((point.error for point in reversed(points) if point.error), None),
        **summed,
    )
    for point in points:
        session.delete(point)
    session.flush()
    session.add(row)
    session.flush()


def _over(points: Sequence[GpuSample], name: str, rule: Any) -> float | None:
    known = [value for point in points if (value := getattr(point, name)) is not None]
    return rule(known) if known else None


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def forget_hosts(session: Session, workspace_id: int, host: str, newest: datetime, limits: Limits) -> None:
    """Delete a host's own older readings, of which only the newest is ever shown."""
    mine = (col(HostSample.workspace_id) == workspace_id, col(HostSample.host) == host)
    old = col(HostSample.taken_at) < min(newest, limits.raw)
    session.connection().execute(delete(HostSample).where(*mine, old))
