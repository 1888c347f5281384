"""Brings a database's tables to this version's, or says that somebody must."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import DBAPIError

from api.database import Database
from tuneyard.errors import BadInput

_ADVISORY_LOCK = 0x74756E65  # any number that is ours: "tune"


def migrate(database: Database) -> str:
    """Bring the database to head, whatever it holds; the revision it is at then."""
    with _alone(database) as connection:
        return _upgrade(connection)


def make_ready(database: Database) -> None:
    """Bring a new, empty database to head; leave one that is at head.

    Raises:
        BadInput: Nobody answers, or the tables are of another version.
    """
    with _alone(database) as connection:
        if not inspect(connection).get_table_names():
            _upgrade(connection)
        here = MigrationContext.configure(connection).get_current_revision()
        head = _scripts(_config(connection)).get_current_head()
        known = {script.revision for script in _scripts(_config(connection)).walk_revisions()}
    if here == head:
        return
    if here is None or here in known:
        raise BadInput(
            f"the database's tables are older than this tuneyard ({here or 'no version'}, not {head}): "
            "run `python -m api migrate`"
        )
    raise BadInput(f"the database's tables are of a newer tuneyard ({here}): run that one, not this")


@contextmanager
def _alone(database: Database) -> Iterator[Connection]:
    """One transaction, and no other process migrates meanwhile: of two that find a database empty, one fills it."""
    try:
        with database.connection_for_writing() as connection:
            if not database.is_sqlite:
                connection.execute(text("SELECT pg_advisory_xact_lock(:ours)"), {"ours": _ADVISORY_LOCK})
            yield connection
    except DBAPIError as problem:
        reason = str(problem.orig).strip().splitlines()[0]
        raise BadInput(
            f"no database answers at {database.url.render_as_string(hide_password=True)} ({reason}): "
            "start it, or correct DATABASE_URL"
        ) from None


def _upgrade(connection: Connection) -> str:
    config = _config(connection)
    command.upgrade(config, "head")
    head = _scripts(config).get_current_head()
    assert head is not None
    return head


def _config(connection: Connection) -> Config:
    config = Config()
    folder = str(Path(__file__).parent / "migrations")
    config.set_main_option("script_location", folder.replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config


def _scripts(config: Config) -> ScriptDirectory:
    return ScriptDirectory.from_config(config)
