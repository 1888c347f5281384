"""The format of an API key, of a session token and of a job token.

    wak_ + 12-character public id + _ + 32-character secret + 6-character CRC32      (55 characters, base62)

The public id is what logs, audit rows and support say. The checksum tells a mistyped key without a look-up.
"""

from __future__ import annotations

import re
import secrets
import string
import zlib
from dataclasses import dataclass, field

from tuneyard.errors import BadInput

PREFIX = "wak_"
SESSION_PREFIX = "wst_"
_ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
_KEY = re.compile(r"wak_([0-9A-Za-z]{12})_[0-9A-Za-z]{32}([0-9A-Za-z]{6})")
_JOB_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")
_SHOWN = re.compile(r"wak_([0-9A-Za-z]{12})_[0-9A-Za-z_]+|(wak_|wst_)[0-9A-Za-z_-]+")


@dataclass(frozen=True)
class Key:
    """A key just made. `text` is the secret whole; its repr shows the public id alone."""

    public_id: str
    text: str = field(repr=False)


def mint() -> Key:
    """A new key: 190 random bits of secret, from the operating system."""
    public_id, secret = _random(12), _random(32)
    body = f"{PREFIX}{public_id}_{secret}"
    return Key(public_id, body + _checksum(body))


def parse(text: str) -> str:
    """The public id of a well-formed key.

    Raises:
        BadInput: It is not a key, or its checksum is wrong; the message does not repeat it.
    """
    found = _KEY.fullmatch(text)
    if found is None:
        raise BadInput(f"not an API key: one is {PREFIX} and 51 more letters, digits and an underscore")
    if _checksum(text[:-6]) != found[2]:
        raise BadInput("an API key with a wrong checksum: copy it again, whole")
    return found[1]


def redact(text: str) -> str:
    """The text with every key in it, also a cut one, shortened to its public id; session tokens to nothing."""
    return _SHOWN.sub(lambda found: f"{PREFIX}{found[1]}_***" if found[1] else f"{found[2]}***", text)


def mint_job_token() -> str:
    """A new job token: 32 random bytes as 43 url-safe characters."""
    return secrets.token_urlsafe(32)


def mint_session_token() -> str:
    """A new session token: `wst_` and 32 random bytes as 43 url-safe characters."""
    return SESSION_PREFIX + secrets.token_urlsafe(32)


def keys_in(text: str) -> list[str]:
    """Every key with a right checksum that the text holds, each once, in order."""
    found = (match[0] for match in _KEY.finditer(text))
    return list(dict.fromkeys(key for key in found if _checksum(key[:-6]) == key[-6:]))


def public_id_of(digest: bytes) -> str:
    """A public id for a key that has none of its own, from a digest of it: 12 characters."""
    return _base62(int.from_bytes(digest[:16]), 12)


def is_job_token(text: str) -> bool:
    """Whether the text has a job token's form."""
    return _JOB_TOKEN.fullmatch(text) is not None


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(body: str) -> str:
    return _base62(zlib.crc32(body.encode()), 6)


def _base62(number: int, length: int) -> str:
    """The last `length` digits of the number."""
    digits = ""
    while len(digits) < length:
        number, digit = divmod(number, 62)
        digits = _ALPHABET[digit] + digits
    return digits
