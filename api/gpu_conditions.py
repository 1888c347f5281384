"""What is the matter with a card: what one reading shows, and what is worth telling once it has lasted."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from api.gpu_ties import Ties, names
from api.settings import Settings
from api.tables import Gpu, Job
from tuneyard.shapes import GpuFinding, GpuProcess, GpuSample, HostSample

IDLE_PERCENT = 1.0  # what a card that nobody uses may show
HELD_GB = 1.0  # more than a driver keeps for itself
SILENCE = timedelta(minutes=1)  # at least, and three intervals, before a host counts as silent
Conditions = dict[str, dict[str, str]]


def shown_by(card: GpuSample, holders: Sequence[Job], ties: Ties, seen: Mapping[str, str]) -> dict[str, str]:
    """By kind, in words. `seen`: whose the card's processes were at the reading before this."""
    if card.error is not None and card.memory_used_gb is None and card.utilization_percent is None:
        return {"lost": f"cannot be read: {card.error}"}
    if card.mig:
        return {}  # its slices are what is used or not
    found = {}
    if _is_idle(card):
        found["idle"] = f"no use, held by {names(holders)}" if holders else "no use, and free"
    if not holders and card.processes:
        dead = [one for one in card.processes if ties.owner(one) or str(one.pid) in seen]
        kind = "zombie" if dead else "foreign"
        found[kind] = "; ".join(_whose(one, ties, seen) for one in dead or card.processes)
    elif not holders and (card.memory_used_gb or 0) > HELD_GB:
        found["zombie"] = f"{card.memory_used_gb:.1f} GiB held, and no process that can be seen"
    return found


def _is_idle(card: GpuSample) -> bool:
    """A slice has no utilisation: one with a process counts as used."""
    if card.utilization_percent is None:
        return not card.processes
    return card.utilization_percent <= IDLE_PERCENT


def _whose(process: GpuProcess, ties: Ties, seen: Mapping[str, str]) -> str:
    owner = ties.owner(process)
    if owner is not None:
        whose = f"of job {owner.id}, which is {owner.status}"
    else:
        was = seen.get(str(process.pid))
        whose = f"left by job {was}" if was else "of no job"
    named = f" ({process.name})" if process.name else ""
    held = "" if process.memory_gb is None else f", {process.memory_gb:.1f} GiB"
    return f"pid {process.pid}{named} {whose}{held}"


def lasting(before: Conditions, now: Mapping[str, str], moment: datetime) -> Conditions:
    """What is the matter now, each since it was first seen without a break."""
    return {
        kind: {"since": before.get(kind, {}).get("since", moment.isoformat()), "message": message}
        for kind, message in now.items()
    }


@dataclass(frozen=True)
class Patience:
    """How long what is the matter with a card must last before it is told."""

    idle: timedelta
    zombie: timedelta

    @classmethod
    def of(cls, settings: Settings) -> "Patience":
        return cls(
            timedelta(minutes=settings.tuneyard_gpu_idle_minutes),
            timedelta(minutes=settings.tuneyard_gpu_zombie_minutes),
        )

    def findings(self, card: Gpu, host: Any, now: datetime) -> list[GpuFinding]:
        """Of a card whose host was last read as `host` says."""
        limits = {"idle": self.idle, "zombie": self.zombie, "foreign": self.zombie}
        found = []
        for kind, told in card.conditions.items():
            since = datetime.fromisoformat(told["since"]).astimezone(UTC)
            if host.taken_at - since >= limits.get(kind, timedelta()):
                found.append(GpuFinding.model_validate(told | {"kind": kind}))
        return found + list(_silent(host, now))


def _silent(host: Any, now: datetime) -> Iterable[GpuFinding]:
    limit = max(SILENCE, timedelta(seconds=3 * (host.interval_seconds or 0)))
    if now - host.taken_at > limit:
        yield GpuFinding(kind="silent", since=host.taken_at, message=f"no reading of {host.host} since then")


def vanished(sample: HostSample) -> dict[str, str]:
    """What is the matter with a card that a reading of its host no longer has."""
    return {"lost": sample.no_gpu or "no longer among the host's cards"}
