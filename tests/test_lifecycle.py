"""The job state machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.lifecycle import ENDINGS, Event, IllegalMove, after, when_lost
from tuneyard.shapes import JobStatus

EVENTS = st.lists(st.sampled_from(Event), max_size=12)
WITHOUT_RESUME = st.lists(
    st.sampled_from([event for event in Event if event is not Event.RESUME]), max_size=12
)
CAN_BE_LOST = [
    JobStatus.PENDING,
    JobStatus.QUEUED,
    JobStatus.RUNNING,
    JobStatus.PAUSING,
    JobStatus.CANCELLING,
]


def run(events: list[Event]) -> list[JobStatus]:
    """The statuses a new job goes through; illegal events change nothing."""
    seen = [JobStatus.PENDING]
    for event in events:
        try:
            seen.append(after(seen[-1], event))
        except IllegalMove:
            seen.append(seen[-1])
    return seen


@given(WITHOUT_RESUME)
def test_a_final_status_never_changes_unless_the_job_is_resumed(events: list[Event]) -> None:
    seen = run(events)
    finals = [status for status in seen if status.is_final]
    assert len(set(finals)) <= 1
    if finals:
        assert seen[-1] == finals[0]


@given(EVENTS)
def test_a_completed_job_stays_completed(events: list[Event]) -> None:
    seen = run(events)
    if JobStatus.COMPLETED in seen:
        assert seen[-1] is JobStatus.COMPLETED


@given(WITHOUT_RESUME)
def test_a_cancelling_job_only_ever_ends_and_never_completes(events: list[Event]) -> None:
    seen = run(events)
    if JobStatus.CANCELLING in seen:
        rest = seen[seen.index(JobStatus.CANCELLING) :]
        assert set(rest) <= {JobStatus.CANCELLING, JobStatus.CANCELLED}


@given(WITHOUT_RESUME)
def test_a_pausing_job_is_taken_by_no_run_until_it_is_resumed(events: list[Event]) -> None:
    seen = run(events)
    if JobStatus.PAUSING in seen:
        rest = seen[seen.index(JobStatus.PAUSING) :]
        assert not {JobStatus.PENDING, JobStatus.QUEUED} & set(rest)


@given(EVENTS)
def test_every_job_that_has_not_ended_can_be_failed_unless_it_is_being_cancelled(events: list[Event]) -> None:
    last = run(events)[-1]
    if not last.is_final:
        asked_to_stop = last is JobStatus.CANCELLING
        assert after(last, Event.FAIL) is (JobStatus.CANCELLED if asked_to_stop else JobStatus.FAILED)


def test_every_status_can_be_reached_and_a_final_one_is_left_by_a_resume_alone() -> None:
    reached, edge = {JobStatus.PENDING}, [JobStatus.PENDING]
    while edge:
        here = edge.pop()
        for event in Event:
            try:
                following = after(here, event)
            except IllegalMove:
                continue
            assert following == here or not here.is_final or event is Event.RESUME
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
        ("pending", Event.ASK_PAUSE, "paused"),
        ("queued", Event.ASK_PAUSE, "paused"),
        ("running", Event.ASK_PAUSE, "pausing"),
        ("pausing", Event.REPORT, "pausing"),
        ("pausing", Event.PAUSE, "paused"),
        ("pausing", Event.COMPLETE, "completed"),
        ("pausing", Event.CANCEL, "cancelling"),
        ("running", Event.REQUEUE, "pending"),
        ("queued", Event.REQUEUE, "pending"),
        ("paused", Event.RESUME, "pending"),
        ("failed", Event.RESUME, "pending"),
        ("cancelled", Event.RESUME, "pending"),
        ("pending", Event.CANCEL, "cancelled"),
        ("queued", Event.CANCEL, "cancelling"),
        ("running", Event.CANCEL, "cancelling"),
        ("paused", Event.CANCEL, "cancelled"),
        ("cancelling", Event.CANCEL, "cancelling"),
        ("cancelling", Event.PAUSE, "cancelled"),
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
    for event in (Event.CLAIM, Event.CANCEL, Event.RUN, Event.ASK_PAUSE, Event.REQUEUE, *others):
        with pytest.raises(IllegalMove):
            after(final, event)


@pytest.mark.parametrize("status", CAN_BE_LOST)
@given(left=st.integers(-3, 3))
def test_a_lost_job_does_what_it_was_asked_for_or_starts_again_while_it_may(
    status: JobStatus, left: int
) -> None:
    following = after(status, when_lost(status, left))
    asked = {JobStatus.CANCELLING: JobStatus.CANCELLED, JobStatus.PAUSING: JobStatus.PAUSED}
    assert following is asked.get(status, JobStatus.PENDING if left > 0 else JobStatus.FAILED)


def test_a_refusal_names_the_status_and_the_event_and_what_to_do() -> None:
    with pytest.raises(IllegalMove, match=r"A completed job cannot be claimed$"):
        after(JobStatus.COMPLETED, Event.CLAIM)
    with pytest.raises(IllegalMove, match="A paused job cannot be claimed: resume it first"):
        after(JobStatus.PAUSED, Event.CLAIM)
    with pytest.raises(IllegalMove, match="A completed job cannot be resumed: start it again, as a new job"):
        after(JobStatus.COMPLETED, Event.RESUME)
