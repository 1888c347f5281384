"""What a follower of a job is sent, and how far it has come: events as bytes, and the marks that are their ids.

A mark names the newest point that was sent and a sum of it, so that a point which was filled in since is sent again
and no other; and the place in the feed that sent it, where that feed is still there.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any
from zlib import crc32

import orjson
from sqlmodel import col, select

from api.database import Database
from api.metric_formats import items_of
from api.metric_reads import Wanted, points
from api.tables import Metric

AT_ONCE = 250  # points in an event
BACK = 100  # points behind the newest that are looked at for changes
MARK = r"^[0-9]{1,10}\.-?[0-9]{1,16}(\.[0-9a-f]{8}){3}\.[0-9]{1,16}$"
_PARTS = re.compile(r"[^.]+")


@dataclass(frozen=True)
class Mark:
    """Attempt and step of the newest point; sums of it and of the job's state; a feed and how much it had sent."""

    attempt: int = 0
    step: int = -1
    point: int = 0
    state: int = 0
    feed: int = 0
    count: int = 0

    @classmethod
    def read(cls, text: str) -> "Mark":
        attempt, step, point, state, feed, count = _PARTS.findall(text)
        return cls(int(attempt), int(step), int(point, 16), int(state, 16), int(feed, 16), int(count))

    def __str__(self) -> str:
        return f"{self.attempt}.{self.step}.{self.point:08x}.{self.state:08x}.{self.feed:08x}.{self.count}"

    @property
    def place(self) -> tuple[int, int]:
        return self.attempt, self.step

    def without_state(self) -> "Mark":
        """For one who has the points, and must be told the rest."""
        return replace(self, state=0, feed=0, count=0)

    def moved(self, point: "Point") -> "Mark":
        """After that point; one from behind it does not move it back."""
        if point.place < self.place:
            return self
        return replace(self, attempt=point.place[0], step=point.place[1], point=point.sum)


@dataclass(frozen=True)
class Point:
    """One point as JSON."""

    place: tuple[int, int]
    text: bytes
    sum: int


def event(kind: str, mark: Mark | None, data: bytes) -> bytes:
    named = b"" if mark is None else b"id: %b\n" % str(mark).encode()
    return b"event: %b\n%bdata: %b\n\n" % (kind.encode(), named, data)


def metrics_event(mark: Mark, some: list[Point]) -> bytes:
    return event("metrics", mark, b"[%b]" % b",".join([point.text for point in some]))


def note(what: str, detail: str) -> bytes:
    """Has no id: who comes back goes on behind the last event that says something of the job."""
    return event("note", None, orjson.dumps({"note": what, "detail": detail}))


def points_from(database: Database, job: Any, attempt: int, step: int) -> Iterator[list[Point]]:
    """The points of an attempt from a step on, then of those after it, at most so many at once."""
    for number in range(attempt, job.attempt + 1):
        after = step - 1 if number == attempt and step > 0 else None
        wanted = Wanted(attempt=number, after=after, limit=AT_ONCE)
        while True:
            with database.reading() as session:
                found = points(session, job, wanted)
            yield [_point(item) for item in items_of(found)]
            if found.next_step is None:
                break
            wanted = replace(wanted, after=found.next_step)


def newest_points(database: Database, job: Any) -> list[Point]:
    """The last points of the newest attempt that has any."""
    for number in range(job.attempt, -1, -1):
        mine = (col(Metric.job_pk) == job.pk, col(Metric.attempt) == number)
        with database.reading() as session:
            steps = session.exec(
                select(Metric.step).where(*mine).order_by(col(Metric.step).desc()).limit(BACK)
            ).all()
        if steps:
            return [point for some in points_from(database, job, number, steps[-1]) for point in some]
    return []


def _point(item: dict[str, Any]) -> Point:
    held = {name: value for name, value in item.items() if value is not None}
    text = orjson.dumps(held, option=orjson.OPT_UTC_Z)
    return Point((item["attempt"], item["step"]), text, crc32(text))
