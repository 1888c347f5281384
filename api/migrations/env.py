"""Alembic's entry: migrates the connection it was given, inside the caller's transaction."""

from alembic import context
from sqlmodel import SQLModel

import api.tables  # noqa: F401  defines the tables

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=SQLModel.metadata,
    render_as_batch=True,  # SQLite changes a table by copying it
)
with context.begin_transaction():
    context.run_migrations()
