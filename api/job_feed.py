"""One job, told to all who follow it in this process: looked at once, encoded once, for however many there are.

A feed looks at the job's row each EVERY seconds, for what other processes write, and at once where this process has
stored a report. What it says is kept for a while: who falls further behind than that is sent away with a note,
and who comes back is sent what was said meanwhile.
"""

import asyncio
import logging
import secrets
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any
from zlib import crc32

from fastapi.concurrency import run_in_threadpool
from sqlalchemy.exc import SQLAlchemyError

from api.access.owned import find_job_row
from api.database import Database
from api.job_marks import AT_ONCE, BACK, Mark, Point, event, metrics_event, newest_points, note, points_from
from api.job_rows import explained, find_job
from api.problems import Problem
from api.waiting import WAITING
from tuneyard.shapes import JobStatus

log = logging.getLogger("tuneyard.api")
EVERY = 0.2  # seconds between looks, where nothing tells
GAP = 0.02  # seconds between looks, however much is told
STATES = 1.0  # seconds between states that differ in numbers alone
BEAT = 5.0  # seconds of silence
LINGER = 30.0  # seconds without a follower
MOST_EVENTS, MOST_BYTES = 512, 4 * 2**20


@dataclass(frozen=True)
class Event:
    """`kind`: state, metrics, beat, note."""

    kind: str
    data: bytes


class Feed:
    """What is said of one job.

    Attributes:
        mark: How far it has come: what is said from now on comes after it.
        state: The job as JSON, as it was said last; empty until it was looked at first.
        over: Nothing more is said: the job has ended, or is gone.
        followers: Who counts themselves.
    """

    def __init__(self, database: Database, workspace_id: int, job_id: str) -> None:
        self.mark = Mark(feed=secrets.randbits(32))
        self.state = b""
        self.over = False
        self.followers = 0
        self.ready = asyncio.Event()
        self._database = database
        self._of = workspace_id, job_id
        self._told, self._news = asyncio.Event(), asyncio.Event()
        self._events: deque[Event] = deque()
        self._bytes = 0
        self.row: Any = None
        self._said: Any = None
        self._recent: dict[tuple[int, int], int] = {}
        self._stated = self._spoken = self._seen = time.monotonic()

    def tell(self) -> None:
        """Something was stored."""
        self._told.set()

    def stop(self) -> None:
        """Its followers go, and come back to another process."""
        self.over = True
        self._told.set()
        self._news.set()

    def holds(self, mark: Mark) -> bool:
        """Whether all that was said after the mark is still kept."""
        return mark.feed == self.mark.feed and 0 <= self.mark.count - mark.count <= len(self._events)

    def after(self, count: int) -> list[Event] | None:
        """What was said after so many events; None: some of it is kept no more."""
        behind = self.mark.count - count
        if behind > len(self._events):
            return None
        return list(islice(self._events, len(self._events) - behind, None))

    async def news(self) -> None:
        """Wait until something more is said."""
        await self._news.wait()

    async def run(self) -> None:
        """Until the job has ended, or nobody has followed it for a while."""
        try:
            await run_in_threadpool(self._begin)
            self.ready.set()
            while not self.over and self._is_followed():
                await self._look()
                await asyncio.sleep(GAP)
                with suppress(TimeoutError):
                    async with asyncio.timeout(EVERY):
                        await self._told.wait()
                self._told.clear()
        finally:
            self.over = True
            self.ready.set()
            self._news.set()

    def _is_followed(self) -> bool:
        if self.followers:
            self._seen = time.monotonic()
        return time.monotonic() - self._seen < LINGER

    def _begin(self) -> None:
        """Whatever is there by now, followers read by themselves."""
        row = find_job_row(self._database, *self._of)
        for point in newest_points(self._database, row):
            self._remember(point)
        self.row = row
        self._restate(row)
        self.over = JobStatus(row.status).is_final

    async def _look(self) -> None:
        try:
            row, some = await run_in_threadpool(self._changes)
            restated = await self._is_restated(row)
        except Problem:
            self._say("note", lambda _: note("gone", "The job is no longer there"))
            self.over = True
            return
        except SQLAlchemyError as problem:
            log.warning("A followed job could not be looked at: %s", getattr(problem, "orig", problem))
            return
        for start in range(0, len(some), AT_ONCE):
            self._say_points(some[start : start + AT_ONCE])
        self.row = row
        if restated:
            self._say("state", lambda mark: event("state", mark, self.state))
        self.over = self.over or JobStatus(row.status).is_final
        if time.monotonic() - self._spoken > BEAT:
            self._say("beat", lambda _: b":\n\n")

    def _changes(self) -> tuple[Any, list[Point]]:
        """The row, and the points that are new or other than they were."""
        row = find_job_row(self._database, *self._of)
        if row.metrics_version == self.row.metrics_version:
            return row, []
        attempt = self.mark.attempt
        first = min((step for number, step in self._recent if number == attempt), default=0)
        found = points_from(self._database, row, attempt, first)
        return row, [each for some in found for each in some if self._recent.get(each.place) != each.sum]

    def _say_points(self, some: list[Point]) -> None:
        for point in some:
            self._remember(point)
        self._say("metrics", lambda mark: metrics_event(mark, some))

    def _remember(self, point: Point) -> None:
        self._recent[point.place] = point.sum
        self.mark = self.mark.moved(point)
        if len(self._recent) > BACK:
            del self._recent[min(self._recent)]

    async def _is_restated(self, row: Any) -> bool:
        """A new status is said at once; other changes, as many as came meanwhile, not too often."""
        if row.status == self.row.status and time.monotonic() - self._stated < STATES:
            return False
        before = self.mark.state
        await run_in_threadpool(self._restate, row)
        return self.mark.state != before

    def _restate(self, row: Any) -> None:
        if self._said != row or row.status in WAITING:
            self.state = explained(self._database, find_job(self._database, *self._of), self._of[0])
            self.mark = replace(self.mark, state=crc32(self.state))
        self._said, self._stated = row, time.monotonic()

    def _say(self, kind: str, build: Callable[[Mark], bytes]) -> None:
        self.mark = replace(self.mark, count=self.mark.count + 1)
        data = build(self.mark)
        self._events.append(Event(kind, data))
        self._bytes += len(data)
        while len(self._events) > 1 and (len(self._events) > MOST_EVENTS or self._bytes > MOST_BYTES):
            self._bytes -= len(self._events.popleft().data)
        self._spoken = time.monotonic()
        news, self._news = self._news, asyncio.Event()
        news.set()
