"""What jobs had of cards, and what that cost.

The time between two readings of a card belongs to a job that had it at both. One that has just got it has the time
since its lease, one interval at most; what it has after its last reading is not counted, which evens that out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Literal, Self

from sqlmodel import Session, col, select

from api.access.owned import owned
from api.database import Database
from api.settings import Settings
from api.tables import Gpu, GpuUse, Job
from tuneyard import shapes
from tuneyard.shapes import CardUse, GpuSample, HostSample, JobGpu, JobStatus

ALIKE = 20  # completed jobs that are looked at for one with the same config


@dataclass(frozen=True)
class Span:
    """The time between two readings of a card.

    Attributes:
        watts: The mean over it, by the card's own counter of energy where `counted`, else by its power.
        share: What part of the card it is: 1, or a slice's part of its memory.
    """

    seconds: float
    interval: float
    watts: float | None
    counted: bool
    end: datetime
    share: float = 1.0

    @classmethod
    def between(cls, row: Gpu, card: GpuSample, sample: HostSample) -> Self:
        """From the row's reading to the sample's."""
        seconds = 0.0 if row.taken_at is None else (sample.taken_at - row.taken_at).total_seconds()
        watts, counted = _mean_watts(row.reading, card, seconds)
        return cls(seconds, sample.interval_seconds or seconds, watts, counted, sample.taken_at)

    def of_slice(self, card: GpuSample, whole: GpuSample | None, spans: Mapping[str, "Span"]) -> "Span":
        """The same for a slice, which has its part of what its card used; of a whole card, itself."""
        if whole is None or not whole.memory_total_gb or card.memory_total_gb is None:
            return self
        share = min(1.0, max(0.0, card.memory_total_gb / whole.memory_total_gb))
        of_card = spans.get(whole.uuid, self)
        return replace(self, watts=of_card.watts, counted=of_card.counted, share=share)


def _mean_watts(before: Mapping[str, Any], card: GpuSample, seconds: float) -> tuple[float | None, bool]:
    if seconds <= 0:
        return None, False
    counted, power = before.get("energy_j"), before.get("power_w")
    if counted is not None and card.energy_j is not None and card.energy_j >= counted:
        return (card.energy_j - counted) / seconds, True
    known = [watts for watts in (power, card.power_w) if watts is not None]
    return (sum(known) / len(known) if known else None), False


def seconds_of(job: Job, span: Span, *, had_it_before: bool) -> float:
    """How long of the span a job that has the card at its end had it."""
    if had_it_before:
        return span.seconds
    since = max((moment for moment in (job.gpu_leased_at, job.claimed_at) if moment), default=span.end)
    return max(0.0, min(span.seconds, span.interval, (span.end - since).total_seconds()))


def add_use(
    session: Session, row: Gpu, job: Job, card: GpuSample, span: Span, seconds: float, sharers: int
) -> None:
    """Add the time to what the attempt had of the card; its row is locked, and that guards this one too."""
    use = session.get(GpuUse, (job.pk, job.attempt, row.pk)) or GpuUse(
        job_pk=job.pk,
        attempt=job.attempt,
        gpu_pk=row.pk,
        workspace_id=row.workspace_id,
        first_at=span.end - timedelta(seconds=seconds),
        last_at=span.end,
    )
    part = seconds * span.share / sharers
    use.name, use.last_at = card.name or use.name, span.end
    use.seconds += part
    if card.utilization_percent is not None:
        use.measured_seconds += part
        use.busy_seconds += part * card.utilization_percent / 100
    if span.watts is not None and span.counted:
        use.counted_j = (use.counted_j or 0.0) + span.watts * part
    elif span.watts is not None:
        use.integrated_j = (use.integrated_j or 0.0) + span.watts * part
    if (memory := _memory_of(card)) is not None:
        use.peak_memory_gb = max(use.peak_memory_gb or 0.0, memory)
    session.add(use)


def _memory_of(card: GpuSample) -> float | None:
    """What is in use on the card; where it says nothing of itself, what its processes have."""
    held = [one.memory_gb for one in card.processes if one.memory_gb is not None]
    return card.memory_used_gb if card.memory_used_gb is not None else sum(held) if held else None


@dataclass(frozen=True)
class Tariff:
    """What a GPU-hour and a kilowatt-hour cost; None: nothing that is asked for."""

    gpu_hour: float | None
    kwh: float | None
    currency: str

    @classmethod
    def of(cls, settings: Settings) -> Self:
        return cls(settings.tuneyard_gpu_hour_price, settings.tuneyard_kwh_price, settings.tuneyard_currency)

    @property
    def is_set(self) -> bool:
        return self.gpu_hour is not None or self.kwh is not None

    def cost(self, hours: float, energy_wh: float | None) -> float | None:
        """None where there is no tariff, or energy has a price and is not known."""
        if not self.is_set or (self.kwh is not None and energy_wh is None):
            return None
        return round(hours * (self.gpu_hour or 0.0) + (energy_wh or 0.0) / 1000 * (self.kwh or 0.0), 6)


def account(session: Session, job: Job, tariff: Tariff) -> JobGpu:
    """What the job had of cards, in all and by card and attempt."""
    query = (
        select(GpuUse, Gpu)
        .join(Gpu, col(Gpu.pk) == GpuUse.gpu_pk)
        .where(col(GpuUse.job_pk) == job.pk)
        .order_by(col(GpuUse.attempt), col(Gpu.host), col(Gpu.uuid))
    )
    found = list(session.exec(query))
    return JobGpu(
        job_id=job.id,
        currency=tariff.currency if tariff.is_set else None,
        cards=[_card(use, card, tariff) for use, card in found],
        **_summed([use for use, _ in found], tariff),
    )


def _card(use: GpuUse, card: Gpu, tariff: Tariff) -> CardUse:
    where: dict[str, Any] = {"host": card.host, "uuid": card.uuid, "name": use.name}
    when: dict[str, Any] = {"attempt": use.attempt, "first_at": use.first_at, "last_at": use.last_at}
    return CardUse(**where, **when, **_summed([use], tariff))


def _summed(uses: Sequence[GpuUse], tariff: Tariff) -> dict[str, Any]:
    """The fields of a GpuUse."""
    hours = sum(use.seconds for use in uses) / 3600
    measured = sum(use.measured_seconds for use in uses)
    joules = [j for use in uses for j in (use.counted_j, use.integrated_j) if j is not None]
    energy = sum(joules) / 3600 if joules else None
    peaks = [use.peak_memory_gb for use in uses if use.peak_memory_gb is not None]
    summed = shapes.GpuUse(
        gpu_hours=round(hours, 6),
        utilization_percent=round(100 * sum(use.busy_seconds for use in uses) / measured, 2)
        if measured
        else None,
        energy_wh=None if energy is None else round(energy, 6),
        energy_source=_source(uses),
        peak_memory_gb=max(peaks, default=None),
        cost=tariff.cost(hours, energy) if uses else None,
    )
    return summed.model_dump()


def _source(uses: Sequence[GpuUse]) -> Literal["counter", "power", "both"] | None:
    counted = any(use.counted_j is not None for use in uses)
    integrated = any(use.integrated_j is not None for use in uses)
    if counted and integrated:
        return "both"
    return "counter" if counted else "power" if integrated else None


def likely_cost(database: Database, settings: Settings, job: Job) -> float | None:
    """What the newest completed job of the same kind with the same config cost; None where that is not known."""
    tariff = Tariff.of(settings)
    if not tariff.is_set:
        return None
    alike = owned(Job, job.workspace_id).where(
        Job.kind == job.kind, Job.status == JobStatus.COMPLETED, Job.model == job.model
    )
    with database.reading() as session:
        for done in session.exec(alike.order_by(col(Job.pk).desc()).limit(ALIKE)):
            if (done.config, done.dataset) == (job.config, job.dataset):
                return account(session, done, tariff).cost
    return None
