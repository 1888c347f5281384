"""Metrics summed up in buckets; numbers that are not finite; times as microseconds"""

import json
from itertools import groupby

import sqlalchemy as sa
from alembic import op

from api.metric_body import NUMBERS
from api.metric_rollup import WIDTHS, Bucket, in_buckets, in_larger

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.JSON()
MICROSECONDS = {
    "sqlite": "CAST(strftime('%s', substr(timestamp, 1, 19)) AS INTEGER) * 1000000 "
    "+ CAST(substr(timestamp, 21, 6) AS INTEGER)",
    "postgresql": "(extract(epoch FROM timestamp) * 1000000)::bigint",
}


def upgrade() -> None:
    op.add_column("job", sa.Column("diverged", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.add_column("job", sa.Column("metrics_version", sa.BigInteger(), nullable=False, server_default="0"))
    op.create_table(
        "metric_bucket",
        sa.Column("job_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("width", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("bucket", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("points", sa.BigInteger(), nullable=False),
        sa.Column("not_finite", sa.BigInteger(), nullable=False),
        sa.Column("columns", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_metric_bucket_job_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_metric_bucket_workspace_id"),
        sa.PrimaryKeyConstraint("job_pk", "width", "bucket", name="pk_metric_bucket"),
        sqlite_with_rowid=False,
    )
    _times()
    _sum_up()


def _times() -> None:
    """The table is made anew: SQLite changes no column's type."""
    dialect = op.get_bind().dialect.name
    if dialect == "postgresql":
        op.execute("ALTER TABLE metric RENAME CONSTRAINT pk_metric TO pk_metric_old")
    op.rename_table("metric", "metric_old")
    op.create_table(
        "metric",
        sa.Column("job_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        *(sa.Column(name, sa.Float(), nullable=True) for name in NUMBERS),
        sa.Column("timestamp", sa.BigInteger(), nullable=False),
        sa.Column("extra", OPEN, nullable=False),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_metric_job_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_metric_workspace_id"),
        sa.PrimaryKeyConstraint("job_pk", "step", "attempt", name="pk_metric"),
        sqlite_with_rowid=False,
    )
    kept = f"job_pk, step, attempt, workspace_id, {', '.join(NUMBERS)}, extra"
    op.execute(
        f"INSERT INTO metric ({kept}, timestamp) SELECT {kept}, {MICROSECONDS[dialect]} FROM metric_old"
    )
    op.drop_table("metric_old")


def _sum_up() -> None:
    """The buckets of what is stored: of each step the newest attempt's row."""
    connection = op.get_bind()
    for job_pk, workspace_id in connection.execute(sa.text("SELECT pk, workspace_id FROM job")).all():
        query = f"SELECT step, {', '.join(NUMBERS)}, timestamp, extra FROM metric WHERE job_pk = :job ORDER BY step, attempt"
        few = {"yield_per": 1000}
        rows = connection.execute(sa.text(query), {"job": job_pk}, execution_options=few)
        buckets: dict[int, Bucket] = {}
        for _, some in groupby(rows, lambda row: row[0] // WIDTHS[0]):
            newest = {row[0]: (*row[:-1], _object(row[-1])) for row in some}
            buckets |= in_buckets([*newest.values()])
        for width in WIDTHS:
            _put(job_pk, workspace_id, width, buckets)
            buckets = in_larger(buckets, WIDTHS[1] // WIDTHS[0])


def _object(extra: object) -> object:
    return json.loads(extra) if isinstance(extra, str) else extra


def _put(job_pk: int, workspace_id: int, width: int, buckets: dict[int, Bucket]) -> None:
    names = "job_pk, width, bucket, workspace_id, points, not_finite, columns"
    rows = [
        {
            "job_pk": job_pk,
            "width": width,
            "bucket": number,
            "workspace_id": workspace_id,
            "points": bucket.points,
            "not_finite": bucket.not_finite,
            "columns": bucket.as_json(),
        }
        for number, bucket in buckets.items()
    ]
    holes = ", ".join(f":{name}" for name in names.split(", "))
    if rows:
        op.get_bind().execute(sa.text(f"INSERT INTO metric_bucket ({names}) VALUES ({holes})"), rows)
