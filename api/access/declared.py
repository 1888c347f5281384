"""Keys that the host declares, in the environment or in files, rather than in the database.

    CLIENT_API_KEYS='["one-key-of-16-or-more", "…"]'     a JSON list, or a comma list
    CLIENT_API_KEYS_FILE=/run/secrets/keys               one a line; # begins a comment

The variable says the role. They belong to the first workspace. A file is read again when it changes, so a key can be
added or taken away without a restart. Their uses are logged, not counted.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from api.access.pepper import Pepper
from api.settings import Settings
from tuneyard.errors import BadInput
from tuneyard.keys import public_id_of

SHORTEST = 16
ROLE_OF = {
    "client_api_keys": "client",
    "miner_api_keys": "miner",
    "admin_api_keys": "admin",
    "tuneyard_api_keys": "client",
    "chapkit_api_keys": "service",  # seed 002's name
}
_Stamp = tuple[int, int, int]


@dataclass(frozen=True)
class DeclaredKey:
    """`id` is made from the key's digest: it tells keys apart in logs, and tells nothing about them."""

    id: str
    role: str


@dataclass
class _File:
    variable: str
    path: Path
    stamp: _Stamp | None = None
    digests: dict[str, str] = field(default_factory=dict)


class DeclaredKeys:
    """Looks keys up by digest, so that neither their text nor how far a guess agrees can be told.

    Raises:
        BadInput: A key is too short, or a file cannot be read; names the variable and the place in it.
    """

    def __init__(self, settings: Settings, pepper: Pepper) -> None:
        self._pepper = pepper
        self._fixed: dict[str, str] = {}
        self._files: list[_File] = []
        for variable in ROLE_OF:
            given, path = getattr(settings, variable), getattr(settings, f"{variable}_file")
            if given is not None:
                self._fixed |= self._digests(variable.upper(), _listed(given.get_secret_value(), variable))
            if path is not None:
                self._files.append(_File(variable, path))
        for file in self._files:
            self._read(file)

    def find(self, text: str) -> DeclaredKey | None:
        """The declared key that this is, or None."""
        if not self._fixed and not self._files:
            return None
        digest = self._pepper.digest(text)
        for file in self._files:
            self._refresh(file)
        role = next(
            (d[digest] for d in (self._fixed, *(f.digests for f in self._files)) if digest in d), None
        )
        return DeclaredKey(public_id_of(bytes.fromhex(digest)), role) if role else None

    def _digests(self, place: str, keys: Iterable[str]) -> dict[str, str]:
        role = ROLE_OF[place.lower().removesuffix("_file")]
        found = {}
        for number, key in enumerate(keys, 1):
            if len(key) < SHORTEST:
                raise BadInput(
                    f"key {number} is shorter than {SHORTEST} characters: make a longer one", field=place
                )
            found[self._pepper.digest(key)] = role
        return found

    def _refresh(self, file: _File) -> None:
        """A file that has gone, or holds a key that is too short, declares nothing until it is put right."""
        try:
            if _stamp(file.path) != file.stamp:
                self._read(file)
        except (OSError, BadInput):
            file.stamp, file.digests = None, {}

    def _read(self, file: _File) -> None:
        place = f"{file.variable.upper()}_FILE"
        try:
            stamp = _stamp(file.path)
            lines = file.path.read_text().splitlines()
        except (OSError, UnicodeDecodeError) as problem:
            reason = problem.strerror if isinstance(problem, OSError) else "it is not text"
            raise BadInput(f"cannot read {file.path} ({reason})", field=place) from None
        keys = (line.partition("#")[0].strip() for line in lines)
        file.digests = self._digests(place, [key for key in keys if key])
        file.stamp = stamp


def _stamp(path: Path) -> _Stamp:
    found = path.stat()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _listed(text: str, variable: str) -> list[str]:
    """The keys in a JSON list or a comma list; spaces are trimmed and empty ones dropped."""
    if text.lstrip().startswith("["):
        try:
            found = json.loads(text)
        except ValueError:
            raise BadInput('not a JSON list: write ["key", "key"]', field=variable.upper()) from None
        if not all(isinstance(key, str) for key in found):
            raise BadInput("a JSON list of texts is needed", field=variable.upper())
    else:
        found = text.split(",")
    return [key.strip() for key in found if key.strip()]
