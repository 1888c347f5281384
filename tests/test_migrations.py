"""A database of an older version keeps what is in it."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from pydantic import SecretStr
from sqlalchemy import text
from sqlmodel import select

import api.schema_head
from api.database import Database
from api.metric_rollup import WIDTHS
from api.schema_head import migrate
from api.settings import Settings
from api.tables import Job, Metric, MetricBucket

MIGRATIONS = Path(api.schema_head.__file__).parent / "migrations"
NOON = "2026-01-01 12:00:00+00:00"


def brought_to(database: Database, revision: str) -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    with database.connection_for_writing() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def fill(database: Database) -> None:
    """A job with a metric, as version 0002 keeps them."""
    with database.connection_for_writing() as connection:
        connection.execute(text(f"INSERT INTO workspace (pk, name, created_at) VALUES (1, 'w', '{NOON}')"))
        names = "pk, workspace_id, id, kind, name, status, model, config, attempt, result, created_at"
        job = f"1, 1, 'j', 'finetune', 'n', 'running', 'm', '{{}}', 1, '{{}}', '{NOON}'"
        connection.execute(text(f"INSERT INTO job ({names}) VALUES ({job})"))
        names = "job_pk, step, attempt, workspace_id, timestamp, train_loss, extra"
        for step, loss, extra in ((5, 0.25, '{"a"\\: 2}'), (70, 0.5, "{}")):
            row = f"1, {step}, 1, 1, '{NOON}', {loss}, '{extra}'"
            connection.execute(text(f"INSERT INTO metric ({names}) VALUES ({row})"))


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_a_job_from_before_is_kept_with_its_metrics(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest
) -> None:
    url = None
    if kind == "postgres":
        server, name = request.getfixturevalue("postgres_url"), f"old{uuid4().hex[:8]}"
        maker = Database(Settings(database_url=SecretStr(server)).database, 5)
        with maker.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text(f"CREATE DATABASE {name}"))
        maker.close()
        url = SecretStr(server.removesuffix("/postgres") + f"/{name}")
    database = Database(Settings(tuneyard_home=tmp_path, database_url=url).database, 5)
    brought_to(database, "0002")
    fill(database)
    migrate(database)
    with database.reading() as session:
        [job], [metric, _] = session.exec(select(Job)).all(), session.exec(select(Metric)).all()
        buckets = {(b.width, b.bucket): b for b in session.exec(select(MetricBucket)).all()}
    assert (job.id, job.restarts, job.max_restarts, job.gpu_uuids, job.pids) == ("j", 0, 2, [], [])
    assert (metric.job_pk, metric.step, metric.at) == (job.pk, 5, datetime.fromisoformat(NOON))
    assert len(buckets) == len(WIDTHS) + 1
    assert json.loads(buckets[64, 0].columns) == {"train_loss": [1, 0.25, 0.25, 0.25], "a": [1, 2, 2, 2]}
    assert json.loads(buckets[65536, 0].columns)["train_loss"] == [2, 0.25, 0.5, 0.75]
    database.close()
