"""Jobs are read straight from their rows: what is answered is what the shape would say of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from api import tables
from tests.api_fixtures import Office
from tuneyard import shapes

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)
ROWS: list[dict[str, Any]] = [
    {"status": "completed", "total_steps": 9, "current_step": 3, "ended_at": NOON},
    {
        "status": "running",
        "config": {"lora": {"rank": 8, "ü": "\U0001f600"}, "rate": 1e-300, "none": None},
        "result": {"loss": 0.1 + 0.2, "list": [1, [2.5, True]]},
        "loss": 0.1 + 0.2,
        "eval_loss": 5e-324,
        "diverged": True,
        "total_steps": 3,
        "current_step": 1,
        "pid": 2**40,
        "gpu_uuids": ["GPU-1", "GPU-2"],
        "pids": [1, 2**33],
        "labels": {"a": "b"},
        "started_at": NOON + timedelta(microseconds=1),
        "heartbeat_at": NOON + timedelta(microseconds=120_000),
    },
    {"status": "failed", "error": 'a "quoted"\nline \u2028', "stage": "", "max_restarts": 0},
]


@pytest.fixture
def stored(any_office: Office) -> list[tables.Job]:
    with any_office.served.database.writing() as session:
        for number, said in enumerate(ROWS):
            named = {"id": f"j{number}", "kind": "finetune", "name": "n", "model": "m"}
            session.add(tables.Job(workspace_id=any_office.workspace_id, **named, **said))
    with any_office.served.database.reading() as session:
        mine = select(tables.Job).where(tables.Job.workspace_id == any_office.workspace_id)
        return list(session.exec(mine.order_by(tables.Job.pk.desc())))  # type: ignore[attr-defined]


def test_a_job_and_a_list_of_jobs_say_what_the_shape_says(
    any_office: Office, stored: list[tables.Job]
) -> None:
    key = any_office.key("training")
    listed = any_office.call("GET", "/api/v1/jobs?limit=1000", key).json()
    meant = [shapes.Job.model_validate(row) for row in stored]
    assert listed["items"] == [one.model_dump(mode="json") for one in meant]
    assert (listed["total"], listed["limit"], listed["offset"]) == (3, 1000, 0)
    for one in meant:
        assert any_office.call("GET", f"/api/v1/jobs/{one.id}", key).json() == one.model_dump(mode="json")


def test_a_list_is_narrowed_and_paged(any_office: Office, stored: list[tables.Job]) -> None:
    key = any_office.key("training")
    failed = any_office.call("GET", "/api/v1/jobs?status=failed&kind=finetune", key).json()
    assert [job["id"] for job in failed["items"]] == ["j2"]
    assert failed["total"] == 1
    second = any_office.call("GET", "/api/v1/jobs?limit=1&offset=1", key).json()
    assert [job["id"] for job in second["items"]] == [stored[1].id]
    assert second["total"] == 3
    assert any_office.call("GET", "/api/v1/jobs?flow_run_id=none", key).json()["items"] == []
