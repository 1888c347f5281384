"""What is kept summed up is what its points sum up to, whatever was sent twice, late, again or anew."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from pydantic import SecretStr
from sqlmodel import col, select

from api.database import Database
from api.metric_body import NUMBERS, Row
from api.metric_rollup import MOST_EXTRAS, WIDTHS, in_buckets
from api.metric_store import MetricStore
from api.schema_head import make_ready
from api.settings import Settings
from api.tables import Job, MetricBucket, Workspace, new_id

Values = dict[str, Any]
NOT_NUMBERS = ("NaN", "Infinity", "-Infinity")


class Kept:
    """A store, and beside it what ought to be in it: {attempt: {step: values}}."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.store = MetricStore(database)
        with database.writing() as session:
            workspace = Workspace(name=new_id())
            session.add(workspace)
        self.workspace_pk = workspace.pk

    def job(self) -> Job:
        with self.database.writing() as session:
            job = Job(workspace_id=self.workspace_pk, kind="finetune", name="n", model="m", attempt=1)
            job.token_digest = new_id()
            session.add(job)
        return job

    def claim(self, job: Job) -> None:
        with self.database.writing() as session:
            row = session.get_one(Job, job.pk)
            row.attempt += 1
            row.token_digest = new_id()
        job.attempt, job.token_digest = row.attempt, row.token_digest

    def write(self, job: Job, rows: list[Row]) -> None:
        assert job.token_digest
        assert asyncio.run(self.store.write(job.token_digest, job.id, rows)).status == "running"

    def buckets(self, job: Job) -> dict[tuple[int, int], MetricBucket]:
        with self.database.reading() as session:
            rows = session.exec(select(MetricBucket).where(col(MetricBucket.job_pk) == job.pk)).all()
        return {(row.width, row.bucket): row for row in rows}


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def kept(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kept]:
    url = None
    if request.param == "postgres":
        url = request.getfixturevalue("postgres_served").database.url.render_as_string(hide_password=False)
    home: Path = tmp_path_factory.mktemp("rollup")
    where = Settings(tuneyard_home=home, database_url=SecretStr(url) if url else None)
    database = Database(where.database, 5)
    make_ready(database)
    found = Kept(database)
    yield found
    found.store.stop()
    database.close()


number = some.one_of(
    some.none(),
    some.floats(-1e6, 1e6),
    some.floats(-1e300, 1e300),
    some.sampled_from(NOT_NUMBERS),
)
step = some.one_of(some.integers(0, 300), some.integers(0, 5000), some.integers(0, 2**53))
point = some.tuples(step, number, number, number)
batch = some.lists(point, min_size=1, max_size=30)
history = some.lists(some.one_of(batch, some.just("claim"), some.just("again")), min_size=1, max_size=8)


def row(step: int, loss: Any, norm: Any, reward: Any) -> Row:
    numbers = dict.fromkeys(NUMBERS) | {"train_loss": loss, "grad_norm": norm}
    return (step, *numbers.values(), None, {} if reward is None else {"reward": reward})


def merged(old: Values, new: Values) -> Values:
    return old | {name: value for name, value in new.items() if value is not None}


def summed(values: list[Any]) -> list[float] | None:
    finite = [value for value in values if isinstance(value, float)]
    return [len(finite), min(finite), max(finite), math.fsum(finite)] if finite else None


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(told=history)
def test_buckets_are_what_a_group_by_over_the_points_gives(kept: Kept, told: list[Any]) -> None:
    job, points = kept.job(), dict[int, dict[int, Values]]()
    last: list[Any] = []
    for each in told:
        if each == "claim":
            kept.claim(job)
            continue
        sent = last if each == "again" else each
        if not sent:
            continue
        last = sent
        kept.write(job, [row(*one) for one in sent])
        mine = points.setdefault(job.attempt, {})
        for where, loss, norm, reward in sent:
            new = {"train_loss": loss, "grad_norm": norm, "reward": reward}
            mine[where] = merged(mine.get(where, {}), new)
    visible: dict[int, Values] = {}
    for attempt in sorted(points):
        visible |= points[attempt]
    assert_summed_up(kept.buckets(job), visible)


def assert_summed_up(found: dict[tuple[int, int], MetricBucket], visible: dict[int, Values]) -> None:
    assert found.keys() == {(width, where // width) for width in WIDTHS for where in visible}
    for (width, number), bucket in found.items():
        inside = [values for where, values in visible.items() if where // width == number]
        assert bucket.points == len(inside)
        assert bucket.not_finite == sum(any(isinstance(v, str) for v in values.values()) for values in inside)
        columns = orjson.loads(bucket.columns)
        for name in ("train_loss", "grad_norm", "reward"):
            expected = summed([values.get(name) for values in inside])
            have = columns.get(name)
            assert (have is None) == (expected is None)
            if have and expected:
                assert have[:3] == expected[:3]
                scale = max(abs(expected[1]), abs(expected[2])) * expected[0]
                assert have[3] == pytest.approx(expected[3], rel=1e-9, abs=max(scale * 1e-9, 1e-9))


def test_sums_beyond_every_float_stay_numbers() -> None:
    [bucket] = in_buckets([row(number, 1.7e308, None, None) for number in range(5)]).values()
    assert bucket.columns["train_loss"][3] == pytest.approx(1.7976931348623157e308)
    bucket.add(bucket)
    assert "null" not in bucket.as_json()


def test_names_that_are_too_many_are_not_summed_up() -> None:
    some_row = row(0, 0.5, None, None)
    many = (1, *some_row[1:-1], {f"name {number}": 1.0 for number in range(MOST_EXTRAS + 1)})
    assert in_buckets([some_row, many])[0].columns.keys() == {"train_loss", ""}
