"""Batch tests: answers by step with all that was judged, versions of suites, aliases of models"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.JSON()
TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    _predictions()
    op.add_column("test_run", sa.Column("weight_sum", sa.Float(), nullable=False, server_default="0"))
    op.execute("UPDATE test_run SET weight_sum = scored_prompts")
    op.add_column("test_run", sa.Column("archived_at", TIME, nullable=True))
    op.add_column("test_suite", sa.Column("version", sa.Integer(), nullable=False, server_default="1"))
    # Suites of one name were recorded before there were versions: the order of recording is theirs.
    op.execute(
        "UPDATE test_suite SET version = (SELECT count(*) FROM test_suite AS older WHERE older.pk <= test_suite.pk "
        "AND older.workspace_id = test_suite.workspace_id AND older.name = test_suite.name)"
    )
    op.create_index(
        "ix_test_suite_workspace_id_name_version", "test_suite", ["workspace_id", "name", "version"]
    )
    _aliases()


def _predictions() -> None:
    """The table is made anew: its key has a column more."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("ALTER TABLE prediction RENAME CONSTRAINT pk_prediction TO pk_prediction_old")
    op.rename_table("prediction", "prediction_old")
    op.create_table(
        "prediction",
        sa.Column("job_pk", ROW_NUMBER, autoincrement=False, nullable=False),
        sa.Column("step", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("prompt_index", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("prompt", sa.String(), nullable=False),
        sa.Column("expected", sa.String(), nullable=True),
        sa.Column("response", sa.String(), nullable=True),
        sa.Column("rendered", sa.String(), nullable=True),
        sa.Column("template_sha256", sa.String(length=64), nullable=True),
        sa.Column("tags", OPEN, nullable=True),
        sa.Column("weight", sa.Float(), nullable=False),
        sa.Column("scores", OPEN, nullable=False),
        sa.Column("details", OPEN, nullable=False),
        sa.Column("score", sa.Float(), nullable=True),
        sa.Column("passed", sa.Boolean(), nullable=True),
        sa.Column("error", sa.String(), nullable=True),
        sa.Column("input_tokens", sa.BigInteger(), nullable=True),
        sa.Column("output_tokens", sa.BigInteger(), nullable=True),
        sa.Column("latency_ms", sa.Float(), nullable=True),
        sa.Column("finish_reason", sa.String(length=40), nullable=True),
        sa.ForeignKeyConstraint(["job_pk"], ["job.pk"], name="fk_prediction_job_pk"),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_prediction_workspace_id"),
        sa.PrimaryKeyConstraint("job_pk", "step", "prompt_index", name="pk_prediction"),
        sqlite_with_rowid=False,
    )
    kept = (
        "job_pk, prompt_index, workspace_id, id, prompt, expected, response, score, passed, error, input_tokens, "
        "output_tokens, latency_ms, finish_reason"
    )
    op.execute(
        f"INSERT INTO prediction ({kept}, step, tags, weight, scores, details) "
        f"SELECT {kept}, 0, '[]', 1, '{{}}', '{{}}' FROM prediction_old"
    )
    op.drop_table("prediction_old")


def _aliases() -> None:
    op.create_table(
        "model_alias",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("name", sa.String(length=63), nullable=False),
        sa.Column("artifact_id", sa.String(length=26), nullable=True),
        sa.Column("updated_at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_model_alias_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_model_alias"),
        sa.UniqueConstraint("workspace_id", "name", name="uq_model_alias_workspace_id_name"),
    )
    op.create_table(
        "alias_move",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("alias_pk", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("from_artifact_id", sa.String(length=26), nullable=True),
        sa.Column("to_artifact_id", sa.String(length=26), nullable=True),
        sa.Column("undoes", sa.String(length=26), nullable=True),
        sa.Column("evidence", OPEN, nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=True),
        sa.Column("actor", sa.String(length=255), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_alias_move_workspace_id"),
        sa.ForeignKeyConstraint(["alias_pk"], ["model_alias.pk"], name="fk_alias_move_alias_pk"),
        sa.PrimaryKeyConstraint("pk", name="pk_alias_move"),
        sa.UniqueConstraint("workspace_id", "id", name="uq_alias_move_workspace_id_id"),
    )
