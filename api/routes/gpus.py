"""Readings of GPU hosts and of their cards."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query
from sqlalchemy import func, tuple_
from sqlmodel import Session, col, select

from api import tables
from api.access.auth import DatabaseDep, SettingsDep, needs
from api.access.caller import Caller
from api.access.owned import Offset, owned
from api.gpu_conditions import Patience
from api.gpu_retention import Limits
from api.gpu_store import store
from api.problems import Problem
from api.settings import Settings
from api.strict_json import StrictRoute
from api.tables import now
from tuneyard.shapes import Gpu, GpuHost, GpuReading, HostSampleBatch, Page, Stored
from tuneyard.values import Time

router = APIRouter(prefix="/api/v1/gpus", tags=["gpus"], route_class=StrictRoute)

_POINTS = tables.GpuSample.__table__  # type: ignore[attr-defined]
FORGOTTEN = timedelta(days=7)  # after which a card that has been taken out is no longer listed
NO_PLACE = "unreadable-"  # begins the name of a card that does not even say which it is
Uuid = Annotated[str, Path(description="The card's UUID, or a MIG slice's.")]
ManyReadings = Annotated[int, Query(ge=1, le=5000)]
Since = Annotated[Time, Query(description="Readings from this moment on.")]
Until = Annotated[Time, Query(description="Readings before this moment.")]


@router.post("/samples", status_code=201)
def add_samples(
    caller: Annotated[Caller, needs("gpus:write")],
    batch: HostSampleBatch,
    database: DatabaseDep,
    settings: SettingsDep,
) -> Stored:
    """Store readings; the same host and moment again change nothing."""
    store(database, caller.workspace_id, batch.samples, Limits.of(settings))
    return Stored(count=len(batch.samples))


@router.get("")
def newest_samples(
    caller: Annotated[Caller, needs("gpus:read")], database: DatabaseDep, settings: SettingsDep
) -> list[GpuHost]:
    """Each host and its cards as they were last read, by name and place, with what is the matter with them."""
    with database.reading() as session:
        return newest_hosts(session, caller.workspace_id, settings)


def newest_hosts(session: Session, workspace_id: int, settings: Settings) -> list[GpuHost]:
    hosts = _newest(session, workspace_id)
    cards = session.exec(owned(tables.Gpu, workspace_id).order_by(col(tables.Gpu.pk))).all()
    patience = Patience.of(settings)
    return [_shown(host, [card for card in cards if card.host == host.host], patience) for host in hosts]


def _newest(session: Session, workspace_id: int) -> list[tables.HostSample]:
    sample = tables.HostSample
    newest = (
        select(sample.host, func.max(sample.taken_at))
        .where(sample.workspace_id == workspace_id)
        .group_by(col(sample.host))
    )
    query = owned(sample, workspace_id).where(tuple_(col(sample.host), col(sample.taken_at)).in_(newest))
    return list(session.exec(query.order_by(col(sample.host))))


def _shown(host: tables.HostSample, cards: Iterable[tables.Gpu], patience: Patience) -> GpuHost:
    shown = [_card(card, host, patience) for card in cards if _is_listed(card, host.taken_at)]
    shown.sort(key=lambda card: (card.index, card.card_uuid is not None, card.uuid))
    return GpuHost.model_validate(host.model_dump() | {"gpus": shown})


def _is_listed(card: tables.Gpu, newest: datetime) -> bool:
    if card.taken_at is None or card.uuid.startswith(NO_PLACE):
        return card.taken_at == newest
    return newest - card.taken_at < FORGOTTEN


def _card(card: tables.Gpu, host: tables.HostSample, patience: Patience) -> Gpu:
    told: dict[str, Any] = {
        "taken_at": card.taken_at,
        "jobs": [holder["id"] for holder in card.holders],
        "findings": patience.findings(card, host, now()),
    }
    return Gpu.model_validate(card.reading | told)


@router.get("/{uuid}/samples")
def read_samples(
    caller: Annotated[Caller, needs("gpus:read")],
    uuid: Uuid,
    database: DatabaseDep,
    since: Since | None = None,
    until: Until | None = None,
    limit: ManyReadings = 1000,
    offset: Offset = 0,
) -> Page[GpuReading]:
    """A card's readings, the oldest first; those of long ago are five minutes to one."""
    with database.reading() as session:
        found = [card.pk for card in _cards_called(session, caller.workspace_id, uuid)]
        if not found:
            raise Problem(404, "GPU not found")
        asked = [_POINTS.c.gpu_pk.in_(found)]
        asked += [] if since is None else [_POINTS.c.taken_at >= since]
        asked += [] if until is None else [_POINTS.c.taken_at < until]
        total = session.exec(select(func.count()).select_from(_POINTS).where(*asked)).one()
        query = select(_POINTS).where(*asked).order_by(_POINTS.c.taken_at, _POINTS.c.gpu_pk)
        rows = session.execute(query.limit(limit).offset(offset)).mappings()
        items = [GpuReading.model_validate(row) for row in rows]
    return Page(items=items, total=total, limit=limit, offset=offset)


def _cards_called(session: Session, workspace_id: int, uuid: str) -> list[tables.Gpu]:
    """One, but for a card that has moved to another host."""
    if "\0" in uuid:  # PostgreSQL refuses to be asked
        return []
    return list(session.exec(owned(tables.Gpu, workspace_id).where(tables.Gpu.uuid == uuid)))
