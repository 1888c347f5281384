"""Predictions that are asked for: in the words of clients that know rows, and in ours; and what comes of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from api import tables
from deployments.local_stack import Stack
from tests.api_fixtures import Office
from tests.deployed import until
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard
from tuneyard.batch_configs import PredictConfig
from tuneyard.shapes import Started

ML, ARTIFACTS = "/api/v1/ml", "/api/v1/artifacts"
TRAIN, PREDICT, VALIDATE = f"{ML}/$train", f"{ML}/$predict", f"{ML}/$validate"
TABLE = {"columns": ["a", "b"], "data": [[1, 2], [3, 4.5]]}
GONE = "01K7CXYHJ7BR4E87VVTG8FNBMC"  # an id as we make them, of nothing
ONE = {"name": "m", "uri": "/m", "size_bytes": 1}
FITTED = {"kind": "tabular", "details": {"features": ["a"]}}


def new_config(office: Office, **fields: Any) -> str:
    body = {"kind": "tabular", "name": "secure_disease_model", "data": {}} | fields
    answer = office.call("POST", "/api/v1/configs", office.key("training"), json=body)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def new_model(office: Office, **fields: Any) -> str:
    answer = office.call("POST", ARTIFACTS, office.key("worker"), json=ONE | FITTED | fields)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def asked(office: Office, path: str, body: dict[str, Any], scope: str = "training") -> Any:
    return office.call("POST", path, office.key(scope), json=body)


def rows_of(office: Office, named: str) -> str:
    dataset = named.removeprefix("dataset:")
    answer = office.call("GET", f"/api/v1/datasets/{dataset}/$download", office.key("training"))
    assert answer.status_code == 200, answer.text
    return str(answer.text)


@pytest.mark.parametrize("path", [TRAIN, f"{ML}/%24train"])
def test_rows_that_come_with_a_request_are_kept_and_trained_on(
    yard: Office, prefect: StandIn, path: str
) -> None:
    config_id = new_config(yard)
    answer = asked(yard, path, {"config_id": config_id, "data": TABLE, "geo": {"type": "FeatureCollection"}})
    job = answer.json()
    assert (answer.status_code, job["status"], job["message"]) == (202, "pending", "Training job submitted")
    assert job["job_id"] == job["id"] != job["model_artifact_id"] == job["artifact_id"]
    assert (job["kind"], job["config_id"], job["name"]) == ("tabular", config_id, "secure_disease_model")
    [run] = prefect.run_of(job["id"])
    assert run["deployment_id"] == prefect.deployments["tabular/gpu"]
    assert run["parameters"]["config"]["dataset"] == job["dataset"]
    assert rows_of(yard, job["dataset"]) == '{"a": 1, "b": 2}\n{"a": 3, "b": 4.5}\n'
    listed = yard.call("GET", "/api/v1/datasets", yard.key("training")).json()["items"]
    assert [(one["name"], one["rows"]) for one in listed] == [("secure_disease_model", 2)]


def test_a_fine_tune_s_rows_may_come_with_it(yard: Office, prefect: StandIn) -> None:
    data = {"columns": ["prompt", "completion"], "data": [["a", "b"]]}
    body = {"config": {"model": "org/base", "dataset": "d.jsonl"}, "data": data, "id": "t-1"}
    job = asked(yard, TRAIN, body).json()
    assert (job["kind"], job["dataset"][:8]) == ("finetune", "dataset:")
    assert rows_of(yard, job["dataset"]) == '{"prompt": "a", "completion": "b"}\n'
    again = asked(yard, TRAIN, body)
    assert (again.status_code, again.json()["artifact_id"]) == (200, job["artifact_id"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"columns": ["a", "b"], "data": [[1, 2], [3]]}, "row 2 has 1 cells, and there are 2 columns"),
        ({"columns": ["a", "a"], "data": []}, "the column 'a' is named twice"),
    ],
)
def test_rows_that_are_no_table_are_refused_before_anything_is_kept(
    yard: Office, prefect: StandIn, data: dict[str, Any], said: str
) -> None:
    model = new_model(yard)
    for path, body in (
        (TRAIN, {"config_id": new_config(yard), "data": data}),
        (PREDICT, {"model_artifact_id": model, "future": data}),
        (PREDICT, {"artifact_id": model, "future": TABLE, "historic": data}),
    ):
        answer = asked(yard, path, body)
        assert (answer.status_code, answer.json()["detail"]) == (409, said)
    assert yard.call("GET", "/api/v1/datasets", yard.key("training")).json()["total"] == 0
    assert not prefect.asked


def test_training_that_lacks_its_config_or_its_rows_is_refused(yard: Office, prefect: StandIn) -> None:
    for config_id, status in ((GONE, 400), ("gone", 404)):
        unknown = asked(yard, TRAIN, {"config_id": config_id, "data": TABLE})
        assert (unknown.status_code, unknown.json()["detail"]) == (status, "Config not found")
        assert asked(yard, TRAIN, {"config_id": config_id}).status_code == 404
    without = asked(yard, TRAIN, {"config_id": new_config(yard)})
    assert (without.status_code, without.json()["errors"][0]["field"]) == (409, "config.dataset")
    for config, field in (({"method": "tabular", "targe": 1}, "targe"), ({"dataset": "d"}, "model")):
        wrong = asked(yard, TRAIN, {"config": config})
        assert (wrong.status_code, wrong.json()["errors"][0]["field"]) == (422, f"config.{field}")
    assert not prefect.asked


@pytest.mark.parametrize("word", ["model_artifact_id", "artifact_id"])
def test_rows_are_predicted_by_a_model_named_in_either_word(
    yard: Office, prefect: StandIn, word: str
) -> None:
    model = new_model(yard)
    body = {word: model, "historic": {"columns": ["a"], "data": []}, "future": TABLE, "geo": None}
    answer = asked(yard, PREDICT, body, "production")
    job = answer.json()
    assert (answer.status_code, job["status"], job["message"]) == (202, "pending", "Prediction job submitted")
    assert job["prediction_artifact_id"] == job["artifact_id"] != job["model_artifact_id"] is None
    [run] = prefect.run_of(job["id"])
    assert run["deployment_id"] == prefect.deployments["predict/gpu"]
    assert run["parameters"]["config"]["model"] == f"artifact:{model}"
    assert rows_of(yard, job["dataset"]) == '{"a": 1, "b": 2}\n{"a": 3, "b": 4.5}\n'


def test_no_row_to_predict_keeps_its_columns(yard: Office, prefect: StandIn) -> None:
    future = {"columns": ["a", 'say "b", please'], "data": []}
    job = asked(yard, PREDICT, {"artifact_id": new_model(yard), "future": future}).json()
    assert rows_of(yard, job["dataset"]) == '"a","say ""b"", please"\n'


def test_what_is_no_model_predicts_nothing(yard: Office, prefect: StandIn) -> None:
    report = new_model(yard, kind="report")
    missing, other = "is not recorded here", "is a report, not a model"
    for model, status, said in ((GONE, 400, missing), ("gone", 404, missing), (report, 400, other)):
        answer = asked(yard, PREDICT, {"model_artifact_id": model, "future": TABLE})
        assert answer.status_code == status
        assert said in answer.json()["detail"]
        answer = asked(yard, PREDICT, {"config": {"model": f"artifact:{model}", "prompts": ["a"]}})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "config.model")
    both = {"model_artifact_id": report, "artifact_id": report, "future": TABLE}
    assert asked(yard, PREDICT, both).status_code == 422
    assert not prefect.asked


def test_a_prediction_is_asked_for_by_a_config_or_one_that_is_kept(yard: Office, prefect: StandIn) -> None:
    data = {"model": "org/base", "prompts": ["Hello", [{"role": "user", "content": "Hi"}]]}
    config_id = new_config(yard, kind="predict", name="greet", data=data)
    for body in ({"config": data, "id": "p-1"}, {"config_id": config_id}):
        job = asked(yard, PREDICT, body).json()
        assert (job["kind"], job["model"]) == ("predict", "org/base")
        assert job["config"]["prompts"] == data["prompts"]
    assert asked(yard, PREDICT, {"config": data, "id": "p-1"}).status_code == 200
    for config in ({"model": "m"}, data | {"dataset": "d"}):
        assert asked(yard, PREDICT, {"config": config}).status_code == 422
    assert asked(yard, PREDICT, {"config_id": new_config(yard)}).status_code == 409


@pytest.mark.parametrize(
    ("kind", "config"),
    [("tabular", {"dataset": "d.csv"}), ("predict", {"model": "m", "prompts": ["a"]})],
)
def test_configs_of_tables_and_predictions_are_looked_at_without_a_run(
    yard: Office, prefect: StandIn, kind: str, config: dict[str, Any]
) -> None:
    good = asked(yard, VALIDATE, {"kind": kind, "config": config}).json()
    assert (good["valid"], good["diagnostics"]) == (True, [])
    bad = asked(yard, VALIDATE, {"kind": kind, "config": config | {"modle": "m"}}).json()
    assert (bad["valid"], bad["diagnostics"][0]["field"]) == (False, "modle")


def test_who_may_only_predict_sees_predictions_alone(yard: Office, prefect: StandIn) -> None:
    key = yard.key("production")
    trained = asked(yard, TRAIN, {"config_id": new_config(yard), "data": TABLE}).json()["id"]
    mine = asked(yard, PREDICT, {"artifact_id": new_model(yard), "future": TABLE}).json()["id"]
    assert yard.call("GET", f"/api/v1/jobs/{mine}", key).json()["kind"] == "predict"
    hidden = yard.call("GET", f"/api/v1/jobs/{trained}", key)
    missing = yard.call("GET", "/api/v1/jobs/gone", key)
    assert (hidden.status_code, hidden.json()["detail"]) == (404, missing.json()["detail"])
    assert yard.call("GET", "/api/v1/jobs", key).status_code == 403
    assert yard.call("POST", TRAIN, key, json={}).status_code == 403


@pytest.mark.parametrize(
    "named",
    [
        {"model": "/models/secret", "prompts": ["hi"]},
        {"model": "endpoint:gpt", "prompts": ["hi"]},
        {"model": "alias:production", "dataset": "/etc/passwd"},
        {"model": "artifact:x", "dataset": "https://127.0.0.1/rows.jsonl"},
    ],
)
def test_who_may_only_predict_names_nothing_by_its_path(
    yard: Office, prefect: StandIn, named: dict[str, Any]
) -> None:
    assert asked(yard, PREDICT, {"config": named}, "production").status_code == 403
    assert not prefect.asked


def test_what_a_job_makes_has_the_id_that_was_said_also_the_second_time(any_office: Office) -> None:
    job_id, token = any_office.claimed_job()
    promised = any_office.job(job_id)["artifact_id"]
    first = any_office.call("POST", ARTIFACTS, token, json=ONE | {"id": promised})
    assert (first.status_code, first.json()["id"]) == (201, promised)
    token = any_office.claim(job_id)
    second = any_office.call("POST", ARTIFACTS, token, json=ONE | {"id": promised, "details": {"steps": 2}})
    assert (second.status_code, second.json()["details"]) == (200, {"steps": 2})
    seen = any_office.call("GET", f"{ARTIFACTS}/{promised}", any_office.key("training")).json()
    assert (seen["details"], seen["job_id"]) == ({"steps": 2}, job_id)
    third = any_office.call("POST", ARTIFACTS, token, json=ONE | {"id": promised, "kind": "adapter"})
    assert (third.status_code, third.json()["kind"]) == (200, "adapter")
    child = any_office.call(
        "POST", ARTIFACTS, token, json=ONE | {"name": "child", "parent_id": promised}
    ).json()
    for changed in ({"kind": "report"}, {"kind": "adapter", "parent_id": child["id"]}):
        other = any_office.call("POST", ARTIFACTS, token, json=ONE | {"id": promised} | changed)
        assert other.status_code == 409
    unnamed = any_office.call("POST", ARTIFACTS, token, json=ONE | {"name": "more"}).json()
    assert (unnamed["id"] != promised, unnamed["job_id"]) == (True, job_id)


def test_an_id_that_another_job_was_promised_is_taken(any_office: Office) -> None:
    promised = any_office.job(any_office.new_job())["artifact_id"]
    _, token = any_office.claimed_job()
    for who in (token, any_office.key("worker")):
        answer = any_office.call("POST", ARTIFACTS, who, json=ONE | {"id": promised})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "id")
    body = {"model": "m", "artifact_id": promised}
    assert any_office.call("POST", "/api/v1/jobs", any_office.key("worker"), json=body).status_code == 409
    mine = {"model": "m", "artifact_id": "mine", "flow_run_id": "run-1"}
    made = [any_office.call("POST", "/api/v1/jobs", any_office.key("worker"), json=mine) for _ in range(2)]
    assert [answer.status_code for answer in made] == [201, 200]
    token = any_office.claim(made[0].json()["id"])
    assert any_office.call("POST", ARTIFACTS, token, json=ONE).json()["id"] == "mine"
    again = any_office.call("POST", "/api/v1/jobs", any_office.key("worker"), json=mine)
    assert (again.status_code, again.json()["artifact_id"]) == (200, "mine")
    other = mine | {"flow_run_id": "run-2"}
    refused = any_office.call("POST", "/api/v1/jobs", any_office.key("worker"), json=other)
    assert refused.status_code == 409
    listed = any_office.call("GET", "/api/v1/jobs?flow_run_id=run-2", any_office.key("worker"))
    assert listed.json()["total"] == 0


def test_what_is_made_with_a_kept_config_belongs_to_it(any_office: Office) -> None:
    config_id = new_config(any_office)
    _, token = any_office.claimed_job(config_id=config_id)
    made = any_office.call("POST", ARTIFACTS, token, json=ONE).json()["id"]
    with any_office.served.database.reading() as session:
        link = session.exec(
            select(tables.ConfigArtifact).where(tables.ConfigArtifact.workspace_id == any_office.workspace_id)
        ).one()
        artifact = session.get_one(tables.Artifact, link.artifact_pk)
        assert (artifact.id, session.get_one(tables.Config, link.config_pk).id) == (made, config_id)
    key = any_office.key("training")
    assert any_office.call("DELETE", f"/api/v1/configs/{config_id}", key).status_code == 204
    assert any_office.call("GET", f"{ARTIFACTS}/{made}", key).status_code == 200


@pytest.fixture(scope="module")
def greeted(stack: Stack, tiny_model: Path) -> dict[str, Any]:
    """A language model's answers to prompts, and to rows with a column of them."""
    config = PredictConfig.model_validate(
        {
            "model": str(tiny_model),
            "prompts": ["Say 1", [{"role": "user", "content": "Say 2"}]],
            "max_new_tokens": 4,
        }
    )
    with stack.client("admin") as desk:
        asked: Started = desk.jobs.predict(config, "greet")
        until(lambda: desk.jobs.get(asked.job_id).ended_at)
        return {"job": desk.jobs.get(asked.job_id), "made": desk.artifacts.get(asked.artifact_id or "")}


def test_a_language_model_answers_prompts_and_chats_in_their_order(greeted: dict[str, Any]) -> None:
    job, made = greeted["job"], greeted["made"]
    assert (job.status, job.error, job.kind, job.total_steps) == ("completed", None, "predict", 2)
    assert [one["prompt"] for one in job.result["predictions"]] == ["Say 1", "user: Say 2"]
    for one in job.result["predictions"]:
        assert isinstance(one["response"], str)
        assert (one["input_tokens"] > 0, 0 < one["output_tokens"] <= 4) == (True, True)
        assert one["finish_reason"] in ("stop", "length")
    assert (made.kind, made.parent_id, made.details["predictions"]) == (
        "predictions",
        None,
        job.result["predictions"],
    )
    assert json.loads((Path(made.uri) / "predictions.json").read_text()) == job.result["predictions"]
    assert job.result["decoding"]["max_new_tokens"] == 4
