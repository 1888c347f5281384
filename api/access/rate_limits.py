"""How often a key or a session may ask, an address may show what is refused, and a log-in may fail.

Counted in fixed windows. While the Redis that was asked for is away, keys and sessions go on uncounted, and nobody
logs in: a password is all that a guess has to hit, a key is 190 random bits.
"""

import ipaddress
import logging
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from limits.errors import ConfigurationError, StorageError

from api.access.caller import Caller
from api.access.rate_counts import CountsInMemory
from api.problems import Problem
from api.settings import Settings
from tuneyard.errors import BadInput

if TYPE_CHECKING:
    from api.access.redis_counts import CountsInRedis

log = logging.getLogger("tuneyard.auth")
LOGIN_WINDOW = 15 * 60
LOGINS_FAILED = 10  # for one name from one address
LOGINS_FAILED_AT_ADDRESS = 100
AWAY_SECONDS = 2.0  # how long a Redis that did not answer is left alone
COMPLAIN_EVERY = 60.0


@dataclass(frozen=True)
class _Counted:
    number: int
    seconds_left: int  # rounded up, and at least 1: after them a new window has begun


class RateLimits:
    """One process's view of the counts.

    Raises:
        BadInput: API_RATE_LIMIT_STORAGE is no Redis URL.
    """

    def __init__(self, settings: Settings) -> None:
        self._window = math.ceil(settings.api_rate_limit_window_ms / 1000)
        self._quota = settings.api_rate_limit_per_key
        self._failures = settings.api_rate_limit_failures
        self._counts = _counts(settings)
        self._away_until = self._complained_at = -math.inf

    @property
    def in_memory(self) -> bool:
        return isinstance(self._counts, CountsInMemory)

    def let_in(self, caller: Caller, notices: dict[str, str]) -> None:
        """Count a request, and say in its answer's headers how many more there may be.

        Raises:
            Problem: 429 where there have been too many.
        """
        name, who = ("session", caller.session_id) if caller.kind == "person" else ("key", caller.id)
        counted = self._count(f"{name}/{who}", self._window)
        if counted is None:
            return
        quota = caller.rate_limit or self._quota
        left = max(quota - counted.number, 0)
        # draft-ietf-httpapi-ratelimit-headers-10
        notices["ratelimit-policy"] = f'"{name}";q={quota};w={self._window}'
        notices["ratelimit"] = f'"{name}";r={left};t={counted.seconds_left}'
        if counted.number > quota:
            raise _too_many(f"This {name} may ask {quota} times in {self._window} s", counted)

    def refused(self, address: str | None) -> None:
        """Count a key or a token that was refused, for where it came from.

        Raises:
            Problem: 429 where there have been too many.
        """
        counted = self._count(f"refused/{_network(address)}", self._window)
        if counted is not None and counted.number > self._failures:
            raise _too_many("Too many keys and tokens from this address were refused", counted)

    @contextmanager
    def login(self, name: str, address: str | None) -> Iterator[None]:
        """Around the look at a password. It counts as failed from before that look until the block ends without an
        exception, so that however many are tried at once, no more are looked at than may fail.

        Raises:
            Problem: 429 where too many have failed, for the name from this address or for the address; 503 where
                they cannot be counted.
        """
        network = _network(address)
        for_name, for_all = f"login/{network}/{name}", f"logins/{network}"
        for key, most in ((for_name, LOGINS_FAILED), (for_all, LOGINS_FAILED_AT_ADDRESS)):
            counted = self._count(key, LOGIN_WINDOW)
            if counted is None:
                raise Problem(503, "Log-ins cannot be counted at the moment: try again")
            if counted.number > most:
                raise _too_many("Too many log-ins have failed", counted)
        yield
        self._forgive(for_name, for_all)

    def _forgive(self, for_name: str, for_all: str) -> None:
        """The right password: this was no failure, and those for the name before it count no more."""
        try:
            self._counts.clear(for_name)
            self._counts.incr(for_all, LOGIN_WINDOW, -1)
        except StorageError as problem:
            self._note(problem)

    def _count(self, key: str, seconds: int) -> _Counted | None:
        """One more; None while Redis is away."""
        if time.monotonic() < self._away_until:
            return None
        try:
            number = self._counts.incr(key, seconds)
            left = self._counts.get_expiry(key) - time.time()
        except StorageError as problem:
            self._note(problem)
            return None
        return _Counted(number, max(math.ceil(left), 1))

    def _note(self, problem: StorageError) -> None:
        now = time.monotonic()
        self._away_until = now + AWAY_SECONDS
        if now - self._complained_at >= COMPLAIN_EVERY:
            self._complained_at = now
            log.error("The counts of the rate limits are away, and keys go on without: %s", problem)

    def close(self) -> None:
        if not isinstance(self._counts, CountsInMemory):
            self._counts.close()


def _counts(settings: Settings) -> "CountsInMemory | CountsInRedis":
    if settings.api_rate_limit_storage is None:
        return CountsInMemory()
    url = settings.api_rate_limit_storage.get_secret_value()
    try:
        if url.startswith(("redis://", "rediss://", "redis+unix://")):
            from api.access.redis_counts import CountsInRedis

            return CountsInRedis(url)
    except (ValueError, ConfigurationError):
        pass  # it may hold a password: what is wrong with it is not repeated
    raise BadInput("not a Redis URL: write redis://host:6379/0", field="API_RATE_LIMIT_STORAGE")


def _network(address: str | None) -> str:
    """The address, or an IPv6 one's /64: each guest of such a network has 2**64 addresses of its own."""
    try:
        found = ipaddress.ip_address(address or "")
    except ValueError:
        return address or "unknown"
    if isinstance(found, ipaddress.IPv4Address):
        return str(found)
    return str(found.ipv4_mapped or ipaddress.IPv6Network((int(found), 64), strict=False))


def _too_many(what: str, counted: _Counted) -> Problem:
    return Problem(429, f"{what}: come again in {counted.seconds_left} s", retry_after=counted.seconds_left)
