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
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from sqlalchemy import Engine, Executable, Row, create_engine, event
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection
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
        self._asked: Connection | None = None

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

    def first_row(self, query: Executable, **values: Any) -> Row[Any] | None:
        """The first row of a query, read without an object around it: the shortest way to a look-up's answer.

        SQLite is asked over a connection of its own, so that nobody waits here for one that writers hold.
        """
        if not self.is_sqlite:
            with self.engine.connect() as connection:
                return connection.execute(query, values).first()
        with self._asking:
            self._asked = self._asked or self.engine.connect().execution_options(one_statement=True)
            with self._asked.begin():
                return self._asked.execute(query, values).first()

    @contextmanager
    def connection_for_writing(self) -> Iterator[Connection]:
        """A connection in a write transaction, for migrations."""
        with self._writer.begin() as connection:
            yield connection

    def close(self) -> None:
        if self._asked is not None:
            self._asked.close()
        self.engine.dispose()


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
    options = connection.get_execution_options()
    if options.get("one_statement"):
        return  # it is a transaction by itself
    writes = options.get("writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
