"""Passwords: hashed with Argon2id, judged when they are chosen, made up for one log-in.

The parameters are argon2-cffi's defaults, the second choice that RFC 9106 recommends (its low-memory profile: 3 passes
over 64 MiB in 4 lanes). Each look takes about 0.1 s and 64 MiB: never in the event loop.
"""

import secrets
import unicodedata
from base64 import b64encode
from datetime import timedelta

from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError

from api.problems import Problem
from api.tables import User, now
from tuneyard.shapes import NewUser

ONE_TIME_LIFETIME = timedelta(days=7)
_hasher = PasswordHasher()


def hashed(password: str) -> str:
    """What is stored in the password's place; it says its own parameters."""
    return _hasher.hash(_normal(password))


def is_right(password: str, kept: str | None) -> bool:
    """Whether it is the password whose hash was kept. None, nobody's, is refused in the time that any other takes."""
    try:
        return _hasher.verify(kept or _NOBODYS, _normal(password))
    except VerifyMismatchError:
        return False


def is_outdated(kept: str) -> bool:
    """Whether the hash was made with other parameters than today's."""
    return _hasher.check_needs_rehash(kept)


def one_time_password() -> str:
    """24 random url-safe characters."""
    return secrets.token_urlsafe(18)


def fresh_person(workspace_id: int, new: NewUser, kept: str, *, made_by: str | None = None) -> User:
    """The row of a person who has a one-time password, by its hash."""
    row = User(
        workspace_id=workspace_id, name=new.name, role=new.role.value, password_hash=kept, created_by=made_by
    )
    put_one_time(row, kept)
    return row


def put_one_time(row: User, kept: str) -> None:
    """Put a one-time password's hash in the place of whatever password the person had."""
    row.password_hash = kept
    row.must_change_password = True
    row.password_expires_at = now() + ONE_TIME_LIFETIME


def put_chosen(row: User, kept: str) -> None:
    """Put the hash of a password that the person chose in the place of the one they had."""
    row.password_hash = kept
    row.must_change_password = False
    row.password_expires_at = None


def demand_choosable(new: str, name: str, current: str) -> None:
    """422 for a password that the person called `name` may not choose; how long it must be, its shape says."""
    if _normal(new).casefold() == name.casefold():
        raise Problem(422, "a password that is your name is the first to be tried", field="new")
    if _normal(new) == _normal(current):
        raise Problem(422, "that is the password you have: choose another", field="new")


def _normal(password: str) -> str:
    """One spelling for what looks the same: keyboards differ in how they write é."""
    return unicodedata.normalize("NFKC", password)


def _unmatched_hash() -> str:
    """A hash with today's parameters that is of no password, made without the time that hashing takes."""
    salt, digest = (
        b64encode(secrets.token_bytes(length)).decode().rstrip("=")
        for length in (_hasher.salt_len, _hasher.hash_len)
    )
    parameters = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    return f"$argon2id$v=19${parameters}${salt}${digest}"


_NOBODYS = _unmatched_hash()
