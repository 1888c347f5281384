"""A file that comes in as a request's body: on the disk whole, under a name made of its digest, or not at all."""

import errno
import hashlib
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO
from uuid import uuid4

from fastapi.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect

from api.problems import Problem
from tuneyard.data_kinds import Kind

GATHERED = 2**20  # bytes a thread is asked to write at once
STALE_SECONDS = 86_400.0
_BY_LINES: tuple[Kind, ...] = ("jsonl", "csv", "tsv", "text")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class Incoming:
    """A file under way, in a staging file beside its place."""

    def __init__(self, folder: Path, kind: Kind | None) -> None:
        """`kind`: of a file whose lines are to be counted."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _sweep(folder)
        self.size = 0
        self.rows = 0
        self._counts = kind in _BY_LINES
        self._line_begun = False
        self._digest = hashlib.sha256()
        self._folder = folder
        self._staging = folder / f".{uuid4().hex}.staging"
        self._file: BinaryIO = self._staging.open("xb")

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    def write(self, content: bytes) -> None:
        self._file.write(content)
        self._digest.update(content)
        self.size += len(content)
        if self._counts:
            first, *others = content.split(b"\n")
            self._line_begun |= bool(first.strip())
            for line in others:
                self.rows += self._line_begun
                self._line_begun = bool(line.strip())

    def publish(self, ending: str) -> Path:
        """On the disk, under its final name."""
        self.rows += self._line_begun
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        final = self._folder / f"{self.sha256}{ending}"
        self._staging.replace(final)
        descriptor = os.open(self._folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        return final

    def drop(self) -> None:
        """Leave nothing but what was published."""
        with suppress(OSError):  # the last of it does not fit: it is thrown away as it is
            self._file.close()
        self._staging.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove what a killed server left half-written."""
    before = time.time() - STALE_SECONDS
    for staging in folder.glob(".*.staging"):
        try:
            if staging.stat().st_mtime < before:
                staging.unlink()
        except FileNotFoundError:  # swept by another
            continue


async def receive(
    body: AsyncIterator[bytes], make: Callable[[], Incoming], ending: str, limit: int
) -> Incoming:
    """Take the body in, written by threads; what is there afterwards is published.

    Raises:
        Problem: 400 for one that broke off, 413, 422 for an empty one, 507.
    """
    file: Incoming | None = None
    try:
        file = await run_in_threadpool(make)
        await _take_in(body, file, limit)
        await run_in_threadpool(file.publish, ending)
    except ClientDisconnect:
        raise Problem(400, "The upload broke off: nothing was kept") from None
    except OSError as problem:
        if problem.errno not in _NO_ROOM:
            raise
        raise Problem(507, "The API's host has no room left for it: nothing was kept") from None
    finally:
        if file is not None:
            file.drop()
    return file


async def _take_in(body: AsyncIterator[bytes], file: Incoming, limit: int) -> None:
    gathered = bytearray()
    async for chunk in body:
        gathered += chunk
        if file.size + len(gathered) > limit:
            raise Problem(413, f"It is larger than the {limit} bytes that TUNEYARD_UPLOAD_LIMIT allows")
        if len(gathered) >= GATHERED:
            await run_in_threadpool(file.write, bytes(gathered))
            gathered.clear()
    await run_in_threadpool(file.write, bytes(gathered))
    if file.size == 0:
        raise Problem(422, "it is empty", field="body")
