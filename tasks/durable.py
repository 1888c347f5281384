"""Folders that are there whole or not at all, also after a crash or a power cut.

A folder is written under a staging name beside its final one, flushed to the disk, and renamed: a reader can
never find half of it under the final name.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tuneyard.shapes import KeptFile


def staging_beside(final: Path) -> Path:
    """A fresh, empty folder next to `final`; what an interrupted writer left under that name is removed."""
    staging = final.with_name(f".{final.name}.staging")
    if staging.exists():
        shutil.rmtree(staging)
    staging.mkdir(parents=True)
    return staging


def publish(staging: Path, final: Path) -> None:
    """Flushes every file and folder of `staging` to the disk and gives it its final name.

    A folder that has that name already is replaced; between the two renames there is none.
    """
    for folder, _, names in os.walk(staging):
        for name in names:
            _flush(Path(folder) / name)
        _flush(Path(folder))
    old = final.with_name(f".{final.name}.old")
    if final.exists():
        shutil.rmtree(old, ignore_errors=True)
        final.rename(old)
    staging.rename(final)
    _flush(final.parent)
    shutil.rmtree(old, ignore_errors=True)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Writes one JSON file; a reader sees the old content or the new, never a part."""
    staging = path.with_name(f".{path.name}.staging")
    staging.write_text(json.dumps(value, ensure_ascii=False), encoding="utf-8")
    staging.replace(path)


def folder_sha256(folder: Path) -> tuple[str, int]:
    """(sha256, size in bytes) of a folder's files: their relative names and contents, in name order."""
    files = folder_files(folder)
    return files_sha256(files), sum(file.size_bytes for file in files)


def folder_files(folder: Path) -> list[KeptFile]:
    """Each file of a folder, in name order, with its digest."""
    return [
        KeptFile(
            path=path.relative_to(folder).as_posix(), size_bytes=path.stat().st_size, sha256=file_sha256(path)
        )
        for path in sorted(path for path in folder.rglob("*") if path.is_file())
    ]


def files_sha256(files: Iterable[KeptFile]) -> str:
    """The sha256 of a folder, from what is known of its files, in name order."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.path}\0{file.size_bytes}\0{file.sha256}".encode())
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """The sha256 of one file's bytes, in hexadecimal."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
