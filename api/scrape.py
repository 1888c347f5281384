"""A workspace's jobs, queue, tests and cards as Prometheus reads them, from the database: every process tells the same.

Only what there are few of becomes a label: kinds, states, hosts and cards; never a job.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from sqlalchemy import func
from sqlmodel import Session, col

from api.access.owned import owned
from api.routes.gpus import newest_hosts
from api.settings import Settings
from api.tables import AuditEvent, Job, TestRun, now
from api.waiting import WAITING
from tuneyard.shapes import GpuHost, JobKind, JobStatus

GIB = 2**30
_CARD = ("host", "gpu", "uuid", "name")
# series, what it is, its field, what one of the field's units is in the series'
_READINGS = (
    ("utilization_ratio", "Share of the time that kernels ran.", "utilization_percent", 0.01),
    ("memory_used_bytes", "Memory in use.", "memory_used_gb", GIB),
    ("memory_total_bytes", "Memory.", "memory_total_gb", GIB),
    ("power_watts", "Power drawn.", "power_w", 1),
    ("temperature_celsius", "Temperature.", "temperature_c", 1),
)
_RECORDED = (
    ("ml_train_jobs", "Fine-tunes, and fits of tables, recorded.", (JobKind.FINETUNE, JobKind.TABULAR)),
    ("ml_predict_jobs", "Batch tests and predictions recorded.", (JobKind.BATCH_TEST, JobKind.PREDICT)),
)
_FINDINGS = ("idle", "zombie", "foreign", "lost", "silent")


class Workspace(Collector):
    """What `/metrics` says of one workspace."""

    def __init__(self, session: Session, workspace_id: int, settings: Settings) -> None:
        self._session = session
        self._workspace_id = workspace_id
        self._settings = settings

    def shown(self) -> bytes:
        """In Prometheus's text format."""
        return generate_latest(self)

    def collect(self) -> Iterator[Metric]:
        yield from self._jobs()
        yield from self._tests()
        yield from _cards(newest_hosts(self._session, self._workspace_id, self._settings))

    def _jobs(self) -> Iterator[Metric]:
        session, mine = self._session, owned(Job, self._workspace_id)
        kind, status = col(Job.kind), col(Job.status)
        counted = mine.with_only_columns(kind, status, func.count()).group_by(kind, status)
        found = {(row[0], row[1]): row[2] for row in session.execute(counted)}
        states = [((k.value, s.value), found.get((k, s), 0)) for k in JobKind for s in JobStatus]
        yield _gauge("tuneyard_jobs", "Jobs by kind and state.", states, ("kind", "status"))
        waiting = mine.where(kind.in_(list(JobKind)), status.in_(WAITING))
        oldest = session.execute(waiting.with_only_columns(func.min(col(Job.created_at)))).scalar()
        yield _gauge("tuneyard_queue_waiting", "Jobs that wait.", [((), _waiting(states))])
        wait = 0.0 if oldest is None else max((now() - oldest).total_seconds(), 0.0)
        yield _gauge("tuneyard_queue_oldest_wait_seconds", "How long the oldest of them has.", [((), wait)])
        for series, words, kinds in _RECORDED:
            count = _of_kinds(states, kinds) + self._deleted(kinds)
            yield _total(series, words, [((), count)])

    def _deleted(self, kinds: Sequence[JobKind]) -> int:
        """A counter does not go back. Older events of deleted tests do not say their kind."""
        kind = AuditEvent.details["kind"].as_string()
        named = kind.in_([each.value for each in kinds])
        if JobKind.BATCH_TEST in kinds:
            named |= (col(AuditEvent.action) == "test.deleted") & kind.is_(None)
        events = owned(AuditEvent, self._workspace_id).where(
            col(AuditEvent.object_kind) == "job",
            col(AuditEvent.action).in_(("job.deleted", "test.deleted")),
            named,
        )
        return self._session.execute(events.with_only_columns(func.count())).scalar() or 0

    def _tests(self) -> Iterator[Metric]:
        """A gauge: who deletes a test deletes its answers."""
        sums = owned(TestRun, self._workspace_id).with_only_columns(
            func.sum(col(TestRun.completed_prompts)),
            func.sum(col(TestRun.failed_prompts)),
            func.sum(col(TestRun.scored_prompts)),
            func.sum(col(TestRun.passed_prompts)),
        )
        counts = zip(
            ("completed", "failed", "scored", "passed"), self._session.execute(sums).one(), strict=True
        )
        rows = [((name,), int(count or 0)) for name, count in counts]
        yield _gauge(
            "tuneyard_batch_test_prompts", "Prompts of the batch tests that are kept.", rows, ("outcome",)
        )


def _waiting(states: Iterable[tuple[tuple[str, str], int]]) -> int:
    return sum(count for (_, status), count in states if status in WAITING)


def _of_kinds(states: Iterable[tuple[tuple[str, str], int]], kinds: Sequence[JobKind]) -> int:
    return sum(count for (named, _), count in states if named in kinds)


def _cards(hosts: list[GpuHost]) -> Iterator[Metric]:
    """The newest readings. A card that cannot be read, or is read no more, has findings and an age, no readings."""
    cards = [
        ((host.host, str(card.index), card.uuid, card.name or ""), card)
        for host in hosts
        for card in host.gpus
    ]
    dead = {"lost", "silent"}
    live = [(names, card) for names, card in cards if not dead & {found.kind for found in card.findings}]
    for series, words, field, unit in _READINGS:
        read = [(names, getattr(card, field)) for names, card in live]
        rows = [(names, value * unit) for names, value in read if value is not None]
        yield _gauge(f"tuneyard_gpu_{series}", words, rows, _CARD)
    energy = [(names, card.energy_j) for names, card in live if card.energy_j is not None]
    yield _total("tuneyard_gpu_energy_joules", "The card's own energy counter.", energy, _CARD)
    ages = [(names, (now() - card.taken_at).total_seconds()) for names, card in cards]
    yield _gauge("tuneyard_gpu_reading_age_seconds", "How old its newest reading is.", ages, _CARD)
    leased = [(names, int(bool(card.jobs))) for names, card in live]
    yield _gauge("tuneyard_gpu_in_use", "Whether a job has it.", leased, _CARD)
    kinds = [(names, {found.kind for found in card.findings}) for names, card in cards]
    told = [((*names, kind), int(kind in found)) for names, found in kinds for kind in _FINDINGS]
    yield _gauge("tuneyard_gpu_finding", "Whether that is the matter with it.", told, (*_CARD, "kind"))


Rows = Iterable[tuple[tuple[str, ...], float]]


def _gauge(name: str, words: str, rows: Rows, labels: tuple[str, ...] = ()) -> Metric:
    return _filled(GaugeMetricFamily(name, words, labels=labels), rows)


def _total(name: str, words: str, rows: Rows, labels: tuple[str, ...] = ()) -> Metric:
    return _filled(CounterMetricFamily(name, words, labels=labels), rows)


def _filled(family: Any, rows: Rows) -> Metric:
    for labels, value in rows:
        family.add_metric(labels, value)
    return family  # type: ignore[no-any-return]
