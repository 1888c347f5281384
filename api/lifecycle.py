"""The job state machine: which status follows which event. Pure; whoever calls it stores the answer.

pending ─claim→ queued ─report→ running ⇄ paused        claim again: back to queued, a new attempt
   │               └───────────────┴────────┴─cancel→ cancelling ─end→ cancelled
   └─cancel→ cancelled                    any of them ─end→ completed, failed, cancelled: final
"""

from enum import StrEnum

from tuneyard.errors import TuneyardError
from tuneyard.shapes import JobStatus


class Event(StrEnum):
    """What can happen to a job. The last three end it."""

    CLAIM = "claimed"
    REPORT = "reported on"
    RUN = "run"
    PAUSE = "paused"
    CANCEL = "cancelled"
    COMPLETE = "ended as completed"
    FAIL = "ended as failed"
    STOP = "ended as cancelled"


ENDINGS = {"completed": Event.COMPLETE, "failed": Event.FAIL, "cancelled": Event.STOP}


class IllegalMove(TuneyardError):
    """The job's status does not allow the event; the message says both."""

    def __init__(self, status: JobStatus, event: Event) -> None:
        super().__init__(f"A {status} job cannot be {event}")
        self.status = status
        self.event = event


_P, _Q, _R, _H = JobStatus.PENDING, JobStatus.QUEUED, JobStatus.RUNNING, JobStatus.PAUSED
_CG, _CO, _F, _CD = JobStatus.CANCELLING, JobStatus.COMPLETED, JobStatus.FAILED, JobStatus.CANCELLED

# One row a status. A final status has only the events that change nothing: a late report, and the same end again.
_NEXT: dict[JobStatus, dict[Event, JobStatus]] = {
    _P: {
        Event.CLAIM: _Q,
        Event.REPORT: _R,
        Event.RUN: _R,
        Event.PAUSE: _H,
        Event.CANCEL: _CD,
        Event.COMPLETE: _CO,
        Event.FAIL: _F,
        Event.STOP: _CD,
    },
    _Q: {
        Event.CLAIM: _Q,
        Event.REPORT: _R,
        Event.RUN: _R,
        Event.PAUSE: _H,
        Event.CANCEL: _CG,
        Event.COMPLETE: _CO,
        Event.FAIL: _F,
        Event.STOP: _CD,
    },
    _R: {
        Event.CLAIM: _Q,
        Event.REPORT: _R,
        Event.RUN: _R,
        Event.PAUSE: _H,
        Event.CANCEL: _CG,
        Event.COMPLETE: _CO,
        Event.FAIL: _F,
        Event.STOP: _CD,
    },
    _H: {
        Event.CLAIM: _Q,
        Event.REPORT: _H,
        Event.RUN: _R,
        Event.PAUSE: _H,
        Event.CANCEL: _CG,
        Event.COMPLETE: _CO,
        Event.FAIL: _F,
        Event.STOP: _CD,
    },
    _CG: {
        Event.REPORT: _CG,
        Event.CANCEL: _CG,
        Event.COMPLETE: _CD,
        Event.FAIL: _CD,  # a trainer that is stopped ends in some way or other: it was asked to
        Event.STOP: _CD,
    },
    _CO: {Event.REPORT: _CO, Event.COMPLETE: _CO},
    _F: {Event.REPORT: _F, Event.FAIL: _F},
    _CD: {Event.REPORT: _CD, Event.STOP: _CD},
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
