"""Cards: their newest reading, their history, and what jobs had of them"""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.JSON()
TIME = sa.DateTime(timezone=True)
NUMBERS = (
    "utilization_percent",
    "memory_utilization_percent",
    "memory_used_gb",
    "memory_total_gb",
    "temperature_c",
    "power_w",
    "power_limit_w",
    "energy_j",
    "sm_clock_mhz",
    "memory_clock_mhz",
    "ecc_corrected",
    "ecc_uncorrected",
    "pcie_sent_mb_s",
    "pcie_received_mb_s",
)


def upgrade() -> None:
    op.add_column("job", sa.Column("gpu_leased_at", TIME, nullable=True))
    op.create_index("ix_job_workspace_id_host_claimed_at", "job", ["workspace_id", "host", "claimed_at"])
    op.add_column("host_sample", sa.Column("interval_seconds", sa.Float(), nullable=True))
    op.create_table(
        "gpu",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("uuid", sa.String(length=100), nullable=False),
        sa.Column("taken_at", TIME, nullable=True),
        sa.Column("reading", OPEN, nullable=False),
        sa.Column("holders", OPEN, nullable=False),
        sa.Column("seen", OPEN, nullable=False),
        sa.Column("conditions", OPEN, nullable=False),
        sa.Column("rolled_until", TIME, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_gpu_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_gpu"),
        sa.UniqueConstraint("workspace_id", "host", "uuid", name="uq_gpu_workspace_id_host_uuid"),
    )
    op.create_table(
        "gpu_sample",
        sa.Column("gpu_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("taken_at", TIME, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("samples", sa.Integer(), nullable=False),
        *(sa.Column(name, sa.Float(), nullable=True) for name in NUMBERS),
        sa.Column("throttle", OPEN, nullable=True),
        sa.Column("jobs", OPEN, nullable=False),
        sa.Column("error", sa.String(), nullable=True),
        sa.ForeignKeyConstraint(["gpu_pk"], ["gpu.pk"], name="fk_gpu_sample_gpu_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_gpu_sample_workspace_id"),
        sa.PrimaryKeyConstraint("gpu_pk", "taken_at", name="pk_gpu_sample"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "gpu_use",
        sa.Column("job_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("gpu_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(), nullable=True),
        sa.Column("first_at", TIME, nullable=False),
        sa.Column("last_at", TIME, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("measured_seconds", sa.Float(), nullable=False),
        sa.Column("busy_seconds", sa.Float(), nullable=False),
        sa.Column("counted_j", sa.Float(), nullable=True),
        sa.Column("integrated_j", sa.Float(), nullable=True),
        sa.Column("peak_memory_gb", sa.Float(), nullable=True),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_gpu_use_job_pk"),
        sa.ForeignKeyConstraint(["gpu_pk"], ["gpu.pk"], name="fk_gpu_use_gpu_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_gpu_use_workspace_id"),
        sa.PrimaryKeyConstraint("job_pk", "attempt", "gpu_pk", name="pk_gpu_use"),
        sqlite_with_rowid=False,
    )
    # The cards' readings so far were never read back but for the newest, which the next reading replaces.
    op.drop_column("host_sample", "gpus")
