# Generated from async_metrics.py by `python -m tests.unasync --write`; do not edit.
"""The client's part about metrics."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Sequence

from tuneyard.addresses import object_path
from tuneyard.metric_table import MetricTable
from tuneyard.shapes import MetricBatch, MetricBuckets, MetricColumns, MetricPoint, MetricRow, Page, Reported
from tuneyard.wire import Wire


class Metrics:
    """The numbers a trainer reports, one row a step and attempt."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def push(self, job_id: str, points: Sequence[MetricPoint], *, patience: float | None = None) -> Reported:
        """Write 1 to 5000 points with the job token; a step written before is replaced.

        Args:
            patience: Seconds of retrying, in place of the client's.

        Example:
            run.metrics.push(job_id, [MetricPoint(step=10, train_loss=0.52, extra={"margin": 0.1})])
        """
        path = object_path("jobs", job_id, "metrics")
        body = MetricBatch(metrics=[*points])
        return self._wire.ask(Reported, "PUT", path, body, as_job=True, patience=patience)

    def list(self, job_id: str, limit: int = 1000, offset: int = 0) -> Page[MetricRow]:
        """One page by step, then attempt, ascending; `limit` is at most 5000.

        Example:
            page = client.metrics.list(job_id, limit=100)
            print([(row.step, row.train_loss) for row in page.items])
        """
        path = object_path("jobs", job_id, "metrics")
        return self._wire.ask(Page[MetricRow], "GET", path, params={"limit": limit, "offset": offset})

    def read(
        self,
        job_id: str,
        columns: Sequence[str] | None = None,
        attempt: int | None = None,
        buckets: int | None = None,
    ) -> MetricTable:
        """The whole history as columns, of each step the newest attempt's point.

        Args:
            columns: Names, those in `extra` among them; None: all.
            attempt: That attempt's points alone.
            buckets: At most so many rows, each the least, the greatest and the mean of its steps.

        Example:
            table = client.metrics.read(job_id, ["train_loss"])
            print(len(table), table["train_loss"])
            frame = client.metrics.read(job_id, buckets=100).to_pandas()
        """
        path = object_path("jobs", job_id, "metrics")
        params: dict[str, str | int | None] = {
            "columns": ",".join(columns) if columns else None,
            "attempt": attempt,
        }
        if buckets is not None:
            found = self._wire.ask(MetricBuckets, "GET", path, params=params | {"buckets": buckets})
            return MetricTable.of_buckets(found)
        pages: builtins.list[MetricColumns] = []
        cursor = None
        while not pages or cursor is not None:
            more: dict[str, str | int | None] = {"format": "columns", "limit": 10_000, "cursor": cursor}
            pages.append(self._wire.ask(MetricColumns, "GET", path, params=params | more))
            cursor = pages[-1].next_cursor
        return MetricTable.of_pages(pages)

    def iter(self, job_id: str, page_size: int = 1000) -> Iterator[MetricRow]:
        """Every row by step, then attempt, each once, also while the job goes on reporting.

        Example:
            print([row.train_loss for row in client.metrics.iter(job_id)])
        """
        last = (-1, -1)
        offset = 0
        while True:
            page = self.list(job_id, page_size, offset)
            for row in page.items:
                # A late row of an earlier step moves the ones after it: those come twice, and are skipped.
                if (row.step, row.attempt) > last:
                    last = (row.step, row.attempt)
                    yield row
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return
