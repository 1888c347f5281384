# Generated from async_transfers.py by `python -m tests.unasync --write`; do not edit.
"""Files to and from the API: streamed, gone on with where they broke off, checked by their digest."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import httpx

from tuneyard.errors import Damaged
from tuneyard.wire import Params, Wire

CHUNK = 2**20
Progress = Callable[[int, int], None]  # bytes that are here, bytes in all


def digest_of(path: Path) -> str:
    """The SHA-256 of a file's bytes."""
    return _sha256(path)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def flush_names(folder: Path) -> None:
    """Onto the disk, where the system has a way to ask for it."""
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class FileContent:
    """A file's bytes, read anew for each try."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __iter__(self) -> Iterator[bytes]:
        with self._path.open("rb") as file:
            while chunk := file.read(CHUNK):
                yield chunk


class Download:
    """One file of the API's, brought into a file here; what that file holds already is not asked for again."""

    def __init__(self, wire: Wire, path: str, params: Params, size: int, sha256: str) -> None:
        self._wire = wire
        self._path = path
        self._params = params
        self._size = size
        self._sha256 = sha256

    def into(self, part: Path, told: Callable[[int], None]) -> None:
        """Bring it into `part`, whole and on the disk.

        Args:
            told: Hears how many bytes of it are here.

        Raises:
            Damaged: What came has another digest than was recorded; it is removed.
        """
        part.parent.mkdir(parents=True, exist_ok=True)
        went_on = part.exists() and part.stat().st_size > 0
        self._fill(part, told)
        whole = digest_of(part) == self._sha256
        if went_on and not whole:  # what was here before was of another file: once more, from its beginning
            os.truncate(part, 0)
            self._fill(part, told)
            whole = digest_of(part) == self._sha256
        if not whole:
            part.unlink()
            name = self._params.get("path") or part.name
            raise Damaged(f"{name} came with another SHA-256 than {self._sha256}, which was recorded")

    def _fill(self, part: Path, told: Callable[[int], None]) -> None:
        """Until it has its size. A connection that breaks is made again; one that brought something earns new
        patience."""
        patience = self._wire.patience()
        if part.exists() and part.stat().st_size > self._size:
            os.truncate(part, 0)
        with part.open("ab") as file:
            while (had := file.tell()) < self._size:
                answer = self._wire.open(self._path, self._params, self._from(had), patience)
                why = self._take(answer, file, told)
                patience = self._wire.patience() if file.tell() > had else patience
                pause = patience.next_pause(None) if why else 0.0
                if pause is None:
                    raise self._wire.unreachable(why)
                time.sleep(pause)
            told(file.tell())
            os.fsync(file.fileno())

    def _from(self, start: int) -> dict[str, str]:
        return {"Range": f"bytes={start}-", "If-Range": f'"{self._sha256}"'} if start else {}

    def _take(self, answer: httpx.Response, file: BinaryIO, told: Callable[[int], None]) -> str:
        """Write what comes; why it broke off, or nothing."""
        try:
            if answer.status_code != 206:  # all of it, whatever was asked for
                file.seek(0)
                file.truncate()
            for chunk in answer.iter_bytes():
                file.write(chunk)
                told(file.tell())
        except httpx.RequestError as error:
            return str(error) or type(error).__name__
        finally:
            answer.close()
            file.flush()
        if file.tell() > self._size:
            raise Damaged(f"the API sent more than the {self._size} bytes that were recorded")
        return "" if file.tell() == self._size else "it ended too early"
