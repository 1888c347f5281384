"""A follower of a job: first what it has not got of what is there, then the feed, to the end of the job."""

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from dataclasses import replace

from fastapi.concurrency import iterate_in_threadpool

from api.database import Database
from api.job_feed import Feed
from api.job_marks import Mark, event, metrics_event, note, points_from
from api.problems import Problem

log = logging.getLogger("tuneyard.api")
KEY_CHECK = 2.0  # seconds
BEGINNING = b"retry: 1000\n\n"
SLOW = note("slow", "You are too far behind: come back with the last event's id")
REFUSED = note("refused", "Your key or session is no longer valid")


class Feeds:
    """The feeds of one process, each as long as it is followed."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._feeds: dict[tuple[int, str], Feed] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def tell(self, workspace_id: int, job_id: str) -> None:
        """Something of the job was stored here."""
        if (feed := self._feeds.get((workspace_id, job_id))) is not None:
            feed.tell()

    def stop(self) -> None:
        """No stream holds up a server that is told to end."""
        for feed in self._feeds.values():
            feed.stop()

    async def of(self, workspace_id: int, job_id: str) -> Feed:
        """The job's feed, which has looked at it.

        Raises:
            Problem: 503.
        """
        which = workspace_id, job_id
        feed = self._feeds.get(which)
        if feed is None or feed.over:
            feed = self._feeds[which] = Feed(self._database, workspace_id, job_id)
            task = asyncio.create_task(self._run(which, feed))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await feed.ready.wait()
        if not feed.state:
            raise Problem(503, "The job cannot be read now: try again")
        return feed

    async def _run(self, which: tuple[int, str], feed: Feed) -> None:
        try:
            await feed.run()
        except Exception:  # its followers are sent to come again
            log.exception("The feed of job %s has ended", which[1])
        finally:
            if self._feeds.get(which) is feed:
                del self._feeds[which]


class Follower:
    """One request's way through a feed.

    Args:
        mark: What it has got; None: nothing.
        with_points: Whether it is sent metrics, and not the state alone.
        may_stay: Whether its key still holds.
    """

    def __init__(
        self,
        database: Database,
        feed: Feed,
        mark: Mark | None,
        with_points: bool,
        may_stay: Callable[[], Awaitable[bool]],
    ) -> None:
        self._database = database
        self._feed = feed
        self._mark = mark or Mark()
        self._kinds = {"state", "note", "beat"} | ({"metrics"} if with_points else set())
        self._may_stay = may_stay
        self._row = feed.row
        self._until = feed.mark
        self._state = feed.state
        self._is_kept = feed.holds(self._mark)
        self._came_late = feed.over
        self._checked = time.monotonic()

    @property
    def has_it_all(self) -> bool:
        """Nothing will be said that it has not got."""
        has_points = "metrics" not in self._kinds or (
            (self._mark.place, self._mark.point) == (self._until.place, self._until.point)
        )
        return self._came_late and has_points and self._mark.state == self._until.state

    async def events(self) -> AsyncGenerator[bytes, None]:
        self._feed.followers += 1
        try:
            yield BEGINNING
            if self._is_kept:
                count = self._mark.count
            else:
                count = self._until.count
                async for data in self._what_is_there():
                    yield data
            async for data in self._what_is_said(count):
                yield data
        finally:
            self._feed.followers -= 1

    async def _what_is_there(self) -> AsyncIterator[bytes]:
        """An ended job's state comes last, as it would have come."""
        if not self._came_late and (state := self._new_state()):
            yield state
        if "metrics" in self._kinds:
            async for data in self._missed_points():
                yield data
        if self._came_late and (state := self._new_state()):
            yield state

    def _new_state(self) -> bytes:
        if self._mark.state == self._until.state:
            return b""
        self._mark = replace(self._mark, state=self._until.state, feed=0, count=0)
        return event("state", self._mark, self._state)

    async def _missed_points(self) -> AsyncIterator[bytes]:
        known, last = self._mark, self._until.place
        pages = points_from(self._database, self._row, known.attempt, known.step)
        async for page in iterate_in_threadpool(pages):
            some = [
                point
                for point in page
                if known.place <= point.place <= last
                and (point.place, point.sum) != (known.place, known.point)
            ]
            if some:
                self._mark = replace(self._mark.moved(some[-1]), feed=0, count=0)
                yield metrics_event(self._mark, some)
            if page and page[-1].place >= last:
                return

    async def _what_is_said(self, count: int) -> AsyncIterator[bytes]:
        feed = self._feed
        while True:
            if not await self._is_let_in():
                yield REFUSED
                return
            said = feed.after(count)
            if said is None:
                yield SLOW
                return
            count += len(said)
            if data := b"".join([each.data for each in said if each.kind in self._kinds]):
                yield data
            elif feed.over and not said:
                return
            elif not said:
                await feed.news()

    async def _is_let_in(self) -> bool:
        if time.monotonic() - self._checked < KEY_CHECK:
            return True
        self._checked = time.monotonic()
        return await self._may_stay()
