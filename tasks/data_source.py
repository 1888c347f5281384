"""Finds a data set, wherever the config says it is: a local file, any URL that fsspec opens, a hub data set.

Answers with bytes as they are stored, so that their hash is the one that `sha256sum` prints.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from tasks.hub_set import hub_files
from tuneyard.data_kinds import kind_of
from tuneyard.errors import BadInput
from tuneyard.home import home
from tuneyard.stored_file import StoredFile, local_content

RECORDED = "dataset:"
HUB_SET = re.compile(r"(?P<id>[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(:(?P<split>[\w-]+))?", re.ASCII)


@dataclass(frozen=True)
class Source:
    """A data set's files, in the order in which they are read. `uri` is the name that its faults carry."""

    uri: str
    files: list[StoredFile]

    @property
    def sha256(self) -> str:
        """Of the bytes of the one file; of several, of their hashes one after the other."""
        digests = [hashlib.sha256(file.content) for file in self.files]
        if len(digests) == 1:
            return digests[0].hexdigest()
        return hashlib.sha256(b"".join(digest.digest() for digest in digests)).hexdigest()


def open_source(uri: str) -> Source:
    """Reads all of a data set's files.

    Args:
        uri: A path, a URL, `org/name[:split]` on the hub, or `dataset:<id>` for a recorded one that the flow has
            fetched; a path that exists is a path.

    Raises:
        BadInput: it is not there or cannot be had; says what was looked for and what to do.
    """
    if uri.startswith(RECORDED):
        return Source(*_recorded(fetched_folder(uri)))
    if "://" in uri:
        name = _without_secrets(uri)
        return Source(name, [StoredFile(name, _fetched(uri, name))])
    path = Path(uri).expanduser()
    hub = HUB_SET.fullmatch(uri)
    if hub is None or path.exists() or kind_of(uri) is not None:
        return Source(uri, [StoredFile(uri, local_content(path))])
    return Source(uri, [_stored(file) for file in hub_files(hub["id"], hub["split"] or "train")])


def fetched_folder(uri: str) -> Path:
    """Where the one file of `dataset:<id>` lies on this host, under its own name."""
    return home() / "datasets" / uri.removeprefix(RECORDED)


def _recorded(folder: Path) -> tuple[str, list[StoredFile]]:
    """Its faults carry the name that it was uploaded under, not where this host keeps it."""
    for file in folder.iterdir() if folder.is_dir() else ():
        return file.name, [StoredFile(file.name, local_content(file))]
    raise BadInput(f"the recorded data set {folder.name} is not on this host", field="dataset")


def _stored(path: Path) -> StoredFile:
    return StoredFile(path.name, local_content(path))


def _fetched(uri: str, name: str) -> bytes:
    """Each file system of fsspec has errors of its own: whatever it raises, the data set cannot be had."""
    from fsspec.core import url_to_fs

    try:
        system, path = url_to_fs(uri)
        return bytes(system.cat_file(path))
    except ImportError as error:
        problem = f"reading {uri.split('://')[0]}:// needs a package that is not here: {error}"
        raise BadInput(problem, file=name) from None
    except FileNotFoundError:
        raise BadInput("there is no such file", file=name) from None
    except IsADirectoryError:
        raise BadInput("it is a folder; name one file in it", file=name) from None
    except Exception as error:
        raise BadInput(f"it cannot be read: {error or type(error).__name__}", file=name) from error


def _without_secrets(uri: str) -> str:
    """A URL as it may stand in a log: no user and password, no signature in the query."""
    return re.sub(r"(?<=://)[^/@]*@", "", uri).partition("?")[0]
