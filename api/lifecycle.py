"""The job state machine: which status follows which event. Pure; whoever calls it stores the answer.

pending ─claim→ queued ─report→ running ─ask pause→ pausing ─paused→ paused       claim again: back to queued, a new
   │               │               ├─cancel→ cancelling ─end→ cancelled             attempt
   │               └─── requeue ───┴──→ pending                 any of them ─end→ completed, failed, cancelled
   └─cancel, ask pause→ cancelled, paused                       paused, failed, cancelled ─resume→ pending
"""

from enum import StrEnum

from tuneyard.errors import TuneyardError
from tuneyard.shapes import JobStatus


class Event(StrEnum):
    """What can happen to a job. COMPLETE, FAIL and STOP end it."""

    CLAIM = "claimed"
    REPORT = "reported on"
    RUN = "run"
    ASK_PAUSE = "asked to pause"
    PAUSE = "paused"
    RESUME = "resumed"
    REQUEUE = "put back"
    CANCEL = "cancelled"
    COMPLETE = "ended as completed"
    FAIL = "ended as failed"
    STOP = "ended as cancelled"


ENDINGS = {"completed": Event.COMPLETE, "failed": Event.FAIL, "cancelled": Event.STOP, "paused": Event.PAUSE}


class IllegalMove(TuneyardError):
    """The job's status does not allow the event; the message says both, and what would help."""

    def __init__(self, status: JobStatus, event: Event) -> None:
        super().__init__(f"A {status} job cannot be {event}{_ADVICE.get(event, {}).get(status, '')}")
        self.status = status
        self.event = event


_P, _Q, _R, _H = JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED
_PG, _CG = JobStatus.PAUSING, JobStatus.CANCELLING
_CO, _F, _CD = JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED
_ENDS = {Event.COMPLETE: _CO, Event.FAIL: _F, Event.STOP: _CD}

_WAIT = ": it has not stopped yet; wait until it has"
_ALREADY = ": it is under way already"
_ADVICE: dict[Event, dict[JobStatus, str]] = {
    Event.CLAIM: {_H: ": resume it first", _PG: ": resume it once it is paused"},
    Event.RESUME: {
        _P: _ALREADY,
        _Q: _ALREADY,
        _R: _ALREADY,
        _PG: _WAIT,
        _CG: _WAIT,
        _CO: ": start it again, as a new job",
    },
}

# One row a status. A final status has the events that change nothing (a late report, and the same end again), and
# all but `completed` the one way back.
_NEXT: dict[JobStatus, dict[Event, JobStatus]] = {
    _P: {
        Event.CLAIM: _Q,
        Event.REPORT: _R,
        Event.RUN: _R,
        Event.ASK_PAUSE: _H,
        Event.PAUSE: _H,
        Event.REQUEUE: _P,  # the run that was to take it died before it could
        Event.CANCEL: _CD,
        **_ENDS,
    },
    _Q: {
        Event.CLAIM: _Q,
        Event.REPORT: _R,
        Event.RUN: _R,
        Event.ASK_PAUSE: _H,  # nothing is there to be saved: its run reads it and leaves
        Event.PAUSE: _H,
        Event.REQUEUE: _P,
        Event.CANCEL: _CG,
        **_ENDS,
    },
    _R: {
        Event.CLAIM: _Q,
        Event.REPORT: _R,
        Event.RUN: _R,
        Event.ASK_PAUSE: _PG,
        Event.PAUSE: _H,
        Event.REQUEUE: _P,
        Event.CANCEL: _CG,
        **_ENDS,
    },
    _PG: {
        Event.REPORT: _PG,
        Event.RUN: _PG,
        Event.ASK_PAUSE: _PG,
        Event.PAUSE: _H,
        Event.CANCEL: _CG,
        **_ENDS,
    },
    _H: {
        Event.REPORT: _H,
        Event.RUN: _R,  # a trainer that pauses by itself goes on by itself
        Event.ASK_PAUSE: _H,
        Event.PAUSE: _H,
        Event.RESUME: _P,
        Event.CANCEL: _CD,  # nobody is at work; a trainer that waits reads it in the next answer
        **_ENDS,
    },
    _CG: {
        Event.REPORT: _CG,
        Event.CANCEL: _CG,
        Event.PAUSE: _CD,
        Event.COMPLETE: _CD,
        Event.FAIL: _CD,  # a trainer that is stopped ends in some way or other: it was asked to
        Event.STOP: _CD,
    },
    _CO: {Event.REPORT: _CO, Event.COMPLETE: _CO},
    _F: {Event.REPORT: _F, Event.FAIL: _F, Event.RESUME: _P},
    _CD: {Event.REPORT: _CD, Event.STOP: _CD, Event.RESUME: _P},
}


def after(status: JobStatus, event: Event) -> JobStatus:
    """The status that follows.

    Raises:
        IllegalMove: The event cannot happen to a job of that status.
    """
    following = _NEXT[status].get(event)
    if following is None:
        raise IllegalMove(status, event)
    return following


def when_lost(status: JobStatus, restarts_left: int) -> Event:
    """What happens to a job whose run has died: what it was asked for, else another start while there is one left."""
    if status is JobStatus.CANCELLING:
        return Event.STOP
    if status is JobStatus.PAUSING:
        return Event.PAUSE
    return Event.REQUEUE if restarts_left > 0 else Event.FAIL
