"""Where there is nothing, whoever may come in is told what is near."""

from __future__ import annotations

import pytest

from api.nearest import ELSEWHERE, MOST, Endpoint, nearest
from tests.api_fixtures import Office
from tests.sdk_fixtures import config_home as config_home
from tuneyard import Client
from tuneyard.errors import NotFound


def ask(office: Office, method: str, path: str) -> tuple[int, list[str], str]:
    answer = office.call(method, path, office.key("training"))
    body = answer.json()
    found = [f"{one['method']} {one['path']}" for one in body.get("nearest", ())]
    assert all(one in body["detail"] for one in found)
    return answer.status_code, found, body["detail"]


@pytest.mark.parametrize(
    ("method", "path", "first"),
    [
        ("GET", "/api/v1/job", "GET /api/v1/jobs"),
        ("POST", "/api/v1/job", "POST /api/v1/jobs"),
        ("GET", "/api/v1/jobs/", "GET /api/v1/jobs"),
        ("GET", "/jobs", "GET /api/v1/jobs"),
        ("GET", "/api/v1/job/17", "GET /api/v1/jobs/{job_id}"),
        ("GET", "/api/v1/jobs/17/metrcs", "GET /api/v1/jobs/{job_id}/metrics"),
        ("DELETE", "/api/v1/jobs/17/Metrics", "GET /api/v1/jobs/{job_id}/metrics"),
        ("POST", "/api/v1/ml/train", "POST /api/v1/ml/$train"),
        ("GET", "/v1/agents/workflows", "POST /api/v1/ml/$pipeline"),
        ("POST", "/v1/agents/workflows/7", "POST /api/v1/ml/$pipeline"),
        ("POST", "/v1/swarm/join", "POST /api/v1/ml/$train"),
    ],
)
def test_the_nearest_endpoint_is_named(office: Office, method: str, path: str, first: str) -> None:
    status, found, _ = ask(office, method, path)
    assert (status, found[0], len(found) <= MOST) == (404, first, True)


def test_what_is_called_otherwise_here_is_said_in_words(office: Office) -> None:
    assert "a pipeline here" in ask(office, "GET", "/v1/agents/workflows")[2]
    assert "a sweep here" in ask(office, "GET", "/v1/swarm/status")[2]


def test_only_what_is_described_is_named(office: Office) -> None:
    paths = office.call("GET", "/openapi.json").json()["paths"]
    words = [f"/{a}/{b}" for a in ("x", "api/v1", "v1", "é%00", "api") for b in ("jbos", "xyz", "a" * 500)]
    for path in ["/nothing", *words, "/" + "a/" * 99]:
        status, found, _ = ask(office, "GET", path)
        assert status == 404
        assert found
        for one in found:
            method, _, template = one.partition(" ")
            assert method.lower() in paths[template]
    for _, endpoint in ELSEWHERE.values():
        assert endpoint.method.lower() in paths[endpoint.path]


def test_nobody_is_told_what_is_near(office: Office) -> None:
    answer = office.call("GET", "/api/v1/job")
    assert (answer.status_code, "nearest" in answer.json(), "jobs" in answer.text) == (401, False, False)


def test_a_method_that_is_not_there_is_no_unknown_path(office: Office) -> None:
    answer = office.call("DELETE", "/api/v1/jobs", office.key("training"))
    assert (answer.status_code, answer.headers["Allow"], "nearest" in answer.json()) == (
        405,
        "GET, POST",
        False,
    )


def test_an_object_that_is_missing_is_no_unknown_path(office: Office) -> None:
    answer = office.call("GET", "/api/v1/jobs/none", office.key("training"))
    assert (answer.status_code, "nearest" in answer.json()) == (404, False)


def test_the_sdk_s_error_names_them(office: Office, config_home: object) -> None:
    with Client(office.served.url, office.key("training")) as client, pytest.raises(NotFound) as caught:
        client._wire.tell("GET", "/api/v1/job")
    assert caught.value.nearest[0] == "GET /api/v1/jobs"
    assert "GET /api/v1/jobs" in str(caught.value)
    with Client(office.served.url, office.key("training")) as client, pytest.raises(NotFound) as caught:
        client.jobs.get("none")
    assert caught.value.nearest == []


def test_a_name_that_is_spelt_right_goes_before_a_place_for_any() -> None:
    served = [Endpoint("GET", "/a/{x}"), Endpoint("GET", "/a/b/c"), Endpoint("GET", "/a/bb")]
    assert nearest("GET", "/a/bbb", served)[0].path == "/a/bb"
    assert nearest("GET", "/a/zzz/y", served)[0].path == "/a/{x}"
