"""What seed 002's clients rely on beyond its guide, as their source reads it; and that ours read it too."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from tests.api_fixtures import Office
from tuneyard import Client
from tuneyard.errors import NotFound
from tuneyard.shapes import JobStatus

V1 = "/api/v1"
CHAPKIT = {"labels": {"dialect": "chapkit"}}


def read(office: Office, path: str, key: str | None = None) -> Any:
    answer = office.call("GET", f"{V1}/{path}", key or office.key("all"))
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_a_job_has_one_of_five_states_for_its_clients_and_all_of_them_for_ours(office: Office) -> None:
    job_id, token = office.claimed_job(**CHAPKIT)
    key = office.key("all")
    with Client(office.served.url, key) as ours:
        for status, theirs in (
            ("queued", "running"),
            ("running", "running"),
            ("pausing", "running"),
            ("cancelling", "running"),
            ("paused", "pending"),
            ("cancelled", "canceled"),
        ):
            office.moved(job_id, status=status)
            job = read(office, f"jobs/{job_id}")
            assert (job["status"], job["result"]) == (theirs, None)
            assert job["started_at"] is not None
            assert ours.jobs.get(job_id).status == status
            plain = read(office, "jobs")["items"][0]["status"]
            assert plain == status
    assert token


def test_canceled_is_a_word_in_filters_pages_and_our_own_reading(office: Office) -> None:
    kept, gone = office.new_job(), office.new_job()
    key = office.key("all")
    assert office.call("POST", f"{V1}/jobs/{gone}/cancel", key).status_code == 200
    for word in ("canceled", "cancelled"):
        found = read(office, f"jobs?status_filter={word}", key)
        assert [(job["id"], job["status"]) for job in found] == [(gone, "canceled")]
    page = read(office, "jobs?page=1&size=10", key)
    assert [(job["id"], job["status"]) for job in page["items"]] == [(gone, "canceled"), (kept, "pending")]
    assert (page["total"], page["page"], page["size"], page["pages"]) == (2, 1, 10, 1)
    assert JobStatus("canceled") is JobStatus.CANCELLED
    with Client(office.served.url, key) as ours:
        assert ours.jobs.list("canceled").items[0].status == "cancelled"


@pytest.mark.parametrize("kind", ["configs", "artifacts", "jobs"])
def test_a_list_is_read_by_page_and_size_together(office: Office, kind: str) -> None:
    key, ids = office.key("all"), []
    new: dict[str, Any] = {
        "configs": {"name": "n", "data": {}},
        "artifacts": {"data": {"a": 1}},
        "jobs": {"model": "m"},
    }
    for _ in range(5):
        ids.append(office.call("POST", f"{V1}/{kind}", key, json=new[kind]).json()["id"])
    pages = [read(office, f"{kind}?page={number}&size=2", key) for number in (1, 2, 3, 4)]
    assert [item["id"] for page in pages for item in page["items"]] == ids[::-1]
    assert [(page["total"], page["page"], page["size"], page["pages"]) for page in pages] == [
        (5, number, 2, 3) for number in (1, 2, 3, 4)
    ]
    for query, status in (("page=1", 400), ("size=1", 400), ("page=0&size=1", 422), ("page=1&size=101", 422)):
        assert office.call("GET", f"{V1}/{kind}?{query}", key).status_code == status
    assert read(office, f"{kind}?limit=2", key)["limit"] == 2


def test_a_config_without_a_model_is_a_table_s(office: Office) -> None:
    key = office.key("training")

    def kind_of(**new: Any) -> tuple[int, Any]:
        answer = office.call("POST", f"{V1}/configs", key, json={"name": "c"} | new)
        body = answer.json()
        return answer.status_code, body["kind"] if answer.status_code == 201 else body["errors"][0]["field"]

    assert kind_of(data={}) == (201, "tabular")
    assert kind_of(data={"target": "y"}) == (201, "tabular")
    assert kind_of(data={"model": "m", "dataset": "d"}) == (201, "finetune")
    assert kind_of(data={"epochs": 2}) == (422, "data.model")
    assert kind_of(data={"method": "lora"}) == (422, "data.model")


def test_an_artifact_can_be_nothing_but_its_data(any_office: Office) -> None:
    key = any_office.key("all")
    ulid = "01K7CXYHJ7BR4E87VVTG8FNBMC"
    new = {"id": ulid, "data": {"model_type": "m", "weights": [1, 2]}}
    made = any_office.call("POST", f"{V1}/artifacts", key, json=new)
    assert made.status_code == 201, made.text
    assert (made.json()["data"], made.json()["level"], made.json()["parent_id"]) == (new["data"], 0, None)
    assert any_office.call("POST", f"{V1}/artifacts", key, json=new).status_code == 200
    other = new | {"data": {}}
    assert any_office.call("POST", f"{V1}/artifacts", key, json=other).status_code == 409
    rows = {"columns": ["a"], "data": [[1]]}
    child = {"data": {"predictions": rows}, "parent_id": ulid}
    child = any_office.call("POST", f"{V1}/artifacts", key, json=child).json()
    assert (child["level"], child["data"], child["updated_at"]) == (
        1,
        {"predictions": rows},
        child["created_at"],
    )
    assert read(any_office, f"artifacts/{child['id']}", key) == child
    listed = read(any_office, "artifacts", key)["items"][0]
    tree = read(any_office, f"artifacts/{ulid}/$tree", key)["children"][0]
    assert listed["data"] == listed["details"] == tree["data"] == {}
    assert read(any_office, f"artifacts/{child['id']}/$metadata", key)["model_type"] is None


def test_a_config_has_the_artifacts_that_are_linked_to_it(any_office: Office) -> None:
    key = any_office.key("all")
    config = any_office.call("POST", f"{V1}/configs", key, json={"name": "c", "data": {}}).json()["id"]
    root = any_office.call("POST", f"{V1}/artifacts", key, json={"data": {}}).json()["id"]
    child = {"data": {}, "parent_id": root}
    child_id = any_office.call("POST", f"{V1}/artifacts", key, json=child).json()["id"]

    def say(act: str, artifact: str) -> int:
        path = f"{V1}/configs/{config}/${act}-artifact"
        return any_office.call("POST", path, key, json={"artifact_id": artifact}).status_code

    assert any_office.call("GET", f"{V1}/artifacts/{child_id}/$config", key).status_code == 404
    assert [say("link", root), say("link", root), say("link", "none"), say("unlink", "none")] == [
        204,
        204,
        400,
        400,
    ]
    assert [one["id"] for one in read(any_office, f"configs/{config}/$artifacts", key)] == [root]
    assert read(any_office, f"artifacts/{child_id}/$config", key)["id"] == config
    assert read(any_office, f"artifacts/{child_id}/$expand", key)["config"]["name"] == "c"
    assert [say("unlink", root), say("unlink", root), say("link", root)] == [204, 204, 204]
    assert any_office.call("DELETE", f"{V1}/configs/{config}", key).status_code == 204
    assert any_office.call("GET", f"{V1}/artifacts/{root}", key).status_code == 200


@contextmanager
def following(office: Office, job_id: str, agent: str = "curl/8") -> Iterator[Iterator[str]]:
    headers = {"X-API-Key": office.key("all"), "User-Agent": agent}
    with (
        httpx.Client(base_url=office.served.url, timeout=20) as http,
        http.stream("GET", f"{V1}/jobs/{job_id}/$stream", headers=headers) as answer,
    ):
        yield answer.iter_lines()


def records(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    """As upstream's own clients read a stream: each line of data is the job."""
    for line in lines:
        assert not line.startswith("event:")
        if line.startswith("data: "):
            yield json.loads(line.removeprefix("data: "))


def test_its_clients_follow_a_job_by_lines_of_data_to_its_end(any_office: Office) -> None:
    job_id, token = any_office.claimed_job(**CHAPKIT)
    with following(any_office, job_id) as lines:
        told = records(lines)
        assert next(told)["status"] == "running"
        point = {"step": 1, "train_loss": 0.5}
        any_office.call("PUT", f"{V1}/jobs/{job_id}/metrics", token, json=point)
        any_office.end(job_id, token)
        *_, last = told
    assert (last["status"], last["result"]) == ("completed", "Training completed successfully")


def test_a_followed_job_that_is_deleted_is_told_so(any_office: Office) -> None:
    job_id, _ = any_office.claimed_job(**CHAPKIT)
    key = any_office.key("all")
    with following(any_office, job_id) as lines, Client(any_office.served.url, key) as ours:
        told, mine = records(lines), ours.jobs.stream(job_id)
        assert next(told)["status"] == "running"
        first = next(iter(mine)).job
        assert first is not None
        assert first.status == "queued"  # our own client reads it as it is
        ours.jobs.delete(job_id)
        assert [*told][-1] == {"status": "deleted"}
        with pytest.raises(NotFound):
            list(mine)
