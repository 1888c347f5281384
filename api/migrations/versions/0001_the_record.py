"""The record"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.JSON().with_variant(postgresql.JSONB(), "postgresql")


def upgrade() -> None:
    op.create_table(
        "workspace",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("pk", name="pk_workspace"),
        sa.UniqueConstraint("name", name="uq_workspace_name"),
    )
    op.create_table(
        "api_key",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=12), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("scopes", OPEN, nullable=False),
        sa.Column("permissions", OPEN, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_api_key_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_api_key"),
        sa.UniqueConstraint("id", name="uq_api_key_id"),
    )
    op.create_table(
        "artifact",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("uri", sa.String(length=2048), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("base_model", sa.String(length=1024), nullable=True),
        sa.Column("parent_id", sa.String(length=26), nullable=True),
        sa.Column("job_id", sa.String(length=100), nullable=True),
        sa.Column("details", OPEN, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_artifact_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_artifact"),
        sa.UniqueConstraint("workspace_id", "id", name="uq_artifact_workspace_id_id"),
        sa.UniqueConstraint("workspace_id", "identity", name="uq_artifact_workspace_id_identity"),
    )
    op.create_table(
        "dataset",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("identity", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("uri", sa.String(length=2048), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("rows", sa.BigInteger(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_dataset_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_dataset"),
        sa.UniqueConstraint("workspace_id", "id", name="uq_dataset_workspace_id_id"),
        sa.UniqueConstraint("workspace_id", "identity", name="uq_dataset_workspace_id_identity"),
    )
    op.create_table(
        "host_sample",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("taken_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cpu_percent", sa.Float(), nullable=True),
        sa.Column("memory_used_gb", sa.Float(), nullable=True),
        sa.Column("memory_total_gb", sa.Float(), nullable=True),
        sa.Column("driver_version", sa.String(), nullable=True),
        sa.Column("no_gpu", sa.String(), nullable=True),
        sa.Column("gpus", OPEN, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_host_sample_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_host_sample"),
        sa.UniqueConstraint(
            "workspace_id", "host", "taken_at", name="uq_host_sample_workspace_id_host_taken_at"
        ),
    )
    op.create_table(
        "job",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("stage", sa.String(length=500), nullable=True),
        sa.Column("model", sa.String(length=1024), nullable=False),
        sa.Column("dataset", sa.String(length=1024), nullable=True),
        sa.Column("config", OPEN, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("token_digest", sa.String(length=64), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("pid", sa.BigInteger(), nullable=True),
        sa.Column("device", sa.String(length=255), nullable=True),
        sa.Column("flow_run_id", sa.String(length=64), nullable=True),
        sa.Column("current_step", sa.BigInteger(), nullable=True),
        sa.Column("total_steps", sa.BigInteger(), nullable=True),
        sa.Column("current_epoch", sa.Float(), nullable=True),
        sa.Column("total_epochs", sa.Float(), nullable=True),
        sa.Column("loss", sa.Float(), nullable=True),
        sa.Column("eval_loss", sa.Float(), nullable=True),
        sa.Column("best_eval_loss", sa.Float(), nullable=True),
        sa.Column("best_step", sa.BigInteger(), nullable=True),
        sa.Column("best_epoch", sa.Float(), nullable=True),
        sa.Column("tokens_per_second", sa.Float(), nullable=True),
        sa.Column("gpu_memory_allocated_gb", sa.Float(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("result", OPEN, nullable=False),
        sa.Column("end_asked", sa.String(length=20), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("claimed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_report_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_job_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_job"),
        sa.UniqueConstraint("token_digest", name="uq_job_token_digest"),
        sa.UniqueConstraint("workspace_id", "flow_run_id", name="uq_job_workspace_id_flow_run_id"),
        sa.UniqueConstraint("workspace_id", "id", name="uq_job_workspace_id_id"),
    )
    op.create_index(
        "ix_job_workspace_id_kind_status", "job", ["workspace_id", "kind", "status"], unique=False
    )

    op.create_table(
        "test_suite",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("description", sa.String(), nullable=True),
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("prompt_count", sa.BigInteger(), nullable=False),
        sa.Column("prompts", OPEN, nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_test_suite_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_test_suite"),
        sa.UniqueConstraint("workspace_id", "id", name="uq_test_suite_workspace_id_id"),
        sa.UniqueConstraint("workspace_id", "name", "sha256", name="uq_test_suite_workspace_id_name_sha256"),
    )
    op.create_table(
        "metric",
        sa.Column("job_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("attempt", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("epoch", sa.Float(), nullable=True),
        sa.Column("train_loss", sa.Float(), nullable=True),
        sa.Column("eval_loss", sa.Float(), nullable=True),
        sa.Column("learning_rate", sa.Float(), nullable=True),
        sa.Column("grad_norm", sa.Float(), nullable=True),
        sa.Column("samples_per_second", sa.Float(), nullable=True),
        sa.Column("tokens_per_second", sa.Float(), nullable=True),
        sa.Column("gpu_memory_allocated_gb", sa.Float(), nullable=True),
        sa.Column("gpu_memory_reserved_gb", sa.Float(), nullable=True),
        sa.Column("gpu_utilization_percent", sa.Float(), nullable=True),
        sa.Column("timestamp", sa.DateTime(timezone=True), nullable=False),
        sa.Column("extra", OPEN, nullable=False),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_metric_job_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_metric_workspace_id"),
        sa.PrimaryKeyConstraint("job_pk", "step", "attempt", name="pk_metric"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "prediction",
        sa.Column("job_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("prompt_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("prompt", sa.String(), nullable=False),
        sa.Column("expected", sa.String(), nullable=False),
        sa.Column("response", sa.String(), nullable=True),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("finish_reason", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_prediction_job_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_prediction_workspace_id"),
        sa.PrimaryKeyConstraint("job_pk", "prompt_index", name="pk_prediction"),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "test_run",
        sa.Column("job_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("suite", sa.String(length=1024), nullable=False),
        sa.Column("suite_id", sa.String(length=26), nullable=True),
        sa.Column("completed_prompts", sa.BigInteger(), nullable=False),
        sa.Column("failed_prompts", sa.BigInteger(), nullable=False),
        sa.Column("passed_prompts", sa.BigInteger(), nullable=False),
        sa.Column("scored_prompts", sa.BigInteger(), nullable=False),
        sa.Column("score_sum", sa.Float(), nullable=False),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_test_run_job_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_test_run_workspace_id"),
        sa.PrimaryKeyConstraint("job_pk", name="pk_test_run"),
    )
