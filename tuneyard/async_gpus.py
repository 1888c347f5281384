"""Hosts, their cards, and what was read of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from datetime import datetime

from tuneyard.addresses import object_path
from tuneyard.async_wire import AsyncWire
from tuneyard.shapes import GpuHost, GpuReading, HostSample, HostSampleBatch, Page, Stored

Hosts = list[GpuHost]


class AsyncGpus:
    """Hosts and their cards."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def push(self, samples: Sequence[HostSample], *, patience: float | None = None) -> Stored:
        """Write 1 to 1000 readings; one that is there already changes nothing.

        Args:
            patience: Seconds of retrying, in place of the client's.

        Example:
            card = GpuSample(uuid=uuid, index=0, power_w=312.5)
            await client.gpus.push([HostSample(host="gpu-1", taken_at=datetime.now(UTC), gpus=[card])])
        """
        body = HostSampleBatch(samples=[*samples])
        return await self._wire.ask(Stored, "POST", "/api/v1/gpus/samples", body, patience=patience)

    async def list(self) -> Hosts:
        """Each host and its cards as they were last read, with what is the matter with them.

        Example:
            for host in await client.gpus.list():
                print(host.host, [(card.name, card.jobs, card.findings) for card in host.gpus])
        """
        return await self._wire.ask(Hosts, "GET", "/api/v1/gpus")

    async def history(
        self,
        uuid: str,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 1000,
        offset: int = 0,
    ) -> Page[GpuReading]:
        """One page of a card's readings, the oldest first; `limit` is at most 5000.

        Args:
            since: From this moment on.
            until: Before this moment.

        Example:
            hour_ago = datetime.now(UTC) - timedelta(hours=1)
            page = await client.gpus.history(uuid, since=hour_ago)
            print([reading.power_w for reading in page.items])
        """
        params = {
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
            "limit": limit,
            "offset": offset,
        }
        return await self._wire.ask(
            Page[GpuReading], "GET", object_path("gpus", uuid, "samples"), params=params
        )

    async def iter(
        self,
        uuid: str,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 1000,
    ) -> AsyncIterator[GpuReading]:
        """Every reading of a card, the oldest first, each once, also while new ones come in.

        Args:
            page_size: 2 to 5000.

        Example:
            print([reading.utilization_percent async for reading in client.gpus.iter(uuid)])
        """
        last: datetime | None = None
        while True:
            page = await self.history(uuid, last or since, until, page_size)
            for reading in page.items:
                if last is None or reading.taken_at > last:
                    last = reading.taken_at
                    yield reading
            if len(page.items) < page_size:
                return
