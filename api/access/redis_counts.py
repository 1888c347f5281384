"""The counts of the rate limits in Redis, for all processes that share it. Imported where it is asked for: 6 MB.

`limits` has such a kind of its own, which tells the end of a window in whole seconds, rounded either way.
"""

import time
from typing import Any

from limits.storage import RedisStorage
from redis import ConnectionPool, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

PATIENCE = 0.25  # seconds that a request waits for Redis, twice at most


class CountsInRedis(RedisStorage):
    """Counts that outlive this process and are everybody's; an answer that does not come soon is given up."""

    def __init__(self, url: str) -> None:
        self._pool = ConnectionPool.from_url(
            url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            retry=Retry(NoBackoff(), 1),  # a kept connection may have died since
        )
        self._client = Redis(connection_pool=self._pool)
        super().__init__(url, connection_pool=self._pool, key_prefix="tuneyard", wrap_exceptions=True)

    def get_expiry(self, key: str) -> float:
        left: Any = self._client.pttl(self.prefixed_key(key))
        return float(max(left, 0) / 1000 + time.time())

    def close(self) -> None:
        self._pool.disconnect()
