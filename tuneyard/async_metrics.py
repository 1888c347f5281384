"""The client's part about metrics."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tuneyard.addresses import object_path
from tuneyard.async_wire import AsyncWire
from tuneyard.shapes import MetricBatch, MetricPoint, MetricRow, Page, Reported


class AsyncMetrics:
    """The numbers a trainer reports, one row a step and attempt."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def push(
        self, job_id: str, points: Sequence[MetricPoint], *, patience: float | None = None
    ) -> Reported:
        """Write 1 to 5000 points with the job token; a step written before is replaced.

        Args:
            patience: Seconds of retrying, in place of the client's.
        """
        path = object_path("jobs", job_id, "metrics")
        body = MetricBatch(metrics=[*points])
        return await self._wire.ask(Reported, "PUT", path, body, as_job=True, patience=patience)

    async def list(self, job_id: str, limit: int = 1000, offset: int = 0) -> Page[MetricRow]:
        """One page by step, then attempt, ascending; `limit` is at most 5000."""
        path = object_path("jobs", job_id, "metrics")
        return await self._wire.ask(Page[MetricRow], "GET", path, params={"limit": limit, "offset": offset})

    async def iter(self, job_id: str, page_size: int = 1000) -> AsyncIterator[MetricRow]:
        """Every row by step, then attempt, each once, also while the job goes on reporting."""
        last = (-1, -1)
        offset = 0
        while True:
            page = await self.list(job_id, page_size, offset)
            for row in page.items:
                # A late row of an earlier step moves the ones after it: those come twice, and are skipped.
                if (row.step, row.attempt) > last:
                    last = (row.step, row.attempt)
                    yield row
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return
