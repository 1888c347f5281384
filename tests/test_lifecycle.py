"""The job state machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lifecycle import ENDINGS, Event, IllegalMove, after
from tuneyard.shapes import JobStatus

EVENTS = st.lists(st.sampled_from(Event), max_size=12)


def run(events: list[Event]) -> list[JobStatus]:
    """The statuses a new job goes through; illegal events change nothing."""
    seen = [JobStatus.PENDING]
    for event in events:
        try:
            seen.append(after(seen[-1], event))
        except IllegalMove:
            seen.append(seen[-1])
    return seen


@given(EVENTS)
def test_a_final_status_never_changes(events: list[Event]) -> None:
    seen = run(events)
    finals = [status for status in seen if status.is_final]
    assert len(set(finals)) <= 1
    if finals:
        assert seen[-1] == finals[0]


@given(EVENTS)
def test_a_cancelling_job_only_ever_ends_and_never_completes(events: list[Event]) -> None:
    seen = run(events)
    if JobStatus.CANCELLING in seen:
        rest = seen[seen.index(JobStatus.CANCELLING) :]
        assert set(rest) <= {JobStatus.CANCELLING, JobStatus.CANCELLED, JobStatus.FAILED}


@given(EVENTS)
def test_every_job_that_has_not_ended_can_be_failed_unless_it_is_being_cancelled(events: list[Event]) -> None:
    last = run(events)[-1]
    if not last.is_final:
        asked_to_stop = last is JobStatus.CANCELLING
        assert after(last, Event.FAIL) is (JobStatus.CANCELLED if asked_to_stop else JobStatus.FAILED)


def test_every_status_can_be_reached_and_none_from_a_final_one() -> None:
    reached, edge = {JobStatus.PENDING}, [JobStatus.PENDING]
    while edge:
        here = edge.pop()
        for event in Event:
            try:
                following = after(here, event)
            except IllegalMove:
                continue
            assert following == here or not here.is_final
            if following not in reached:
                reached.add(following)
                edge.append(following)
    assert reached == set(JobStatus)


@pytest.mark.parametrize(
    ("status", "event", "following"),
    [
        ("pending", Event.CLAIM, "queued"),
        ("running", Event.CLAIM, "queued"),
        ("pending", Event.REPORT, "running"),
        ("queued", Event.REPORT, "running"),
        ("paused", Event.REPORT, "paused"),
        ("pending", Event.CANCEL, "cancelled"),
        ("queued", Event.CANCEL, "cancelling"),
        ("running", Event.CANCEL, "cancelling"),
        ("paused", Event.CANCEL, "cancelling"),
        ("cancelling", Event.CANCEL, "cancelling"),
        ("cancelling", Event.COMPLETE, "cancelled"),
        ("cancelling", Event.FAIL, "cancelled"),
        ("completed", Event.REPORT, "completed"),
        ("completed", Event.COMPLETE, "completed"),
    ],
)
def test_the_moves_are_as_the_design_says(status: str, event: Event, following: str) -> None:
    assert after(JobStatus(status), event) == following


@pytest.mark.parametrize("final", [status for status in JobStatus if status.is_final])
def test_an_ended_job_can_be_neither_claimed_nor_cancelled_nor_ended_otherwise(final: JobStatus) -> None:
    others = [event for name, event in ENDINGS.items() if name != final]
    for event in (Event.CLAIM, Event.CANCEL, Event.RUN, Event.PAUSE, *others):
        with pytest.raises(IllegalMove):
            after(final, event)


def test_a_refusal_names_the_status_and_the_event() -> None:
    with pytest.raises(IllegalMove, match="A completed job cannot be claimed"):
        after(JobStatus.COMPLETED, Event.CLAIM)
