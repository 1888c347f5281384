"""What `/v1/jobs` promises: a prompt becomes a predict job, and what is told of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from api import tables
from api.access.permissions import ROLES
from api.tables import now
from tests.api_fixtures import RUN, Office
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard

ASKED = {"payload": {"type": "inference", "prompt": "When?", "model": "org/model"}, "ttl_seconds": 900}
Ask = Callable[..., httpx.Response]


@pytest.fixture
def ask(yard: Office, prefect: StandIn) -> Ask:
    """One request to `/v1/jobs…` with the same client key each time."""
    key = yard.key("training")

    def call(method: str, path: str = "", **given: Any) -> httpx.Response:
        return yard.call(method, f"/v1/jobs{path}", given.pop("key", key), **given)

    return call


def submitted(ask: Ask, **changes: Any) -> str:
    answer = ask("POST", json=ASKED | changes)
    assert answer.status_code == 201, answer.text
    job_id: str = answer.json()["job_id"]
    return job_id


def alias(yard: Office, name: str, artifact_id: str | None = "01") -> None:
    with yard.served.database.writing() as session:
        session.add(tables.ModelAlias(workspace_id=yard.workspace_id, name=name, artifact_id=artifact_id))


def test_a_prompt_becomes_a_predict_job_with_a_run(ask: Ask, yard: Office, prefect: StandIn) -> None:
    answer = ask("POST", json=ASKED)
    shown = answer.json()
    assert (answer.status_code, shown["state"]) == (201, "queued")
    job = yard.job(shown["job_id"])
    assert (job["kind"], job["status"], job["model"]) == ("predict", "pending", "org/model")
    assert job["labels"] == {"dialect": "aitbc", "type": "inference"}
    assert (job["config"]["prompts"], job["config"]["max_new_tokens"]) == (["When?"], 256)
    assert len(prefect.run_of(job["id"])) == 1
    assert shown["payload"] == {"type": "inference", "prompt": "When?", "model": "org/model"}
    assert (job["expires_at"], shown["expires_at"][:19]) == (shown["expires_at"], job["expires_at"][:19])


def test_the_same_job_id_is_one_job(ask: Ask) -> None:
    job_id = submitted(ask, job_id="mine")
    again = ask("POST", json=ASKED | {"job_id": "mine"})
    assert (again.status_code, again.json()["job_id"], job_id) == (200, "mine", "mine")
    other = ask("POST", json=ASKED | {"job_id": "mine", "payload": {"prompt": "Who?", "model": "org/model"}})
    assert other.status_code == 409


@pytest.mark.parametrize("kind", ["application/json", "application/x-www-form-urlencoded", "text/plain"])
def test_a_bare_prompt_is_enough_whatever_curl_calls_it(ask: Ask, yard: Office, kind: str) -> None:
    alias(yard, "production")
    answer = ask("POST", content=b'{"prompt": "test"}', headers={"Content-Type": kind})
    assert answer.status_code == 201, answer.text
    assert answer.json()["payload"]["model"] == "alias:production"


@pytest.mark.parametrize(
    ("named", "meant"),
    [
        ("gemma3-1b", "alias:gemma3-1b"),
        ("gemma3:1b", "alias:gemma3-1b"),
        ("alias:gemma3-1b", "alias:gemma3-1b"),
        ("org/model", "org/model"),
        ("file.gguf", "file.gguf"),
        ("pypi:p==1", "pypi:p==1"),
    ],
)
def test_a_model_is_an_alias_or_what_a_config_may_say(ask: Ask, yard: Office, named: str, meant: str) -> None:
    alias(yard, "gemma3-1b")
    job_id = submitted(ask, payload={"prompt": "p", "model": named})
    assert yard.job(job_id)["model"] == meant


def test_an_artifact_s_id_names_it(ask: Ask, yard: Office) -> None:
    made = {"name": "tuned", "uri": "u", "size_bytes": 1, "kind": "model"}
    artifact = yard.call("POST", "/api/v1/artifacts", yard.key("worker"), json=made).json()["id"]
    job_id = submitted(ask, payload={"prompt": "p", "model": artifact})
    assert yard.job(job_id)["model"] == f"artifact:{artifact}"


def test_a_model_that_is_not_there_is_told_which_are(ask: Ask, yard: Office) -> None:
    none = ask("POST", json={"prompt": "test"})
    assert (none.status_code, "there are no aliases yet" in none.json()["detail"]) == (409, True)
    alias(yard, "dates")
    alias(yard, "undone", None)
    wrong = ask("POST", json={"prompt": "test", "model": "gemma3:1b"})
    assert wrong.status_code == 409
    assert "no model 'gemma3:1b'" in wrong.json()["detail"]
    assert "the aliases are dates;" in wrong.json()["detail"]
    assert "none is called production" in ask("POST", json={"prompt": "test"}).json()["detail"]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", 400),
        (b"prompt=test", 400),
        (b"[]", 400),
        (b'{"prompt": ""}', 422),
        (b'{"payload": {}}', 422),
        (b'{"payload": "p"}', 422),
        (b'{"prompt": "p", "ttl_seconds": 0}', 422),
        (b'{"payload": {"prompt": "p"}, "ttl_seconds": "900"}', 422),
        (b'{"payload": {"prompt": "p", "model": "a/b", "colour": 1}, "payment_amount": 1}', 201),
    ],
)
def test_a_body_is_read_or_its_fault_named(ask: Ask, body: bytes, status: int) -> None:
    assert ask("POST", content=body).status_code == status


def answered(yard: Office, job_id: str) -> None:
    answer = {"prompt": "When?", "response": "2031-03-05", "input_tokens": 7, "output_tokens": 5}
    token = yard.claim(job_id)
    result = {"predictions": [answer | {"finish_reason": "stop"}]}
    assert yard.end(job_id, token, result=result).status_code == 200


def test_a_result_is_too_early_and_then_there(ask: Ask, yard: Office) -> None:
    job_id = submitted(ask)
    early = ask("GET", f"/{job_id}/result")
    assert (early.status_code, early.json()["detail"]) == (425, "job not ready")
    answered(yard, job_id)
    found = ask("GET", f"/{job_id}/result").json()
    assert (found["state"], found["text"], found["receipt"]) == ("completed", "2031-03-05", None)
    assert found["usage"] == {"prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12}
    assert found["result"]["predictions"][0]["prompt"] == "When?"
    shown = ask("GET", f"/{job_id}").json()
    assert (shown["state"], shown["result"]["text"]) == ("completed", "2031-03-05")
    assert shown["assigned_miner_id"] == RUN["host"]


def test_a_job_that_failed_has_a_result_that_says_so(ask: Ask, yard: Office) -> None:
    job_id = submitted(ask)
    yard.end(job_id, yard.claim(job_id), "failed", error="no memory")
    found = ask("GET", f"/{job_id}/result")
    assert (found.status_code, found.json()["state"]) == (200, "failed")
    assert (found.json()["error"], found.json()["result"]) == ("no memory", None)


def test_a_prompt_that_could_not_be_answered_says_why(ask: Ask, yard: Office) -> None:
    job_id = submitted(ask)
    result = {"predictions": [{"prompt": "When?", "error": "longer than the context"}]}
    yard.end(job_id, yard.claim(job_id), result=result)
    found = ask("GET", f"/{job_id}/result").json()
    assert (found["state"], found["text"], found["error"]) == ("completed", None, "longer than the context")


def test_a_cancelled_job_is_shown_so_at_once_and_cancelled_once(ask: Ask, yard: Office) -> None:
    waiting, working = submitted(ask), submitted(ask)
    token = yard.claim(working)
    for job_id in (waiting, working):
        assert ask("POST", f"/{job_id}/cancel").json()["state"] == "canceled"
        again = ask("POST", f"/{job_id}/cancel")
        assert (again.status_code, again.json()["detail"]) == (409, "job not cancelable")
    assert yard.job(working)["status"] == "cancelling"
    yard.end(working, token)
    assert ask("GET", f"/{working}").json()["state"] == "canceled"


def test_a_job_that_no_run_takes_in_time_expires(ask: Ask, yard: Office) -> None:
    job_id, taken = submitted(ask), submitted(ask)
    yard.claim(taken)
    created = now() - timedelta(seconds=901)
    for one in (job_id, taken):
        yard.moved(one, created_at=created, expires_at=created + timedelta(seconds=900))
    assert ask("GET", f"/{job_id}").json()["state"] == "expired"
    assert [one["job_id"] for one in ask("GET", "/history?status=expired").json()["items"]] == [job_id]
    claim = yard.call("POST", f"/api/v1/jobs/{job_id}/claim", yard.key("worker"), json=RUN)
    assert (claim.status_code, "within 900 s" in claim.json()["detail"]) == (409, True)
    job = yard.job(job_id)
    assert (job["status"], job["error"]) == ("failed", "It expired: no run took it within 900 s")
    assert ask("GET", f"/{job_id}").json()["state"] == "expired"
    assert ask("POST", f"/{job_id}/cancel").status_code == 409
    assert [one["job_id"] for one in ask("GET", "/history?status=expired").json()["items"]] == [job_id]
    assert ask("GET", "/history?status=failed").json()["items"] == []
    assert ask("GET", f"/{taken}").json()["state"] == "queued"


def test_closing_lost_jobs_ends_those_that_expired(ask: Ask, yard: Office) -> None:
    job_id = submitted(ask)
    yard.moved(job_id, expires_at=now())
    closed = yard.call("POST", "/api/v1/jobs/$close-lost", yard.key("worker"), json={"silent_seconds": 60})
    assert [(one["id"], one["status"]) for one in closed.json()] == [(job_id, "failed")]


def test_an_expired_job_that_is_resumed_waits_without_an_end(ask: Ask, yard: Office) -> None:
    job_id = submitted(ask)
    yard.moved(job_id, expires_at=now())
    assert ask("POST", f"/{job_id}/cancel").status_code == 409
    resumed = yard.call("POST", f"/api/v1/jobs/{job_id}/resume", yard.key("training"))
    assert (resumed.status_code, resumed.json()["expires_at"]) == (200, None)
    assert ask("GET", f"/{job_id}").json()["state"] == "queued"


def test_history_is_narrowed_by_state_type_and_time(ask: Ask, yard: Office) -> None:
    first = submitted(ask, payload={"prompt": "p", "model": "a/b", "type": "chat"})
    second = submitted(ask)
    yard.end(second, yard.claim(second), "failed")
    yard.moved(first, created_at=now() - timedelta(days=2))
    yard.new_job()

    def ids(query: str = "") -> list[str]:
        return [one["job_id"] for one in ask("GET", f"/history{query}").json()["items"]]

    assert ids() == [second, first]
    assert (ids("?limit=1"), ids("?limit=1&offset=1")) == ([second], [first])
    assert (ids("?status=queued"), ids("?status=pending"), ids("?status=failed")) == (
        [first],
        [first],
        [second],
    )
    assert ids("?status=cancelled") == ids("?status=running") == ids("?type=other") == []
    assert (ids("?type=chat"), ids("?type=inference")) == ([first], [second])
    yesterday = (now() - timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    assert (ids(f"?from_time={yesterday}"), ids(f"?to_time={yesterday}")) == ([second], [first])
    assert ask("GET", "/history?status=gone").status_code == 422


def test_only_submitted_prompts_of_one_s_own_workspace_are_there(ask: Ask, yard: Office) -> None:
    abroad, job_id, tuning = Office(yard.served).key("training"), submitted(ask), yard.new_job()
    for method, path in (("GET", ""), ("GET", "/result"), ("POST", "/cancel")):
        for missing, key in ((job_id, {"key": abroad}), (tuning, {}), ("none", {})):
            answer = ask(method, f"/{missing}{path}", **key)
            assert (answer.status_code, answer.json()["detail"]) == (404, "job not found")
    assert ask("GET", "/history", key=abroad).json()["total"] == 0


def test_a_refused_key_reads_the_coordinator_s_words(ask: Ask) -> None:
    answer = ask("GET", "/history", key="wak_nonsense")
    assert (answer.status_code, answer.json()["detail"]) == (401, "invalid api key")
    assert answer.json()["error"] == "Invalid API key"


def test_a_key_for_production_may_ask_what_is_kept_and_a_miner_s_may_not(ask: Ask, yard: Office) -> None:
    key = yard.key("production")
    assert ask("POST", json=ASKED, key=key).status_code == 403  # a hub id: the host would have to fetch it
    made = {"name": "m", "uri": "/m", "size_bytes": 1}
    kept = yard.call("POST", "/api/v1/artifacts", yard.key("worker"), json=made).json()["id"]
    assert ask("POST", json={"prompt": "When?", "model": kept}, key=key).status_code == 201
    assert "predictions:write" not in ROLES["miner"]
    assert ask("POST", json=ASKED, key=yard.key("monitoring")).status_code == 403
