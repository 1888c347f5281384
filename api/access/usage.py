"""How often each key was used, and when last: counted in memory, written every few seconds.

A request waits for no write. What was counted since the last one is lost when the process is killed outright.
"""

import logging
import threading
from datetime import datetime
from typing import Any

from sqlalchemy.exc import SQLAlchemyError
from sqlmodel import col, update

from api.database import Database
from api.tables import ApiKey, LoginSession, now

log = logging.getLogger("tuneyard.api")
EVERY_SECONDS = 5.0
_Uses = dict[int, tuple[int, datetime]]


class Usage:
    """One process's counts."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._lock = threading.Lock()
        self._keys: _Uses = {}
        self._sessions: _Uses = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._write_on, name="usage", daemon=True)

    def key_used(self, pk: int) -> None:
        with self._lock:
            self._keys[pk] = (self._keys.get(pk, (0, None))[0] + 1, now())

    def session_used(self, pk: int) -> None:
        with self._lock:
            self._sessions[pk] = (1, now())

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Write what is left."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self.flush()

    def flush(self) -> None:
        """Write the counts now; where the database does not take them, keep them for the next time."""
        with self._lock:
            keys, self._keys = self._keys, {}
            sessions, self._sessions = self._sessions, {}
        if not keys and not sessions:
            return
        try:
            self._write(keys, sessions)
        except SQLAlchemyError as problem:
            log.warning("Key uses are written later: %s", getattr(problem, "orig", problem))
            with self._lock:
                for pk, (count, at) in keys.items():
                    more, later = self._keys.get(pk, (0, at))
                    self._keys[pk] = (count + more, max(at, later))
                self._sessions = sessions | self._sessions

    def _write(self, keys: _Uses, sessions: _Uses) -> None:
        # By number, so that two processes that write the same rows do not wait for each other in a circle.
        with self._database.writing() as session:
            for pk, (count, at) in sorted(keys.items()):
                values: dict[str, Any] = {"usage_count": col(ApiKey.usage_count) + count, "last_used_at": at}
                session.exec(update(ApiKey).where(col(ApiKey.pk) == pk).values(**values))
            for pk, (_, at) in sorted(sessions.items()):
                session.exec(update(LoginSession).where(col(LoginSession.pk) == pk).values(last_used_at=at))

    def _write_on(self) -> None:
        while not self._stopped.wait(EVERY_SECONDS):
            self.flush()
