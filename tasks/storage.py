"""Where results are kept: in a folder of this host, or under a URL that fsspec opens, each in a folder of its own.

Under a URL a folder is whole once its MARKER is there, which is put last and lists the files with their digests.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from tasks.durable import file_sha256, files_sha256
from tasks.model import made_once
from tuneyard.errors import BadInput, WorkFailed
from tuneyard.home import home
from tuneyard.shapes import KeptFile

VARIABLE = "TUNEYARD_ARTIFACTS"
MARKER = "tuneyard-files.json"
Say = Callable[[str], None]


def is_url(place: str) -> bool:
    return "://" in place


def output_folder(job_id: str) -> Path:
    """Where a job's result is made. Under a URL's name nothing can be written bit by bit: it is put there after."""
    place = _place()
    return (home() / "artifacts" if is_url(place) else Path(place).expanduser().absolute()) / job_id


def fetched_model(sha256: str) -> Path:
    """Where a model of that digest lies on this host once it has been fetched."""
    return home() / "models" / sha256


def keep(folder: Path, sha256: str, files: list[KeptFile], say: Say) -> str:
    """Puts a job's result where results are kept, if that is elsewhere; its uri. This host keeps it as fetched.

    Raises:
        WorkFailed: it cannot be put there.
    """
    place = _place()
    if not is_url(place):
        return str(folder)
    uri = f"{place.rstrip('/')}/{folder.name}"
    say(f"Storing {len(files)} files at {uri}")
    try:
        _put(folder, uri, files)
    except Exception as error:  # each file system of fsspec has errors of its own
        problem = (
            f"the result could not be stored at {uri}: {error or type(error).__name__}; it lies in {folder}"
        )
        raise WorkFailed(problem) from error
    fetched = fetched_model(sha256)
    fetched.parent.mkdir(parents=True, exist_ok=True)
    if fetched.exists():
        shutil.rmtree(folder)
    else:
        folder.rename(fetched)
    return uri


def fetch(uri: str, sha256: str | None, say: Say) -> Path:
    """A kept folder's copy on this host, whole and with the digests that it was recorded with.

    Raises:
        BadInput: it is not there, or is another than was recorded.
    """
    if sha256 is None:
        raise BadInput(f"{uri} was recorded without a digest, so it cannot be checked", field="model")

    def make(folder: Path) -> None:
        say(f"Fetching {uri}")
        try:
            _get(uri, sha256, folder)
        except BadInput:
            raise
        except Exception as error:
            problem = f"{uri} cannot be fetched: {error or type(error).__name__}"
            raise BadInput(problem, field="model") from error

    return made_once(fetched_model(sha256), make, say)


def _place() -> str:
    place = os.environ.get(VARIABLE) or str(home() / "artifacts")
    if is_url(place) and "@" in urlsplit(place).netloc:
        raise BadInput(
            "a URL's user and password would stand in the record: give them as the store's own variables",
            field=VARIABLE,
        )
    return place


def _put(folder: Path, uri: str, files: list[KeptFile]) -> None:
    system, root = _opened(uri)
    for file in files:
        target = f"{root}/{file.path}"
        system.makedirs(target.rpartition("/")[0], exist_ok=True)
        system.put_file(str(folder / file.path), target)
        if system.size(target) != file.size_bytes:
            raise WorkFailed(f"{file.path} arrived with another size")
    listed = {"files": [file.model_dump() for file in files]}
    system.pipe_file(f"{root}/{MARKER}", json.dumps(listed).encode())


def _get(uri: str, sha256: str, folder: Path) -> None:
    system, root = _opened(uri)
    if not system.exists(f"{root}/{MARKER}"):
        raise BadInput(f"{uri} is not there, or not whole: it has no {MARKER}", field="model")
    listed = json.loads(system.cat_file(f"{root}/{MARKER}"))
    files = [KeptFile.model_validate(file) for file in listed["files"]]
    if files_sha256(files) != sha256:
        raise BadInput(f"{uri} is not what was recorded: its files have other digests", field="model")
    for file in files:
        path = PurePosixPath(file.path)
        if path.is_absolute() or ".." in path.parts:
            raise BadInput(f"{uri} lists {file.path!r}, which is no path within it", field="model")
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        system.get_file(f"{root}/{file.path}", str(target))
        if file_sha256(target) != file.sha256:
            raise BadInput(f"{uri}/{file.path} is not what was recorded: another digest", field="model")


def _opened(uri: str) -> tuple[Any, str]:
    """(fsspec's file system, the path in it)."""
    from fsspec.core import url_to_fs

    system, path = url_to_fs(uri)
    return system, str(path).rstrip("/")
