"""What /openapi.json shows is what the API takes and gives, and every operation says what it is."""

from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from api.openapi_examples import ANSWERED, ASKED
from api.openapi_words import TAGS
from tests.api_fixtures import Office, Served

HERE = "urn:openapi"
MAIN = [
    ("post", "/api/v1/jobs"),
    ("get", "/api/v1/jobs"),
    ("get", "/api/v1/jobs/{job_id}"),
    ("post", "/api/v1/jobs/{job_id}/claim"),
    ("post", "/api/v1/jobs/{job_id}/metrics"),
    ("post", "/api/v1/jobs/{job_id}/end"),
    ("post", "/api/v1/ml/$train"),
    ("post", "/api/v1/ml/$test"),
    ("post", "/api/v1/ml/$validate"),
    ("post", "/api/v1/test-suites"),
    ("post", "/api/v1/batch-tests/compare"),
    ("get", "/api/v1/batch-tests/{job_id}"),
    ("post", "/api/v1/aliases/{name}/promote"),
    ("get", "/api/v1/artifacts/{artifact_id}"),
    ("get", "/api/v1/datasets/{dataset_id}"),
    ("get", "/api/v1/gpus"),
    ("post", "/api/v1/api-keys"),
    ("get", "/api/v1/api-keys/{key_id}"),
    ("post", "/api/v1/auth/login"),
    ("get", "/health"),
]
BY_OTHER_SHAPES = {"Claimed", "Comparison", "OpenedSession", "Started"}  # each holds one that is shown


@pytest.fixture
def document(sqlite_served: Served) -> dict[str, Any]:
    return sqlite_served.app.openapi()


def references(value: Any) -> set[str]:
    if isinstance(value, list):
        return {name for item in value for name in references(item)}
    if isinstance(value, dict):
        here = {str(value["$ref"]).rpartition("/")[2]} if "$ref" in value else set()
        return here | {name for item in value.values() for name in references(item)}
    return set()


def test_every_example_is_as_its_schema_says(document: dict[str, Any]) -> None:
    registry = Registry().with_resource(HERE, Resource(contents=document, specification=DRAFT202012))
    shown = 0
    for name, schema in document["components"]["schemas"].items():
        reference = {"$ref": f"{HERE}#/components/schemas/{name}"}
        for example in schema.get("examples", ()):
            Draft202012Validator(reference, registry=registry).validate(example)
            shown += 1
    assert shown >= len(ASKED) + len(ANSWERED)


@pytest.mark.parametrize(("method", "path"), MAIN)
def test_the_main_routes_show_what_they_take_and_give(
    document: dict[str, Any], method: str, path: str
) -> None:
    operation = document["paths"][path][method]
    given = [answer for status, answer in operation["responses"].items() if status < "3"]
    for part in (operation.get("requestBody", ()), *given):
        names = references(part) - BY_OTHER_SHAPES
        schemas = document["components"]["schemas"]
        assert not part or not names or [name for name in names if schemas[name].get("examples")], (
            names,
            part,
        )


def test_every_operation_says_what_it_is_and_where_it_belongs(document: dict[str, Any]) -> None:
    used = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation.get("summary"), (method, path)
            assert operation.get("description"), (method, path)
            assert operation.get("tags"), (method, path)
            used |= set(operation["tags"])
    assert set(TAGS) <= used


def test_what_is_shown_to_be_sent_is_taken(office: Office) -> None:
    """Sent as it stands there, each is answered; a job and a suite are made of it."""
    admin = office.key("admin", "training", "testing", "worker")
    shapes = office.call("GET", "/openapi.json").json()["components"]["schemas"]
    for path, name in (("jobs", "NewJob"), ("test-suites", "NewSuite"), ("api-keys", "NewApiKey")):
        answer = office.call("POST", f"/api/v1/{path}", admin, json=shapes[name]["examples"][0])
        assert answer.status_code == 201, answer.text
    job, token = office.claimed_job()
    for name in ("MetricPoint", "MetricBatch"):
        body = shapes[name]["examples"][0]
        assert office.call("POST", f"/api/v1/jobs/{job}/metrics", token, json=body).status_code == 200
