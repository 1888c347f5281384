"""Readings of hosts in: each card's newest, its history, and what each job had of it, in a transaction a reading.

A reading of a host is known by its moment: sent again, or taken by two collectors at once, it changes nothing. One that
comes after a newer one only fills the history: the newer one has told what lay between.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlmodel import Session, col

from api.access.owned import owned
from api.database import Database, insert_into
from api.gpu_accounts import Span, add_use, seconds_of
from api.gpu_conditions import lasting, shown_by, vanished
from api.gpu_retention import Limits, forget_hosts, tidy
from api.gpu_ties import Ties
from api.tables import Gpu, GpuSample, Job
from api.tables import HostSample as HostRow
from tuneyard import shapes
from tuneyard.shapes import GpuCounters, HostSample

_HOSTS = HostRow.__table__  # type: ignore[attr-defined]
_CARDS = Gpu.__table__  # type: ignore[attr-defined]
_POINTS = GpuSample.__table__  # type: ignore[attr-defined]


def store(database: Database, workspace_id: int, samples: Sequence[HostSample], limits: Limits) -> None:
    """Store the readings, the oldest first; what is too old by now is summed up or deleted.

    Others write between two of them: a thousand that waited for the API would hold SQLite's lock for seconds.
    """
    for sample in sorted(samples, key=lambda sample: (sample.host, sample.taken_at)):
        with database.writing() as session:
            if _is_new(session, workspace_id, sample):
                _store(session, workspace_id, sample, limits)


def _is_new(session: Session, workspace_id: int, sample: HostSample) -> bool:
    row = sample.model_dump(exclude={"gpus"}) | {"workspace_id": workspace_id}
    insert = insert_into(session, _HOSTS).values(**row).on_conflict_do_nothing()
    return bool(session.connection().execute(insert).rowcount)


def _store(session: Session, workspace_id: int, sample: HostSample, limits: Limits) -> None:
    read = {card.uuid: card for card in sample.gpus}
    rows = _locked(session, workspace_id, sample.host, read)
    ties = Ties(session, workspace_id, sample)
    newer = [row for row in rows.values() if row.taken_at is None or row.taken_at < sample.taken_at]
    spans = {row.uuid: Span.between(row, read[row.uuid], sample) for row in newer if row.uuid in read}
    had = {uuid: [] if card.mig else ties.holders(card) for uuid, card in read.items()}
    _add_points(session, rows, sample, had)
    for uuid, card in read.items():
        holders = had[uuid]
        if uuid in spans:
            span = spans[uuid].of_slice(card, read.get(card.card_uuid or ""), spans)
            _account(session, rows[uuid], card, span, holders)
            _renew(rows[uuid], card, ties, holders)
    for row in newer:
        if row.uuid not in read:
            row.conditions = lasting(row.conditions, vanished(sample), sample.taken_at)
        tidy(session, row, limits)
    forget_hosts(session, workspace_id, sample.host, sample.taken_at, limits)


def _locked(session: Session, workspace_id: int, host: str, read: dict[str, Any]) -> dict[str, Gpu]:
    """The host's cards by UUID, those it had before too; nobody else adds a reading of them until this is over."""
    new = [{"workspace_id": workspace_id, "host": host, "uuid": uuid, **_EMPTY} for uuid in sorted(read)]
    if new:
        session.connection().execute(insert_into(session, _CARDS).on_conflict_do_nothing(), new)
    query = owned(Gpu, workspace_id).where(Gpu.host == host).order_by(col(Gpu.pk)).with_for_update()
    return {row.uuid: row for row in session.exec(query)}


_EMPTY: dict[str, Any] = {"reading": {}, "holders": [], "seen": {}, "conditions": {}}


def _add_points(
    session: Session, rows: Mapping[str, Gpu], sample: HostSample, had: Mapping[str, Sequence[Job]]
) -> None:
    points = [
        card.model_dump(include=set(GpuCounters.model_fields))
        | {
            "gpu_pk": rows[card.uuid].pk,
            "taken_at": sample.taken_at,
            "workspace_id": rows[card.uuid].workspace_id,
            "samples": 1,
            "jobs": [job.id for job in had[card.uuid]],
        }
        for card in sample.gpus
    ]
    if points:
        session.connection().execute(insert_into(session, _POINTS).on_conflict_do_nothing(), points)


def _account(session: Session, row: Gpu, card: shapes.GpuSample, span: Span, holders: Sequence[Job]) -> None:
    """Give each job its part of the time since the reading before."""
    before = {(had["id"], had["attempt"]) for had in row.holders}
    for job in holders:
        had_it_before = (job.id, job.attempt) in before
        seconds = seconds_of(job, span, had_it_before=had_it_before)
        add_use(session, row, job, card, span, seconds, len(holders))


def _renew(row: Gpu, card: shapes.GpuSample, ties: Ties, holders: Sequence[Job]) -> None:
    row.conditions = lasting(row.conditions, shown_by(card, holders, ties, row.seen), ties.moment)
    row.seen = {
        str(one.pid): whose
        for one in card.processes
        if (whose := _whose(one, ties, holders) or row.seen.get(str(one.pid)))
    }
    row.holders = [{"id": job.id, "attempt": job.attempt} for job in holders]
    row.reading = card.model_dump(mode="json")
    row.taken_at = ties.moment


def _whose(process: shapes.GpuProcess, ties: Ties, holders: Sequence[Job]) -> str | None:
    owner = ties.owner(process)
    if owner is not None:
        return owner.id
    return holders[0].id if len(holders) == 1 else None
