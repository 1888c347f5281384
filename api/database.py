"""The database: one engine, and the two ways to a session.

    with database.reading() as session: ...     a snapshot; nothing is kept
    with database.writing() as session: ...     committed at the end of the block, or rolled back as a whole

An endpoint opens its session itself, in the thread that runs it, and is past the commit before its answer is built.
(A session from a yielding dependency would hold its connection, and SQLite's write lock, while the request
waits for a thread to go on in: enough requests at once and every thread waits for a connection that none can free.)

SQLite runs in WAL mode with synchronous=NORMAL: what was committed survives a SIGKILL of the server; a power cut
can lose the last commits, never the file's soundness.
"""

import sqlite3
import threading
import time
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Dialect, Engine, Select, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import OperationalError
from sqlalchemy.sql.expression import FromClause
from sqlmodel import Session

# More threads than connections may ask at once: they wait `patience` for one, and no thread holds two.
CONNECTIONS_KEPT, CONNECTIONS_MORE = 5, 15


class Database:
    """The engine of one URL.

    Args:
        url: SQLite or PostgreSQL (psycopg).
        patience: Seconds to wait for a connection or a lock.
    """

    def __init__(self, url: URL, patience: float) -> None:
        self.url = url
        self.engine = _engine(url, patience)
        self._writer = self.engine.execution_options(writes=True)
        self._asking = threading.Lock()
        self._asked: Any = None
        self._look_ups: dict[Select[Any], _LookUp] = {}

    @property
    def is_sqlite(self) -> bool:
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """A session whose rows stay readable after the block."""
        with Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """A session in a write transaction. On SQLite it holds the write lock from its first statement on, so
        that no reading inside it can turn out stale; on PostgreSQL, lock the rows that decide."""
        with Session(self._writer, expire_on_commit=False) as session, session.begin():
            yield session

    def first_row(self, query: Select[Any], **values: Any) -> Any:
        """The first row of a query, a named tuple, or None: the shortest way to a look-up's answer.

        SQLite is asked over a connection of its own, so that nobody waits here for one that writers hold, and without
        SQLAlchemy between, whose way to an answer takes ten times as long as the answer.
        """
        if not self.is_sqlite:
            with self.engine.connect() as connection:
                return connection.execute(query, values).first()
        with self._asking:
            if self._asked is None:
                self._asked = self.engine.raw_connection()
            found = self._look_up(query).rows(self._asked.driver_connection, values)
        return found[0] if found else None

    def all_rows(self, query: Select[Any], **values: Any) -> Sequence[Any]:
        """Every row of a query, in the same way."""
        if not self.is_sqlite:
            with self.engine.connect() as connection:
                return connection.execute(query, values).all()
        with closing(self.engine.raw_connection()) as connection:
            return self._look_up(query).rows(connection.driver_connection, values)

    def _look_up(self, query: Select[Any]) -> "_LookUp":
        if query not in self._look_ups:
            self._look_ups[query] = _LookUp(query, self.engine.dialect)
        return self._look_ups[query]

    @contextmanager
    def connection_for_writing(self) -> Iterator[Connection]:
        """A connection in a write transaction, for migrations."""
        with self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        if self._asked is not None:
            self._asked.close()
        self.engine.dispose()


class _LookUp:
    """A query as SQLite's driver takes it, and its values as SQLAlchemy would give them."""

    def __init__(self, query: Select[Any], dialect: Dialect) -> None:
        compiled = query.compile(dialect=dialect)
        columns = list(query.selected_columns)
        self._text = str(compiled)
        self._names = list(compiled.positiontup or ())
        self._own = dict(compiled.params)  # what the query itself compares with
        self._row: Any = namedtuple("Row", [column.key for column in columns])  # type: ignore[misc]
        readers = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._readers = [(place, read) for place, read in enumerate(readers) if read is not None]

    def rows(self, connection: Any, values: dict[str, Any]) -> list[Any]:
        try:
            given = self._own | values
            found = connection.execute(self._text, [given[name] for name in self._names]).fetchall()
        except sqlite3.Error as problem:
            raise OperationalError(self._text, None, problem) from problem
        return [self._row._make(self._as_given(row)) for row in found]

    def _as_given(self, row: Sequence[Any]) -> Sequence[Any]:
        given = list(row)
        for place, read in self._readers:
            given[place] = read(given[place])
        return given


def insert_into(session: Session, table: FromClause) -> Any:
    """An INSERT that knows ON CONFLICT, in the dialect of the session's database."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    return dialect.insert(table)


def _engine(url: URL, patience: float) -> Engine:
    options: dict[str, Any] = {
        "hide_parameters": True,  # an error's text reaches the log; digests and configs need not
        "pool_size": CONNECTIONS_KEPT,
        "max_overflow": CONNECTIONS_MORE,
        "pool_timeout": patience,
    }
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": patience}, **options)
        event.listen(engine, "connect", partial(_prepare_sqlite, patience))
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    milliseconds = int(patience * 1000)
    session_options = f"-c timezone=UTC -c lock_timeout={milliseconds}"
    connect = {"connect_timeout": max(2, round(patience)), "options": session_options}
    return create_engine(url, connect_args=connect, pool_pre_ping=True, **options)


def _prepare_sqlite(patience: float, connection: sqlite3.Connection, _record: object) -> None:
    # The driver's own BEGIN comes late, before the first write only: we say BEGIN ourselves.
    connection.isolation_level = None
    _use_wal(connection, patience)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA foreign_keys = ON")


def _use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """The first connection to a new file changes its mode; SQLite refuses those beside it at once, patience or not."""
    deadline = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as problem:
            if problem.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.02)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    """A deferred transaction that read and then writes fails at once where another wrote meanwhile (BUSY_SNAPSHOT),
    however long its patience; one that is going to write says so first and waits its turn."""
    writes = connection.get_execution_options().get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
