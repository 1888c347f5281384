"""Keys and session tokens that this machine remembers: `client@default` and its like.

They lie in the system's keyring where the package `keyring` and a working backend are there, else beside their
addresses in `credentials.json`. A keyring cannot be listed, so the file always knows the names.
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from tuneyard.errors import BadInput

if sys.platform != "win32":
    import fcntl

KEYRING_SERVICE = "tuneyard"
_LABEL = re.compile(r"[a-z0-9._-]+@[a-z0-9-]+")


class _Entry(BaseModel):
    """One line of the file; `secret` is null where the keyring holds it."""

    api_url: str
    secret: str | None = Field(None, repr=False)


_Entries = TypeAdapter(dict[str, _Entry])


@dataclass(frozen=True)
class StoredKey:
    label: str
    api_url: str
    secret: str = field(repr=False)


def label_of(name: str, environment: str) -> str:
    """`name@environment`.

    Raises:
        BadInput: Other than small letters, digits and dashes (in a name also dots and underscores).
    """
    label = f"{name}@{environment}"
    if not _LABEL.fullmatch(label):
        raise BadInput(f"{label!r} is no name for a credential: small letters, digits and dashes only")
    return label


def file() -> Path:
    """`credentials.json` in TUNEYARD_CONFIG_HOME, or in ~/.config/tuneyard."""
    home = os.environ.get("TUNEYARD_CONFIG_HOME") or Path.home() / ".config" / "tuneyard"
    return Path(home).expanduser().absolute() / "credentials.json"


def labels() -> list[str]:
    """The names of all that is stored."""
    return sorted(_read())


def address(label: str) -> str | None:
    """Where the API is that the stored secret opens; None where nothing is stored."""
    entry = _read().get(label)
    return entry.api_url if entry else None


def find(label: str) -> StoredKey | None:
    """What is stored under the name.

    Raises:
        BadInput: The file cannot be read, or the secret is in a keyring that does not give it.
    """
    entry = _read().get(label)
    if entry is None:
        return None
    secret = entry.secret or _from_keyring(label)
    if secret is None:
        raise BadInput(f"{label} is in the system's keyring, which does not give it: log in again")
    return StoredKey(label, entry.api_url, secret)


def keep(label: str, api_url: str, secret: str) -> str:
    """Store the secret in place of what the name held before; where it now lies, in words."""
    with _alone():
        entries = _read()
        in_keyring = _into_keyring(label, secret)
        entries[label] = _Entry(api_url=api_url, secret=None if in_keyring else secret)
        _write(entries)
    return "the system's keyring" if in_keyring else str(file())


def forget(label: str) -> bool:
    """Remove what is stored under the name; False where the keyring would not let go of it."""
    with _alone():
        entries = _read()
        entry = entries.pop(label, None)
        if entry is None:
            return True
        _write(entries)
    return entry.secret is not None or _out_of_keyring(label)


def _read() -> dict[str, _Entry]:
    try:
        text = file().read_bytes()
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise BadInput(f"it cannot be read: {error.strerror}", file=str(file())) from None
    try:
        return _Entries.validate_json(text)
    except ValidationError:
        pass  # not chained: it repeats what the file holds
    raise BadInput("not as tuneyard wrote it: move it away and log in again", file=str(file()))


def _write(entries: dict[str, _Entry]) -> None:
    """Whole or not at all: a reader sees the old file or the new one, also across a loss of power."""
    text = json.dumps(_Entries.dump_python(entries, exclude_none=True), indent=2, sort_keys=True)
    try:
        handle, draft = tempfile.mkstemp(dir=file().parent, prefix=".credentials-")  # for its owner alone
        with _removed_on_failure(Path(draft)):
            with os.fdopen(handle, "w", encoding="utf-8") as out:
                out.write(text + "\n")
                out.flush()
                os.fsync(out.fileno())
            Path(draft).replace(file())
    except OSError as error:
        raise BadInput(f"it cannot be written: {error.strerror}", file=str(file())) from None


@contextmanager
def _removed_on_failure(draft: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        draft.unlink()
        raise


@contextmanager
def _alone() -> Iterator[None]:
    """One process at a time, and the folder made."""
    folder = file().parent
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(folder / "credentials.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise BadInput(f"it cannot be written: {error.strerror}", file=str(folder)) from None
    with os.fdopen(handle):
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _keyring() -> Any:
    """The keyring package, or None where it or a backend that keeps anything is missing."""
    try:
        keyring = import_module("keyring")
        return keyring if keyring.get_keyring().priority > 0 else None
    except Exception:  # noqa: BLE001 - a backend of the desktop may raise anything; the file serves as well
        return None


def _into_keyring(label: str, secret: str) -> bool:
    """Whether the keyring took it, and gives it back."""
    keyring = _keyring()
    if keyring is None:
        return False
    try:
        keyring.set_password(KEYRING_SERVICE, label, secret)
        return bool(keyring.get_password(KEYRING_SERVICE, label) == secret)
    except Exception:  # noqa: BLE001 - locked, or its daemon is away: the file serves as well
        return False


def _from_keyring(label: str) -> str | None:
    keyring = _keyring()
    try:
        return keyring.get_password(KEYRING_SERVICE, label) if keyring else None
    except Exception:  # noqa: BLE001 - locked, or its daemon is away
        return None


def _out_of_keyring(label: str) -> bool:
    """Whether the keyring has it no more."""
    keyring = _keyring()
    if keyring is None:
        return False
    try:
        if keyring.get_password(KEYRING_SERVICE, label) is not None:
            keyring.delete_password(KEYRING_SERVICE, label)
    except Exception:  # noqa: BLE001 - locked, or its daemon is away
        return False
    return True
