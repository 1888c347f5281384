# Generated from async_gpus.py by `python -m tests.unasync --write`; do not edit.
"""Hosts, their cards, and what was read of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from tuneyard.addresses import object_path
from tuneyard.shapes import GpuHost, GpuReading, HostSample, HostSampleBatch, Page, Stored
from tuneyard.wire import Wire

Hosts = list[GpuHost]


class Gpus:
    """Hosts and their cards."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def push(self, samples: Sequence[HostSample], *, patience: float | None = None) -> Stored:
        """Write 1 to 1000 readings; one that is there already changes nothing.

        Args:
            patience: Seconds of retrying, in place of the client's.

        Example:
            card = GpuSample(uuid=uuid, index=0, power_w=312.5)
            client.gpus.push([HostSample(host="gpu-1", taken_at=datetime.now(UTC), gpus=[card])])
        """
        body = HostSampleBatch(samples=[*samples])
        return self._wire.ask(Stored, "POST", "/api/v1/gpus/samples", body, patience=patience)

    def list(self) -> Hosts:
        """Each host and its cards as they were last read, with what is the matter with them.

        Example:
            for host in client.gpus.list():
                print(host.host, [(card.name, card.jobs, card.findings) for card in host.gpus])
        """
        return self._wire.ask(Hosts, "GET", "/api/v1/gpus")

    def history(
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
            page = client.gpus.history(uuid, since=hour_ago)
            print([reading.power_w for reading in page.items])
        """
        params = {
            "since": since.isoformat() if since else None,
            "until": until.isoformat() if until else None,
            "limit": limit,
            "offset": offset,
        }
        return self._wire.ask(Page[GpuReading], "GET", object_path("gpus", uuid, "samples"), params=params)

    def iter(
        self,
        uuid: str,
        since: datetime | None = None,
        until: datetime | None = None,
        page_size: int = 1000,
    ) -> Iterator[GpuReading]:
        """Every reading of a card, the oldest first, each once, also while new ones come in.

        Args:
            page_size: 2 to 5000.

        Example:
            print([reading.utilization_percent for reading in client.gpus.iter(uuid)])
        """
        last: datetime | None = None
        while True:
            page = self.history(uuid, last or since, until, page_size)
            for reading in page.items:
                if last is None or reading.taken_at > last:
                    last = reading.taken_at
                    yield reading
            if len(page.items) < page_size:
                return
