"""The one place that artifacts are downloaded from: a folder, or a URL that fsspec opens. Nothing else is opened."""

import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import unquote

from fsspec.core import split_protocol, url_to_fs

from api.problems import Problem
from tuneyard.errors import BadInput, TuneyardError
from tuneyard.shapes import KeptFile

log = logging.getLogger("tuneyard.api")
CHUNK = 2**20
_LOCAL = (None, "file", "local")


class Shrunk(TuneyardError):
    """A file ended before its size: what is being sent of it must break off."""


@dataclass(frozen=True)
class Source:
    """One file, seen to be there at its size; `name` is what its artifact calls it."""

    files: Any
    path: str
    name: str
    size: int

    def read(self, start: int, stop: int) -> Iterator[bytes]:
        """Those bytes. Raises Shrunk where there are fewer by now."""
        with self.files.open(self.path, "rb") as file:
            file.seek(start)
            while start < stop:
                chunk = file.read(min(CHUNK, stop - start))
                if not chunk:
                    log.error("%s ends at byte %d of %d", self.path, start, self.size)
                    raise Shrunk(f"{self.name} has become shorter")
                start += len(chunk)
                yield chunk


class Place:
    """Finds files of folders that lie under a root.

    Raises:
        BadInput: fsspec cannot open it: no such protocol, or its package is missing.
    """

    def __init__(self, root: str) -> None:
        self._local = split_protocol(root)[0] in _LOCAL
        try:
            self._files, path = url_to_fs(root, **({} if self._local else {"use_listings_cache": False}))
        except (ImportError, ValueError) as problem:
            raise BadInput(f"{root} cannot be opened: {problem}", field="TUNEYARD_ARTIFACTS") from None
        # A path is compared by what it is; a URL as it is written: its host may be no part of fsspec's path.
        self._root = os.path.realpath(path) if self._local else root.rstrip("/")

    def parts_of(self, uri: str) -> list[str]:
        """The way from the root to what lies at `uri`.

        Raises:
            Problem: 409, it lies elsewhere.
        """
        found = self._real(uri) if self._local else uri
        rest = found[len(self._root) + 1 :].rstrip("/")
        inside = found.startswith(self._root + "/") and "::" not in uri
        parts = rest.split("/")
        if not inside or any(unquote(part).strip(".") == "" or "\\" in part for part in parts):
            raise Problem(
                409,
                f"It lies on {uri}, not where this API keeps artifacts: TUNEYARD_ARTIFACTS names that "
                "place, to the flows and to the API",
            )
        return parts

    def _real(self, uri: str) -> str:
        protocol, path = split_protocol(uri)
        absolute = protocol in _LOCAL and PurePath(path).is_absolute()
        return os.path.realpath(path) if absolute else ""

    def sources(self, uri: str, files: Sequence[KeptFile]) -> list[Source]:
        """Each file, as it is there now.

        Raises:
            Problem: 409 where one is gone, has another size or is a link to elsewhere.
        """
        folder = "/".join([self._root, *self.parts_of(uri)])
        folder = folder if self._local else self._files._strip_protocol(folder)
        known: dict[str, Any] = {}
        if not self._local and len(files) > 1:  # one question in place of one each
            known = self._listed(folder)
        return [self._source(folder, file, known) for file in files]

    def remove(self, uri: str, files: Sequence[KeptFile]) -> None:
        """Delete those of the files that are still there as they were recorded, and each folder that is empty then.

        Raises:
            Problem: 409, it lies elsewhere.
            OSError: Something could not be deleted.
        """
        for file in files:
            try:
                [found] = self.sources(uri, [file])
            except Problem as problem:
                log.warning("Not removed: %s", problem)
                continue
            self._files.rm_file(found.path)
            if self._local:
                _prune(Path(found.path).parent, Path(self._root))

    def _listed(self, folder: str) -> dict[str, Any]:
        try:
            found: dict[str, Any] = self._files.find(folder, detail=True)
        except OSError:
            return {}
        return found

    def _source(self, folder: str, file: KeptFile, known: dict[str, Any]) -> Source:
        path = f"{folder}/{file.path}"
        if self._local:
            path = os.path.realpath(path)
            if not path.startswith(folder + "/"):
                raise Problem(409, f"{file.path} is a link that leads out of the artifact's folder")
        try:
            info = known.get(path) or self._files.info(path)
        except (OSError, ValueError):
            raise Problem(409, f"{file.path} is not there any more") from None
        if info["type"] != "file":
            raise Problem(409, f"{file.path} is no file any more")
        if info["size"] != file.size_bytes:
            raise Problem(409, f"{file.path} has {info['size']} bytes, not {file.size_bytes} as recorded")
        return Source(self._files, path, file.path, file.size_bytes)


def _prune(folder: Path, root: Path) -> None:
    """Remove the folder, and those around it below the root, as far as they are empty."""
    with suppress(OSError):
        while folder != root and folder.is_relative_to(root):
            folder.rmdir()
            folder = folder.parent
