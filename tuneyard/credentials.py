"""Where the API is and what opens it: from the environment, else from what was logged in with."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from tuneyard import stored_keys
from tuneyard.addresses import base_of
from tuneyard.errors import BadInput
from tuneyard.keys import SESSION_PREFIX

DEFAULT_URL = "http://127.0.0.1:8400"
DEFAULT_NAME = "client"
DEFAULT_ENVIRONMENT = "default"

_NONE = (
    "No API key: log in with `tuneyard auth login`, or set TUNEYARD_API_KEY, or TUNEYARD_API_KEY_FILE to a file "
    "that holds one. An admin makes a key with `tuneyard keys create NAME --scope training`; the very first one "
    "comes from `python -m api first-admin NAME` on the API's host."
)


@dataclass(frozen=True)
class Credential:
    """A key or a session token. `source` is a variable or a stored one's name; only those have an address."""

    secret: str = field(repr=False)
    source: str
    api_url: str | None = None

    @property
    def is_session(self) -> bool:
        return self.secret.startswith(SESSION_PREFIX)


@dataclass(frozen=True)
class Door:
    """An address, whose secret opens it, and the secret under the name that a client takes it by."""

    url: str
    source: str
    api_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)


def stored_label(name: str | None = None, environment: str | None = None) -> str:
    """The name of the stored credential that is meant, where one is not said by its parts."""
    return stored_keys.label_of(
        name or os.environ.get("TUNEYARD_CREDENTIAL") or DEFAULT_NAME,
        environment or os.environ.get("TUNEYARD_ENVIRONMENT") or DEFAULT_ENVIRONMENT,
    )


def set_variable() -> str | None:
    """The variable that comes before what is stored, if one is set."""
    names = ("TUNEYARD_API_KEY", "TUNEYARD_API_KEY_FILE")
    return next((name for name in names if os.environ.get(name, "").strip()), None)


def find() -> Credential | None:
    """TUNEYARD_API_KEY, else the file in TUNEYARD_API_KEY_FILE, else what is stored for TUNEYARD_ENVIRONMENT.

    Raises:
        BadInput: The file or the store cannot be read, or the file is empty.
    """
    variable = set_variable()
    if variable is None:
        return find_stored(stored_label())
    value = os.environ[variable].strip()
    is_file = variable == "TUNEYARD_API_KEY_FILE"
    return Credential(_key_in(Path(value).expanduser()) if is_file else value, variable)


def find_stored(label: str) -> Credential | None:
    stored = stored_keys.find(label)
    return Credential(stored.secret, label, stored.api_url) if stored else None


def chosen(url: str | None = None) -> Door:
    """What a client opens: `url`, else TUNEYARD_API_URL, else where the log-in was.

    Raises:
        BadInput: There is no credential, or the stored one belongs to another address.
    """
    credential = find()
    if credential is None:
        raise BadInput(_NONE)
    return door_to(credential, url)


def login_url(label: str, url: str | None = None) -> str:
    """Where to log in: `url`, else TUNEYARD_API_URL, else where the name was last logged in."""
    asked = url or os.environ.get("TUNEYARD_API_URL")
    return base_of(asked or stored_keys.address(label) or DEFAULT_URL)


def door_to(credential: Credential, url: str | None = None) -> Door:
    """The door that the credential opens.

    Raises:
        BadInput: A stored one, and another address is asked for: a secret goes only to where it was logged in.
    """
    asked = url or os.environ.get("TUNEYARD_API_URL")
    home = credential.api_url
    if home and asked and base_of(asked) != home:
        raise BadInput(
            f"{credential.source} was stored for {home} and is not sent to {base_of(asked)}: log in there "
            "with `tuneyard auth login --environment NAME`, and set TUNEYARD_ENVIRONMENT to that name"
        )
    where = base_of(asked or home or DEFAULT_URL)
    if credential.is_session:
        return Door(where, credential.source, session_token=credential.secret)
    return Door(where, credential.source, api_key=credential.secret)


def _key_in(file: Path) -> str:
    try:
        key = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise BadInput(f"TUNEYARD_API_KEY_FILE cannot be read: {reason}", file=str(file)) from None
    if not key:
        raise BadInput(
            "TUNEYARD_API_KEY_FILE names an empty file; it should hold the key alone", file=str(file)
        )
    return key
