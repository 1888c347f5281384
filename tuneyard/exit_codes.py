"""What the exit code of `tuneyard` says, to scripts that cannot read."""

from __future__ import annotations

from tuneyard.errors import (
    BadInput,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    TuneyardError,
    Unauthorized,
    Unavailable,
    Unreachable,
)

UNEXPECTED = 1
WRONG = 2
NOT_WELL = 3
REFUSED = 4
NOT_FOUND = 5
AWAY = 6
INTERRUPTED = 7
UNDECIDED = 8
NO_EFFECT = 9

# All below 126: from there on shells say their own things, as 130 for a program that SIGINT has killed. Ours is not
# killed by Ctrl-C: it puts its streams away, says what goes on without it, and ends with a code of its own.
MEANINGS = f"""\
  0  ok
  {UNEXPECTED}  something unexpected, a text that is no API key, or `doctor` found a fault
  {WRONG}  wrong usage or bad input, or the object's state does not allow it
  {NOT_WELL}  the job or test did not end well, or the candidate is worse
  {REFUSED}  the key or password was refused, or lacks the permission
  {NOT_FOUND}  not found
  {AWAY}  the API cannot be reached, or is too busy or broken to answer
  {INTERRUPTED}  interrupted
  {UNDECIDED}  a comparison has too little to go by
  {NO_EFFECT}  a fine-tune had no effect"""

_CODES: dict[type[TuneyardError], int] = {
    BadInput: WRONG,
    Invalid: WRONG,
    Conflict: WRONG,
    Unauthorized: REFUSED,
    Forbidden: REFUSED,
    NotFound: NOT_FOUND,
    Unreachable: AWAY,
    Unavailable: AWAY,
    RateLimited: AWAY,
}


def code_of(error: TuneyardError) -> int:
    return next((code for kind, code in _CODES.items() if isinstance(error, kind)), UNEXPECTED)
