"""Ids that a client gives: ULIDs, as the API's own are."""

from __future__ import annotations

import os
import time

_DIGITS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
_LENGTH = 26


def fresh_id() -> str:
    """26 characters: 48 bits of milliseconds, so that ids sort by time, and 80 random ones."""
    number = time.time_ns() // 1_000_000 << 80 | int.from_bytes(os.urandom(10))
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(_LENGTH)))
