"""What /openapi.json says is so: Schemathesis asks every route for everything it describes, and for what it does not.

Its command line is run as anybody would, with all its checks and no configuration.
"""

from __future__ import annotations

import logging
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from jsonschema import Draft202012Validator
from pydantic import SecretStr

from api.settings import Settings
from tests.api_fixtures import Office, Served, served
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import prefect_server as prefect_server

SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")
ADMIN = "an-admin-s-key-that-no-route-can-revoke"
# The same operations are under /api/v1 as well; a refused log-in takes a quarter of a second; kept configs and
# pipelines are made of the forms of $train and $test, which are asked.
# What these two answer before and after a job's end is 425 and 400 in their systems: a refusal of a request that is as
# it should be, which Schemathesis does not know.
TOO_EARLY_OR_LATE = r"^/v1/jobs/[^/]+/result$|^/api/batch-testing/cancel$"
TWICE_OR_LONG = TOO_EARLY_OR_LATE + r"|^/api-keys|auth/login|signin|/configs|\$pipeline|\$stream$"
# Each dialect's routes call what the canonical ones call: the short round asks them less.
DIALECTS = r"^/(v1|auth|training|api/(training|batch-testing|test-suites|user))/"
SHORT = ["--exclude-path-regex", TWICE_OR_LONG]
ENDLESS = ["--exclude-path-regex", rf"\$stream$|{TOO_EARLY_OR_LATE}"]  # its answers end with their jobs


def unlimited(home: Path, prefect: StandIn, database: str | None = None) -> Settings:
    """What the API is asked here is more than its limits let through."""
    return Settings(
        tuneyard_home=home,
        database_url=SecretStr(database) if database else None,
        admin_api_keys=SecretStr(ADMIN),
        api_rate_limit_per_key=1_000_000,
        api_rate_limit_failures=1_000_000,
        prefect_api_url=prefect.url,
    )


@pytest.fixture(scope="module")
def asked(prefect_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(unlimited(tmp_path_factory.mktemp("asked"), prefect_server)) as running:
        yield running


@pytest.fixture(scope="module")
def asked_on_postgres(
    prefect_server: StandIn, postgres_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    with served(unlimited(tmp_path_factory.mktemp("asked"), prefect_server, postgres_url)) as running:
        yield running


def ask(api: Served, key: str | None, folder: Path, *options: str) -> None:
    """Let Schemathesis ask, and demand that it finds nothing and that nothing fails inside."""
    log = folder / "errors.log"
    handler = logging.FileHandler(log, delay=True)
    handler.setLevel(logging.ERROR)
    logging.getLogger("tuneyard.api").addHandler(handler)
    header = ["-H", f"X-API-Key: {key}"] if key else []
    words = [
        str(SCHEMATHESIS),
        "run",
        f"{api.url}/openapi.json",
        "--checks",
        "all",
        "--seed",
        "1",
        "--no-color",
    ]
    done = subprocess.run(
        [*words, *header, *options], cwd=folder, capture_output=True, text=True, check=False
    )
    logging.getLogger("tuneyard.api").removeHandler(handler)
    handler.close()
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr
    assert not log.exists(), log.read_text()
    print(done.stdout[done.stdout.index("Test cases:") :])


def test_an_admin_s_requests_are_answered_as_described(asked: Served, tmp_path: Path) -> None:
    canonical = ["--exclude-path-regex", f"{TWICE_OR_LONG}|{DIALECTS}"]
    ask(asked, ADMIN, tmp_path, "--phases", "coverage", *canonical)


def test_an_admin_s_requests_in_others_words_are_answered_as_described(asked: Served, tmp_path: Path) -> None:
    dialects = ["--include-path-regex", DIALECTS, *SHORT]
    ask(asked, ADMIN, tmp_path, "--phases", "fuzzing", "-n", "10", *dialects)


def test_nobody_s_requests_are_answered_as_described(asked: Served, tmp_path: Path) -> None:
    ask(asked, None, tmp_path, "--phases", "fuzzing", "-n", "2", *SHORT)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("who", ["admin", "all", "nobody"])
def test_hundreds_of_requests_to_each_route_are_answered_as_described(
    asked: Served, tmp_path: Path, who: str
) -> None:
    key = {"admin": ADMIN, "all": Office(asked).key("all"), "nobody": None}[who]
    ask(asked, key, tmp_path, "-n", "300", "--continue-on-failure", *ENDLESS)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_postgresql_keeps_what_is_described(asked_on_postgres: Served, tmp_path: Path) -> None:
    ask(asked_on_postgres, ADMIN, tmp_path, "--continue-on-failure", *ENDLESS)


@pytest.fixture
def document(sqlite_served: Served) -> dict[str, Any]:
    return sqlite_served.app.openapi()


def test_the_description_is_openapi_3_1_of_this_version(document: dict[str, Any], office: Office) -> None:
    assert office.call("GET", "/openapi.json").json() == document
    assert (document["openapi"], document["info"]["version"]) == ("3.1.0", version("tuneyard"))
    for schema in document["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    for reference in _references(document):
        _, *way = reference.split("/")
        found = document
        for part in way:
            found = found[part]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
    if isinstance(value, dict):
        for name, item in value.items():
            if name == "$ref" and isinstance(item, str):
                yield item
            else:
                yield from _references(item)


def operations(app: FastAPI) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    """Each route that is described, its method, and what is said of it."""
    paths = app.openapi()["paths"]
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute) and route.include_in_schema:
            for method in route.methods or ():
                yield route, method, paths[route.path_format][method.lower()]


def test_every_route_says_how_it_may_refuse(sqlite_served: Served) -> None:
    for route, method, operation in operations(sqlite_served.app):
        said = {int(status) for status in operation["responses"]}
        expected = {503}
        if "security" in operation:
            expected |= {401, 403, 429}
        if "{" in route.path:
            expected |= {404}
        if method != "GET":
            expected |= {409}
        if route.body_field or operation.get("parameters"):
            expected |= {422}
        assert expected <= said, (method, route.path, expected - said)
        for status in said - {200, 201, 202, 204, 206, 304, 503}:
            assert operation["responses"][str(status)] == {
                "$ref": f"#/components/responses/Problem{status}"
            }, (method, route.path, status)


def test_only_what_is_for_anybody_needs_no_key(document: dict[str, Any]) -> None:
    public = {
        path
        for path, methods in document["paths"].items()
        if any("security" not in operation for operation in methods.values())
    }
    signing_in = {"/api/v1/auth/login", "/auth/login", "/auth/signin", "/signin"}
    assert public == {"/", "/health"} | signing_in


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/api/v1/jobs", "GET, POST"),
        ("/api/v1/jobs/j/metrics", "GET, POST, PUT"),
        ("/api-keys/permission-sets", "GET"),
        ("/api/training/local/metrics", "GET, POST"),
    ],
)
def test_a_method_that_is_not_served_is_told_which_are(office: Office, path: str, allowed: str) -> None:
    for method in ("OPTIONS", "TRACE", "DELETE"):
        answer = office.call(method, path)
        assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)


