"""Server-sent events of a job: the bytes -> what they say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pydantic import TypeAdapter

from tuneyard.shapes import Job, MetricRow

_POINTS = TypeAdapter(list[MetricRow])


@dataclass(frozen=True)
class Update:
    """What one event says: the job as it is now, or points that came, by attempt and step.

    Attributes:
        id: Given to `stream` as `after`, it goes on behind this one.
    """

    id: str
    job: Job | None = None
    points: list[MetricRow] = field(default_factory=list)


class EventReader:
    """Takes the bytes as they come; an event is told once it is whole."""

    def __init__(self) -> None:
        self._left = b""

    def take(self, block: bytes) -> Iterator[Update]:
        *whole, self._left = (self._left + block).split(b"\n\n")
        for text in whole:
            lines = (line.partition(b": ") for line in text.split(b"\n"))
            held = {name: value for name, _, value in lines}
            named = held.get(b"id", b"").decode()
            if held.get(b"event") == b"state":
                yield Update(named, job=Job.model_validate_json(held[b"data"]))
            elif held.get(b"event") == b"metrics":
                yield Update(named, points=_POINTS.validate_json(held[b"data"]))
