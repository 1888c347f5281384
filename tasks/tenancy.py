"""One run at a time works in a job's folder: it holds a lock there, which the kernel drops at its death.

Whoever finds the lock free knows that the run is dead, whatever became of its host's process table: neither a
recorded pid nor a silence proves as much.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ValidationError

from tasks.run_processes import end_processes
from tuneyard.errors import WorkFailed

LOCK = "run.lock"
LEAVING = 45.0  # seconds for a run that has been replaced to hear of it and to stop its trainer
PAUSE = 0.2


class Tenant(BaseModel):
    """Who has the folder, or had it last."""

    attempt: int
    flow_run_id: str | None
    pid: int


@contextmanager
def only_tenant(folder: Path, tenant: Tenant, leaving: float = LEAVING) -> Iterator[None]:
    """Hold the folder for the length of a `with` block; nothing of the run before is at work in it then.

    Raises:
        WorkFailed: The run before has it still, and could not be ended.
    """
    with (folder / LOCK).open("a+") as lock:
        before = _read(lock)
        if not _taken_within(leaving, lock) and before is not None and before.flow_run_id is not None:
            end_processes(before.flow_run_id)
        if not _taken_within(PAUSE, lock):
            raise WorkFailed(f"another run is at work in {folder} and does not stop: {before}")
        if before is not None and before.flow_run_id is not None:
            end_processes(before.flow_run_id)  # what it had started may have outlived it
        lock.truncate(0)
        lock.write(tenant.model_dump_json())
        lock.flush()
        yield


def dead_tenant(folder: Path) -> Tenant | None:
    """The run that had the folder last, where it is dead for certain; None where it lives or there was none."""
    try:
        with (folder / LOCK).open("r") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return _read(lock)
    except (FileNotFoundError, BlockingIOError):
        return None


def _taken_within(seconds: float, lock: IO[str]) -> bool:
    deadline = time.monotonic() + seconds
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(PAUSE)
        else:
            return True


def _read(lock: IO[str]) -> Tenant | None:
    lock.seek(0)
    try:
        return Tenant.model_validate_json(lock.read())
    except ValidationError:
        return None  # new, or its process died while it wrote


def this_process(attempt: int, flow_run_id: str | None) -> Tenant:
    """The process that asks, as a tenant."""
    return Tenant(attempt=attempt, flow_run_id=flow_run_id, pid=os.getpid())
