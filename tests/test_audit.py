"""The audit trail: every act leaves one event, in its own transaction, that nothing changes afterwards."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlmodel import select

from api import tables
from tests.api_fixtures import RUN, Office
from tuneyard import keys

JOBS = "/api/v1/jobs"
EVENTS = "/api/v1/events"
SHA = "0" * 64
DATASET = {"name": "rows", "uri": "/rows", "sha256": SHA, "rows": 1}
ARTIFACT = {"name": "model", "uri": "/model", "size_bytes": 1, "details": {"secret": "hush"}}
SUITE = {"name": "suite", "prompts": [{"prompt": "hush", "expected": "b"}]}


def trail(office: Office, **query: Any) -> list[dict[str, Any]]:
    """The events, the newest first."""
    answer = office.call("GET", EVENTS, office.key("admin"), params=query)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def actions(office: Office, **query: Any) -> list[str]:
    return [event["action"] for event in reversed(trail(office, **query))]


def test_each_act_on_a_job_is_an_event_by_whoever_did_it(any_office: Office) -> None:
    worker = any_office.key("worker")
    config = {"password": "hush"}
    made = any_office.call("POST", JOBS, worker, json={"model": "m", "name": "night run", "config": config})
    job_id = made.json()["id"]
    token = any_office.call("POST", f"{JOBS}/{job_id}/claim", worker, json=RUN).json()["job_token"]
    any_office.call("POST", f"{JOBS}/{job_id}/cancel", worker)
    any_office.end(job_id, token, "cancelled", error="hush", result={"x": "hush"})
    ended, cancelled, claimed, created = trail(any_office, object_id=job_id)
    assert [event["action"] for event in (created, claimed, cancelled, ended)] == [
        "job.created",
        "job.claimed",
        "job.cancelled",
        "job.ended",
    ]
    for event in (created, claimed, cancelled):
        assert (event["actor_kind"], event["actor_id"], event["actor_name"]) == (
            "key",
            keys.parse(worker),
            "a key",
        )
    assert (ended["actor_kind"], ended["actor_id"]) == ("job", job_id)
    assert created["details"] == {"name": "night run"}
    assert claimed["details"] == {"attempt": 1, "host": "gpu-1"}
    assert cancelled["details"] == {"status": "cancelling"}
    assert ended["details"] == {"status": "cancelled"}
    assert created["request_id"] == made.headers["X-Request-ID"]
    assert created["address"] == "127.0.0.1"
    assert {event["object_kind"] for event in (created, claimed, cancelled, ended)} == {"job"}
    assert "hush" not in str(trail(any_office))


def test_what_is_recorded_is_an_event_each(any_office: Office) -> None:
    worker = any_office.key("worker")
    job_id, token = any_office.claimed_job()
    for path, body in [
        ("/api/v1/batch-tests", {"suite": "s", "model": "m"}),
        ("/api/v1/test-suites", SUITE),
        ("/api/v1/datasets", DATASET),
        ("/api/v1/artifacts", ARTIFACT),
    ]:
        assert any_office.call("POST", path, worker, json=body).status_code == 201
    assert any_office.call("POST", "/api/v1/artifacts", token, json=ARTIFACT).status_code == 201
    *created, by_run = actions(any_office)[2:]
    assert created == ["test.created", "suite.created", "dataset.created", "artifact.created"]
    assert by_run == "artifact.created"
    newest = trail(any_office)[0]
    assert (newest["actor_kind"], newest["actor_id"], newest["details"]) == ("job", job_id, {"name": "model"})


def test_what_is_said_again_is_no_event(any_office: Office) -> None:
    worker = any_office.key("worker")
    run = "3f1c0a52"
    repeated = [
        (JOBS, {"model": "m", "flow_run_id": run}),
        ("/api/v1/batch-tests", {"suite": "s", "model": "m", "flow_run_id": run + "b"}),
        ("/api/v1/test-suites", SUITE),
        ("/api/v1/datasets", DATASET),
        ("/api/v1/artifacts", ARTIFACT),
    ]
    for status in (201, 200):
        for path, body in repeated:
            assert any_office.call("POST", path, worker, json=body).status_code == status
    job_id, _ = any_office.claimed_job()
    for act in ("cancel", "cancel"):
        assert any_office.call("POST", f"{JOBS}/{job_id}/{act}", worker).status_code == 200
    for _ in range(2):
        assert any_office.end(job_id, worker, "failed").status_code == 200
    seen = actions(any_office)
    assert len(seen) == len(repeated) + 4
    assert seen[-4:] == ["job.created", "job.claimed", "job.cancelled", "job.ended"]


def test_the_training_platforms_paths_leave_the_same_events(office: Office) -> None:
    token = keys.mint_job_token()
    job = {"model_name": "m", "job_name": "theirs", "job_token": token}
    job_id = office.call("POST", "/api/training/local/jobs", office.key("training"), json=job).json()[
        "job_id"
    ]
    for status in ("running", "completed", "completed"):
        path = f"/api/training/local/{job_id}/status"
        assert office.call("PATCH", path, token, json={"status": status}).status_code == 200
    assert actions(office, object_id=job_id) == ["job.created", "job.ended"]
    assert token not in str(trail(office))


def test_an_act_that_fails_leaves_no_event(any_office: Office) -> None:
    worker = any_office.key("worker")
    any_office.new_job(id="first", flow_run_id="taken")
    any_office.new_job(id="second")
    any_office.new_job(id="gone")
    any_office.call("POST", f"{JOBS}/gone/cancel", worker)
    before = actions(any_office)
    clash = RUN | {"flow_run_id": "taken"}
    assert any_office.call("POST", f"{JOBS}/second/claim", worker, json=clash).status_code == 409
    assert any_office.call("POST", JOBS, worker, json={"model": "m", "id": "first"}).status_code == 409
    assert any_office.end("gone", worker, "completed").status_code == 409
    assert actions(any_office) == before


def test_the_database_refuses_to_change_or_remove_an_event(any_office: Office) -> None:
    any_office.new_job()
    database = any_office.served.database
    changes = ["UPDATE event SET actor_name = 'nobody'", "DELETE FROM event"]
    for change in changes if database.is_sqlite else [*changes, "TRUNCATE TABLE event"]:
        with (
            pytest.raises(DBAPIError, match="only ever added to"),
            database.connection_for_writing() as connection,
        ):
            connection.execute(text(change))
    with database.reading() as session:
        events = session.exec(
            select(tables.AuditEvent).where(tables.AuditEvent.workspace_id == any_office.workspace_id)
        ).all()
    assert [(event.action, event.actor_name) for event in events] == [("job.created", "a key")]


def test_the_trail_is_narrowed_by_each_filter_and_paged_without_a_gap(any_office: Office) -> None:
    office = any_office
    first, second = office.new_job(), office.new_job()
    worker = office.key("worker")
    office.call("POST", f"{JOBS}/{first}/cancel", worker)
    office.call("POST", "/api/v1/datasets", worker, json=DATASET)
    everything = trail(office)
    assert [event["action"] for event in everything] == [
        "dataset.created",
        "job.cancelled",
        "job.created",
        "job.created",
    ]
    assert [e["object_id"] for e in trail(office, action="job.created")] == [second, first]
    assert actions(office, object_kind="dataset") == ["dataset.created"]
    assert actions(office, object_kind="job", object_id=first) == ["job.created", "job.cancelled"]
    assert actions(office, actor=keys.parse(worker)) == ["job.cancelled", "dataset.created"]
    assert len(actions(office, actor="a key")) == 4
    at = everything[1]["at"]
    assert trail(office, since=at) == everything[:2]
    assert trail(office, until=at) == everything[2:]
    assert [e for offset in range(4) for e in trail(office, limit=1, offset=offset)] == everything
    page = office.call("GET", EVENTS, office.key("admin"), params={"limit": 1}).json()
    assert (page["total"], page["limit"], page["offset"]) == (4, 1, 0)
    for bad in ({"limit": 0}, {"since": "yesterday"}, {"actor": "\0"}, {"action": "x" * 300}):
        assert office.call("GET", EVENTS, office.key("admin"), params=bad).status_code == 422, bad
    assert trail(office, action="no.such") == []


def test_the_trail_is_read_with_its_permission_and_in_ones_own_workspace(office: Office) -> None:
    office.new_job()
    elsewhere = Office(office.served)
    assert trail(elsewhere) == []
    elsewhere.http.close()
    for scope in ("training", "worker", "all"):
        refused = office.call("GET", EVENTS, office.key(scope))
        assert refused.status_code == 403
        assert "events:read" in refused.json()["detail"]
