"""Which endpoints are nearest to a path that is none: spelt a little differently, or placed elsewhere. Pure."""

from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache
from typing import NamedTuple

MOST = 5
NEAR = 0.5  # of 1, which is the same path
PLACED = (
    0.5  # what a template's `{…}` counts for, whatever stands there: less than a name that is spelt right
)
ALIKE = 0.6
OTHER_METHOD = 0.1  # what a method that was not asked for takes from it
EVERYWHERE = {"api", "v1"}  # segments that say little
LONGEST = 64


class Endpoint(NamedTuple):
    method: str
    path: str

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


# What other systems call things that are called otherwise here: first segments -> in words, and where.
ELSEWHERE: dict[tuple[str, ...], tuple[str, Endpoint]] = {
    ("v1", "agents", "workflows"): (
        "an agent's workflow is a pipeline here: fine-tune, batch test, promote",
        Endpoint("POST", "/api/v1/ml/$pipeline"),
    ),
    ("v1", "swarm"): (
        "a swarm is a sweep here: many fine-tunes, each asked for by itself",
        Endpoint("POST", "/api/v1/ml/$train"),
    ),
}


def nearest(method: str, path: str, served: Sequence[Endpoint]) -> list[Endpoint]:
    """The best first, at most five and at least one; of a path that has the method, that alone."""
    asked = _segments(path)
    for first in ELSEWHERE:
        if asked[: len(first)] == first:
            return [ELSEWHERE[first][1]]
    likeness = {there: _likeness(asked, _segments(there)) for there in {one.path for one in served}}
    scores = {one: likeness[one.path] - OTHER_METHOD * (one.method != method) for one in served}
    having = {one.path for one in served if one.method == method}
    fitting = [one for one in served if one.method == method or one.path not in having]
    fitting.sort(key=lambda one: (-scores[one], len(one.path), one))
    near = [one for one in fitting if scores[one] >= NEAR]
    return near[:MOST] or [max(fitting, key=lambda one: _ratio(path[:LONGEST], one.path))]


def in_words(method: str, path: str, served: Sequence[Endpoint]) -> tuple[str, list[Endpoint]]:
    """What a refusal says, and the endpoints that it names."""
    found = nearest(method, path, served)
    asked = _segments(path)
    why = next((f": {words}" for first, (words, _) in ELSEWHERE.items() if asked[: len(first)] == first), "")
    near = f". The nearest: {', '.join(map(str, found))}" if found else ""
    return f"There is nothing at {path}{why}{near}. /docs lists what there is", found


def _segments(path: str) -> tuple[str, ...]:
    return tuple(part[:LONGEST] for part in path.strip("/").split("/")[:LONGEST])


def _likeness(asked: tuple[str, ...], there: tuple[str, ...]) -> float:
    """1 for the same segments in the same order; what is missing, or too much, takes from it."""
    before = [0.0] * (len(there) + 1)
    for mine in asked:
        row = [0.0]
        for place, theirs in enumerate(there):
            both = _weight(theirs) * _alike(mine, theirs)
            row.append(max(before[place] + both, before[place + 1], row[place]))
        before = row
    return 2 * before[-1] / (sum(map(_weight, asked)) + sum(map(_weight, there)))


def _weight(segment: str) -> float:
    return 0.2 if segment in EVERYWHERE else 1.0


@lru_cache(maxsize=4096)
def _alike(asked: str, there: str) -> float:
    if there.startswith("{"):
        return PLACED
    ratio = _ratio(asked, there)
    return ratio if ratio >= ALIKE else 0.0


def _ratio(asked: str, there: str) -> float:
    return SequenceMatcher(None, asked.lower(), there).ratio()
