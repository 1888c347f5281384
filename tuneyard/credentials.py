"""Where the API is and which key opens it, from the environment."""

from __future__ import annotations

import os
from pathlib import Path

from tuneyard.errors import BadInput

DEFAULT_URL = "http://127.0.0.1:8400"


def api_url() -> str:
    return os.environ.get("TUNEYARD_API_URL") or DEFAULT_URL


def api_key() -> str:
    """The key in TUNEYARD_API_KEY, else in the file that TUNEYARD_API_KEY_FILE names.

    Raises:
        BadInput: Neither is set, or the file cannot be read or is empty.
    """
    key = os.environ.get("TUNEYARD_API_KEY", "").strip()
    if key:
        return key
    named = os.environ.get("TUNEYARD_API_KEY_FILE")
    if named:
        return _key_in(Path(named).expanduser())
    raise BadInput(
        "No API key: set TUNEYARD_API_KEY, or TUNEYARD_API_KEY_FILE to a file that holds one. An admin makes "
        "a key with `tuneyard keys create NAME --scope training`; the very first one comes from "
        "`python -m api first-admin NAME` on the API's host."
    )


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