def test_an_empty_key_is_no_absent_one(office: Office) -> None:
    """It decides alone, as any other key that is wrong: what comes beside it is not looked at."""
    good, (job_id, token) = office.key("worker"), office.claimed_job()
    for secret, method, path in (
        (good, "GET", "/jobs"),
        (token, "PATCH", f"/jobs/{job_id}"),
        (token, "POST", "/datasets"),
    ):
        headers = {"X-API-Key": "", "Authorization": f"Bearer {secret}"}
        assert office.call(method, f"/api/v1{path}", headers=headers, json={}).status_code == 401


def test_a_broken_body_is_no_empty_one(office: Office) -> None:
    """Also where every field may be left out."""
    admin, (job_id, token) = office.key("admin"), office.claimed_job()
    key = office.call("POST", "/api-keys", admin, json={"name": "n", "scopes": ["training"]}).json()["id"]
    for body in (b"{", b'{"a": "\\u0000"}', b"\xff"):
        given: dict[str, Any] = {"content": body, "headers": {"Content-Type": "application/json"}}
        for method, path in (("PUT", ""), ("POST", "/extend"), ("POST", "/rotate")):
            answer = office.call(method, f"/api-keys/{key}{path}", admin, **given)
            assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "body")
        assert office.call("PATCH", f"/api/v1/jobs/{job_id}", token, **given).status_code == 422


@pytest.mark.parametrize("steps", ["5", True, 1.5, 2**53 + 1, -1])
def test_only_a_whole_number_that_every_reader_keeps_counts(office: Office, steps: Any) -> None:
    body = {"model": "m", "total_steps": steps}
    answer = office.call("POST", "/api/v1/jobs", office.key("worker"), json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "total_steps")


@pytest.mark.parametrize(
    "moment", [0, "0", 1.5e9, "2026-11-21", "noon", "0001-01-01T00:00:00Z", "9999-12-31T00:00:00Z"]
)
def test_a_time_is_written_out(office: Office, moment: Any) -> None:
    body = {"samples": [{"host": "h", "taken_at": moment}]}
    answer = office.call("POST", "/api/v1/gpus/samples", office.key("worker"), json=body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "samples.0.taken_at")


@pytest.mark.parametrize(
    ("grace", "taken"),
    [
        *((grace, True) for grace in ("2592000s", "43200m", "720h", "30d", "0s")),
        *((grace, False) for grace in ("2592001s", "43201m", "721h", "31d", "007d", "1d\n", "1w")),
    ],
)
def test_a_grace_is_at_most_thirty_days(office: Office, grace: str, taken: bool) -> None:
    admin = office.key("admin")
    key = office.call("POST", "/api-keys", admin, json={"name": "n", "scopes": ["training"]}).json()["id"]
    answer = office.call("POST", f"/api-keys/{key}/rotate", admin, json={"grace": grace})
    assert answer.status_code == (201 if taken else 422), answer.text
