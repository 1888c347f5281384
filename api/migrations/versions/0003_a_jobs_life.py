"""A job's life: heartbeats, restarts, checkpoints, events, log lines"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.JSON()
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    # One by one, and with defaults that stay: SQLite does more to a table by copying it, and drops what hangs on it.
    for column in (
        sa.Column("heartbeat_at", TIME, nullable=True),
        sa.Column("wait_reason", sa.String(length=500), nullable=True),
        sa.Column("gpu_uuids", OPEN, nullable=True),
        sa.Column("gpu_released_at", TIME, nullable=True),
        sa.Column("pids", OPEN, nullable=True),
        sa.Column("restarts", sa.Integer(), nullable=False, server_default="0"),
        sa.Column("max_restarts", sa.Integer(), nullable=False, server_default="2"),
        sa.Column("resumed_at", TIME, nullable=True),
        sa.Column("resume_from", sa.String(length=1024), nullable=True),
        sa.Column("last_checkpoint", sa.BigInteger(), nullable=True),
        sa.Column("best_checkpoint", sa.BigInteger(), nullable=True),
        sa.Column("checkpoint_at", TIME, nullable=True),
        sa.Column("run_key", sa.String(length=26), nullable=True),
        sa.Column("launched_at", TIME, nullable=True),
    ):
        op.add_column("job", column)
    op.execute("UPDATE job SET gpu_uuids = '[]', pids = '[]'")
    op.create_table(
        "job_event",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("job_pk", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("step", sa.BigInteger(), nullable=True),
        sa.Column("details", OPEN, nullable=False),
        sa.Column("key", sa.String(length=100), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_job_event_workspace_id"),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_job_event_job_pk"),
        sa.PrimaryKeyConstraint("pk", name="pk_job_event"),
        sa.UniqueConstraint("job_pk", "attempt", "key", name="uq_job_event_job_pk_attempt_key"),
    )
    op.create_table(
        "job_log",
        sa.Column("job_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("level", sa.String(length=10), nullable=False),
        sa.Column("text", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_job_log_job_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_job_log_workspace_id"),
        sa.PrimaryKeyConstraint("job_pk", "attempt", "number", name="pk_job_log"),
        sqlite_with_rowid=False,
    )
