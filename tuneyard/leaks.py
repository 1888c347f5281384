"""Keys that lie where they should not, in a log or a commit: found, and revoked by their public ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum

from tuneyard.client import Client
from tuneyard.errors import Forbidden, NotFound
from tuneyard.keys import keys_in, parse


class Outcome(StrEnum):
    REVOKED = "revoked"
    ALREADY = "already revoked"
    UNKNOWN = "not ours"
    NOT_ALLOWED = "still live: you may not revoke it"


def ids_in(lines: Iterable[bytes]) -> list[str]:
    """The public id of each well-formed key, once each, whatever else the lines hold."""
    found = (key for line in lines for key in keys_in(line.decode("ascii", errors="replace")))
    return list(dict.fromkeys(parse(key) for key in found))


def revoke_each(client: Client, ids: Iterable[str]) -> Iterator[tuple[str, Outcome]]:
    """Revoke them; the key that the client itself uses comes last, for nothing works after it."""
    own = client.auth.me().key_id
    for key_id in sorted(ids, key=lambda one: one == own):
        yield key_id, _revoke(client, key_id)


def _revoke(client: Client, key_id: str) -> Outcome:
    try:
        if not client.keys.get(key_id).is_active:
            return Outcome.ALREADY
        client.keys.revoke(key_id)
    except NotFound:
        return Outcome.UNKNOWN
    except Forbidden:
        return Outcome.NOT_ALLOWED
    return Outcome.REVOKED
