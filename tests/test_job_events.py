"""What happened to a job: its events, its log and its errors, each told once whatever is sent twice."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from tests.api_fixtures import Office

JOBS = "/api/v1/jobs"
NOON = "2026-11-21T12:00:00Z"


def tell(office: Office, job_id: str, token: str, *events: dict[str, Any]) -> Any:
    return office.call("POST", f"{JOBS}/{job_id}/events", token, json={"events": list(events)})


def told(office: Office, job_id: str, **query: Any) -> list[dict[str, Any]]:
    answer = office.call("GET", f"{JOBS}/{job_id}/events", office.key("training"), params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def write(office: Office, job_id: str, token: str, *lines: dict[str, Any]) -> Any:
    return office.call("POST", f"{JOBS}/{job_id}/logs", token, json={"lines": list(lines)})


def read(office: Office, job_id: str, **query: Any) -> list[tuple[int, int, str]]:
    answer = office.call("GET", f"{JOBS}/{job_id}/logs", office.key("training"), params=query)
    assert answer.status_code == 200, answer.text
    return [(line["attempt"], line["number"], line["text"]) for line in answer.json()["items"]]


def line(number: int, text: str, **more: Any) -> dict[str, Any]:
    return {"number": number, "text": text, "at": NOON} | more


def test_a_job_s_events_are_told_in_order_with_what_the_record_adds(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    started = {"kind": "started", "message": "Training on cpu", "details": {"é": [1, None]}, "at": NOON}
    assert tell(any_office, job_id, token, started).status_code == 201
    tell(any_office, job_id, token, {"kind": "evaluated", "message": "loss 0.5", "step": 20})
    any_office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": 21})
    for act in ("pause", "cancel"):
        any_office.call("POST", f"{JOBS}/{job_id}/{act}", any_office.key("training"))
    any_office.end(job_id, token, "cancelled")
    events = told(any_office, job_id)
    kinds = ["claimed", "started", "evaluated", "pause_asked", "cancel_asked", "ended"]
    assert [event["kind"] for event in events] == kinds
    assert [event["attempt"] for event in events] == [1] * 6
    assert (events[1]["details"], events[1]["at"], events[2]["step"]) == ({"é": [1, None]}, NOON, 20)
    assert len({event["id"] for event in events}) == 6
    assert [event["kind"] for event in told(any_office, job_id, kind="evaluated")] == ["evaluated"]
    assert [event["kind"] for event in told(any_office, job_id, limit=2, offset=1)] == kinds[1:3]


def test_an_event_that_is_sent_again_under_its_key_is_one_event(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    event = {"kind": "leased", "message": "GPU-1", "key": "lease"}
    for _ in range(3):
        assert tell(any_office, job_id, token, event, event).status_code == 201
    assert len(told(any_office, job_id, kind="leased")) == 1
    tell(any_office, job_id, any_office.claim(job_id), event)
    assert [one["attempt"] for one in told(any_office, job_id, kind="leased")] == [1, 2]


def test_a_run_tells_only_what_is_its_to_tell(office: Office) -> None:
    job_id, token = office.claimed_job()
    for kind in ("claimed", "lost", "requeued", "ended", "cancel_asked", "unheard of"):
        answer = tell(office, job_id, token, {"kind": kind, "message": "m"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "events.0.kind")


def test_the_newest_and_the_best_checkpoint_are_on_the_job(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    best = {"kind": "checkpoint", "message": "saved", "step": 100, "details": {"best": True}}
    late = {"kind": "checkpoint", "message": "saved", "step": 50, "at": "2026-01-01T00:00:00Z"}
    tell(any_office, job_id, token, best)
    tell(any_office, job_id, token, {"kind": "checkpoint", "message": "saved", "step": 200}, late)
    job = any_office.job(job_id)
    assert (job["last_checkpoint"], job["best_checkpoint"]) == (200, 100)
    assert job["checkpoint_at"]
    status = any_office.call("GET", f"/api/training/local/{job_id}/status", any_office.key("training"))
    assert status.json()["best_checkpoint_path"] == "checkpoint-100"


def test_the_cards_are_free_when_the_run_has_seen_it(office: Office) -> None:
    job_id, token = office.claimed_job()
    tell(office, job_id, token, {"kind": "gpu_released", "message": "0 bytes in use", "at": NOON})
    assert office.job(job_id)["gpu_released_at"] == NOON


def test_a_log_line_is_stored_once_under_its_number(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    assert write(any_office, job_id, token, line(0, "a"), line(1, "b"), line(1, "again")).status_code == 201
    write(any_office, job_id, token, line(2, "ü" * 10_000), line(1, "once more"))
    new = any_office.claim(job_id)
    assert write(any_office, job_id, token, line(3, "of a dead run")).status_code == 401
    write(any_office, job_id, new, line(0, "c"))
    assert read(any_office, job_id) == [(1, 0, "a"), (1, 1, "b"), (1, 2, "ü" * 10_000), (2, 0, "c")]
    assert read(any_office, job_id, limit=2, offset=2) == [(1, 2, "ü" * 10_000), (2, 0, "c")]


def test_a_log_is_narrowed_to_graver_lines_and_later_ones(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    levels = ["debug", "info", "warning", "error"]
    moments = [f"2026-11-21T12:00:0{second}Z" for second in range(4)]
    lines = [line(at, level, level=level, at=moments[at]) for at, level in enumerate(levels)]
    write(any_office, job_id, token, *lines)
    assert [text for *_, text in read(any_office, job_id, level="warning")] == ["warning", "error"]
    assert [text for *_, text in read(any_office, job_id, after=moments[1])] == ["warning", "error"]
    assert [text for *_, text in read(any_office, job_id, after=moments[1], level="error")] == ["error"]


def test_an_ended_job_s_last_words_are_still_taken_for_a_while(office: Office) -> None:
    job_id, token = office.claimed_job()
    office.end(job_id, token)
    assert write(office, job_id, token, line(0, "the end")).status_code == 201
    assert tell(office, job_id, token, {"kind": "gpu_released", "message": "m"}).status_code == 201
    office.end_long_ago(job_id, timedelta(minutes=11))
    assert write(office, job_id, token, line(1, "too late")).status_code == 401


def test_each_fault_of_a_failed_job_is_an_error_by_itself(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    faults = [
        {"kind": "bad_input", "message": "no prompt", "file": "d.jsonl", "line": 7, "field": "prompt"},
        {"kind": "bad_input", "message": "not JSON", "file": "d.jsonl", "line": 9, "hint": "look at line 9"},
    ]
    any_office.end(job_id, token, "failed", error="2 rows cannot be used", errors=faults)
    found = any_office.call("GET", f"{JOBS}/{job_id}/errors", any_office.key("training")).json()
    assert [
        {name: error[name] for name in fault} for fault, error in zip(faults, found, strict=True)
    ] == faults
    assert {error["attempt"] for error in found} == {1}


def test_an_end_with_one_text_is_one_error_and_a_good_one_is_none(any_office: Office) -> None:
    ends = {"failed": "out of memory", "cancelled": None, "completed": None}
    shown = {}
    for status, error in ends.items():
        job_id, token = any_office.claimed_job()
        any_office.end(job_id, token, status, error=error)
        found = any_office.call("GET", f"{JOBS}/{job_id}/errors", any_office.key("training")).json()
        shown[status] = [(error["kind"], error["message"]) for error in found]
    assert shown == {
        "failed": [("work_failed", "out of memory")],
        "cancelled": [("cancelled", "The job was cancelled")],
        "completed": [],
    }
