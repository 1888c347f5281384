"""One file of rows: its bytes, what kind it is by its name's ending, and its content without gzip and its like."""

from __future__ import annotations

import lzma
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path, PurePosixPath

from tuneyard.data_kinds import KINDS, PACKED, Kind, kind_of
from tuneyard.errors import BadInput


@dataclass(frozen=True)
class StoredFile:
    """A file's name and its bytes as they are stored."""

    name: str
    content: bytes


def local_content(path: Path) -> bytes:
    """A local file's bytes. Raises BadInput where it is missing or cannot be read."""
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise BadInput(f"there is no such file (looked in {Path.cwd()})", file=str(path)) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise BadInput(f"it cannot be read: {reason}", file=str(path)) from None


def demand_kind(file: StoredFile) -> Kind:
    """What it holds. Raises BadInput where the ending is not one of a data set's."""
    kind = kind_of(file.name)
    if kind is None:
        raise BadInput(f"its name ends in none of {', '.join(KINDS)} (also with .gz)", file=file.name)
    return kind


def unpacked(file: StoredFile) -> bytes:
    """The content without gzip, bzip2, xz or zstd around it.

    Raises:
        BadInput: it is not what its name says, it is cut off, or fsspec lacks the package for it.
    """
    suffix = PurePosixPath(file.name.lower()).suffix
    if suffix not in PACKED:
        return file.content
    try:
        from fsspec.compression import compr
        from fsspec.utils import infer_compression
    except ModuleNotFoundError:
        raise BadInput(f"unpacking {suffix} needs fsspec: pip install fsspec", file=file.name) from None

    name = infer_compression(f"x{suffix}")
    if name not in compr:
        raise BadInput(f"nothing here unpacks {suffix}; install zstandard, or pack it as .gz", file=file.name)
    try:
        return bytes(compr[name](BytesIO(file.content), mode="rb").read())
    except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
        raise BadInput(f"it cannot be unpacked: {error}", file=file.name) from None
