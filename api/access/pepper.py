"""The pepper: a secret from outside the database, under which keys and tokens are stored as digests."""

import hashlib
import hmac
import os
import secrets
from pathlib import Path

from api.settings import Settings
from tuneyard.errors import BadInput

SHORTEST = 16


class Pepper:
    """Makes and compares HMAC-SHA256 digests. One hash is enough: what it hides is 190 random bits, no password."""

    def __init__(self, secret: bytes) -> None:
        self._secret = secret

    def digest(self, text: str) -> str:
        """64 hexadecimal digits."""
        return hmac.new(self._secret, text.encode(), hashlib.sha256).hexdigest()

    def matches(self, text: str, digest: str) -> bool:
        """Whether the digest is the text's, in a time that tells nothing."""
        return hmac.compare_digest(self.digest(text), digest)


def load_pepper(settings: Settings) -> Pepper:
    """TUNEYARD_PEPPER, else what the file `pepper` in the home holds.

    It is never made here: a new one in place of one that was lost would refuse every key, and say nothing of why.

    Raises:
        BadInput: There is neither, or the file cannot be read or is too short to be a pepper.
    """
    if settings.tuneyard_pepper:
        return Pepper(settings.tuneyard_pepper.get_secret_value().encode())
    path = settings.home / "pepper"
    try:
        secret = path.read_bytes().strip()
    except FileNotFoundError:
        raise BadInput(
            f"neither it nor {path} is there: restore the one that the keys in the database were made under, or "
            "make a first one with `python -m api pepper`",
            field="TUNEYARD_PEPPER",
        ) from None
    except OSError as problem:
        raise BadInput(f"cannot read it ({problem.strerror}): put its rights right", file=str(path)) from None
    if len(secret) < SHORTEST:
        raise BadInput(f"it is no pepper, being shorter than {SHORTEST} bytes: restore it", file=str(path))
    return Pepper(secret)


def make_pepper(home: Path) -> Path:
    """The file `pepper` in the home, for its owner alone; one that is there stays as it is.

    Appears whole or not at all: of two processes that start at once, both read the one that came first.
    """
    path = home / "pepper"
    draft = path.with_name(f".pepper.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(secrets.token_hex(32).encode())
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(draft, path)
    except FileExistsError:
        pass  # somebody made it: theirs holds
    finally:
        draft.unlink()
    return path
