"""Keys in full, people, sessions, the audit trail"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
OPEN = sa.JSON()
TIME = sa.DateTime(timezone=True)

_SQLITE = """
CREATE TRIGGER event_only_added_{verb} BEFORE {verb} ON event
BEGIN SELECT RAISE(ABORT, 'the audit trail is only ever added to'); END
"""
_POSTGRES = """
CREATE FUNCTION event_only_added() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN RAISE EXCEPTION 'the audit trail is only ever added to'; END $$
"""
_POSTGRES_TRIGGER = """
CREATE TRIGGER event_only_added BEFORE UPDATE OR DELETE OR TRUNCATE ON event
FOR EACH STATEMENT EXECUTE FUNCTION event_only_added()
"""


def upgrade() -> None:
    with op.batch_alter_table("api_key") as table:
        table.add_column(sa.Column("description", sa.String(length=2000), nullable=True))
        table.add_column(sa.Column("rate_limit", sa.Integer(), nullable=True))
        table.add_column(sa.Column("successor_id", sa.String(length=12), nullable=True))
        table.add_column(sa.Column("created_by", sa.String(length=100), nullable=True))
        table.add_column(sa.Column("created_by_id", sa.String(length=26), nullable=True))
        table.add_column(sa.Column("updated_at", TIME, nullable=True))
        table.add_column(sa.Column("last_used_at", TIME, nullable=True))
        table.add_column(sa.Column("usage_count", sa.BigInteger(), nullable=False, server_default="0"))
    op.execute("UPDATE api_key SET updated_at = created_at")
    with op.batch_alter_table("api_key") as table:
        table.alter_column("updated_at", existing_type=TIME, nullable=False)
        table.alter_column("usage_count", existing_type=sa.BigInteger(), server_default=None)
        table.create_unique_constraint("uq_api_key_successor_id", ["successor_id"])
    op.create_table(
        "user",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("role", sa.String(length=20), nullable=False),
        sa.Column("password_hash", sa.String(length=255), nullable=False),
        sa.Column("must_change_password", sa.Boolean(), nullable=False),
        sa.Column("password_expires_at", TIME, nullable=True),
        sa.Column("created_by", sa.String(length=100), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("last_login_at", TIME, nullable=True),
        sa.Column("disabled_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_user_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_user"),
        sa.UniqueConstraint("id", name="uq_user_id"),
        sa.UniqueConstraint("name", name="uq_user_name"),
    )
    op.create_table(
        "session",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("user_pk", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("address", sa.String(length=100), nullable=True),
        sa.Column("agent", sa.String(length=255), nullable=True),
        sa.Column("created_at", TIME, nullable=False),
        sa.Column("expires_at", TIME, nullable=False),
        sa.Column("last_used_at", TIME, nullable=True),
        sa.Column("ended_at", TIME, nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_session_workspace_id"),
        sa.ForeignKeyConstraint(["user_pk"], ["user.pk"], name="fk_session_user_pk"),
        sa.PrimaryKeyConstraint("pk", name="pk_session"),
        sa.UniqueConstraint("digest", name="uq_session_digest"),
        sa.UniqueConstraint("id", name="uq_session_id"),
    )
    op.create_index("ix_session_user_pk", "session", ["user_pk"], unique=False)
    op.create_table(
        "event",
        sa.Column("pk", ROW_NUMBER, nullable=False),
        sa.Column("workspace_id", ROW_NUMBER, nullable=False),
        sa.Column("id", sa.String(length=26), nullable=False),
        sa.Column("at", TIME, nullable=False),
        sa.Column("actor_kind", sa.String(length=20), nullable=False),
        sa.Column("actor_id", sa.String(length=100), nullable=False),
        sa.Column("actor_name", sa.String(length=255), nullable=False),
        sa.Column("action", sa.String(length=50), nullable=False),
        sa.Column("object_kind", sa.String(length=30), nullable=False),
        sa.Column("object_id", sa.String(length=100), nullable=False),
        sa.Column("details", OPEN, nullable=False),
        sa.Column("request_id", sa.String(length=26), nullable=True),
        sa.Column("address", sa.String(length=100), nullable=True),
        sa.ForeignKeyConstraint(["workspace_id"], ["workspace.pk"], name="fk_event_workspace_id"),
        sa.PrimaryKeyConstraint("pk", name="pk_event"),
        sa.UniqueConstraint("id", name="uq_event_id"),
    )
    op.create_index(
        "ix_event_workspace_id_object_kind_object_id",
        "event",
        ["workspace_id", "object_kind", "object_id"],
        unique=False,
    )
    if op.get_bind().dialect.name == "sqlite":
        for verb in ("UPDATE", "DELETE"):
            op.execute(_SQLITE.format(verb=verb))
    else:
        op.execute(_POSTGRES)
        op.execute(_POSTGRES_TRIGGER)
