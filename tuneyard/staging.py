"""Where a download is gathered until it is whole: one place for one program at a time."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

if sys.platform != "win32":
    import fcntl


@contextmanager
def gathering(final: Path, *, folder: bool) -> Iterator[Path]:
    """`<final>.part`, with what an earlier try left there; another name beside it while another program fills that.

    Args:
        folder: It is to be a folder, not a file.
    """
    part = final.with_name(f"{final.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    _make(part, folder)
    held = os.open(part, os.O_RDONLY) if sys.platform != "win32" else -1
    try:
        if not _is_ours(held, part):
            part = final.with_name(f"{final.name}.{uuid4().hex}.part")
            _make(part, folder)
        yield part
    finally:
        if held >= 0:
            os.close(held)


def _make(part: Path, folder: bool) -> None:
    if folder:
        part.mkdir(exist_ok=True)
    else:
        part.touch()


def _is_ours(held: int, part: Path) -> bool:
    """Whether nobody else fills it, nor has given it its final name since it was opened."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return os.fstat(held).st_ino == part.stat().st_ino
    except (BlockingIOError, FileNotFoundError):
        return False
