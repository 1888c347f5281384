"""A job as it goes on, told by the server as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import suppress

import httpx

from tuneyard.addresses import object_path
from tuneyard.async_wire import AsyncWire
from tuneyard.errors import ApiError
from tuneyard.event_stream import EventReader, Update
from tuneyard.shapes import Job


class AsyncFollowing:
    """The part of `jobs` that follows one."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def stream(
        self, job_id: str, *, metrics: bool = True, history: bool = True, after: str | None = None
    ) -> AsyncIterator[Update]:
        """The job's state and points as they come, until it has ended. A connection that breaks is made again, and
        nothing is lost or doubled by that.

        Args:
            metrics: False: the state alone.
            history: False: of the points, only those that come from now on.
            after: The id of the last update that came, from an earlier stream.

        Example:
            async for update in client.jobs.stream(job_id):
                print(update.job or [point.train_loss for point in update.points])
        """
        path = object_path("jobs", job_id, "$stream")
        params = {"metrics": None if metrics else "false", "history": None if history else "false"}
        last, patience = after, self._wire.patience()
        while True:
            headers = {"Accept": "text/event-stream"} | ({"Last-Event-ID": last} if last else {})
            answer = await self._wire.open(path, params, headers, patience)
            if answer.status_code == 204:
                await answer.aclose()
                return
            async for some in self._blocks(answer):
                for update in some:
                    last, patience = update.id, self._wire.patience()
                    yield update
                    if update.job is not None and update.job.status.is_final:
                        return
            pause = patience.next_pause(None)
            if pause is None:
                raise self._wire.unreachable("its stream of events broke off")
            await asyncio.sleep(pause)

    async def _blocks(self, answer: httpx.Response) -> AsyncIterator[Iterable[Update]]:
        """Until the connection ends, however it does."""
        reader = EventReader()
        try:
            if not answer.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise ApiError(answer.status_code, "No stream", "the server sends no events", None, {})
            with suppress(httpx.RequestError):
                async for block in answer.aiter_bytes():
                    yield reader.take(block)
        finally:
            await answer.aclose()

    async def get(self, job_id: str) -> Job:
        """The job as it is now.

        Example:
            job = await client.jobs.get(job_id)
            print(job.status, job.progress, job.loss)
        """
        return await self._wire.ask(Job, "GET", object_path("jobs", job_id))

    async def watch(self, job_id: str, every: float = 1.0) -> AsyncIterator[Job]:
        """The job now and after each change, until it is final.

        Args:
            every: Seconds between looks, where the server sends no events or the key may not read metrics.

        Example:
            async for job in client.jobs.watch(job_id):
                print(job.status, job.progress)
        """
        last: Job | None = None
        with suppress(ApiError):  # it comes again from `get`, if it is not just about the stream
            async for update in self.stream(job_id, metrics=False):
                if update.job is not None:
                    last = update.job
                    yield last
            return
        while last is None or not last.status.is_final:
            job = await self.get(job_id)
            if job != last:
                yield job
            last = job
            if not job.status.is_final:
                await asyncio.sleep(every)
