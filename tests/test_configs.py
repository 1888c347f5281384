"""Configs that are kept: checked field by field, found by tag, changed, deleted, and asked for work with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.api_fixtures import Office
from tests.cli_fixtures import Terminal
from tests.cli_fixtures import terminal as terminal
from tests.people_fixtures import events
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard
from tests.sdk_fixtures import config_home as config_home
from tuneyard.client import Client
from tuneyard.configs import FinetuneConfig, MergeConfig
from tuneyard.errors import NotFound
from tuneyard.shapes import NewFinetuneConfig, NewMergeConfig

CONFIGS, TRAIN, MERGE, VALIDATE = (
    f"/api/v1/{path}" for path in ("configs", "ml/$train", "ml/$merge", "ml/$validate")
)
DATA = {"model": "org/base", "dataset": "d.jsonl", "epochs": 2}
FULL = FinetuneConfig.model_validate(DATA).model_dump(mode="json")


def keep(office: Office, **body: Any) -> httpx.Response:
    return office.call("POST", CONFIGS, office.key("training"), json={"name": "dates", "data": DATA} | body)


def kept(office: Office, **body: Any) -> dict[str, Any]:
    answer = keep(office, **body)
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json()
    return found


def artifact(office: Office, **body: Any) -> str:
    new = {"kind": "adapter", "name": "a", "uri": "/a", "size_bytes": 1} | body
    answer = office.call("POST", "/api/v1/artifacts", office.key("worker"), json=new)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def test_a_config_is_kept_as_it_was_given(any_office: Office) -> None:
    made = kept(any_office, tags=["nightly"])
    assert (made["kind"], made["name"], made["data"], made["tags"]) == (
        "finetune",
        "dates",
        DATA,
        ["nightly"],
    )
    assert len(made["id"]) == 26
    key = any_office.key("training")
    assert any_office.call("GET", f"{CONFIGS}/{made['id']}", key).json() == made
    assert [event.object_id for event in events(any_office, "config.created")] == [made["id"]]


def test_a_client_s_own_id_is_taken_and_the_same_again_is_one_config(any_office: Office) -> None:
    assert kept(any_office, id="dates-1")["id"] == "dates-1"
    assert keep(any_office, id="dates-1").status_code == 200
    assert keep(any_office, id="dates-1", name="other").status_code == 409
    assert keep(any_office, id="no/id").json()["errors"][0]["field"] == "id"
    assert any_office.call("GET", CONFIGS, any_office.key("training")).json()["total"] == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"data": {"model": "m"}}, "data.dataset"),
        ({"data": DATA | {"epochs": "2"}}, "data.epochs"),
        ({"data": DATA | {"lora": {"rank": 0}}}, "data.lora.rank"),
        ({"data": DATA | {"learning_rat": 1}}, "data.learning_rat"),
        ({"kind": "merge"}, "data.artifact"),
        ({"kind": "batch_test", "data": {"model": "m"}}, "data.suite"),
        ({"kind": "no such"}, "kind"),
        ({"tags": ['"']}, "tags.0"),
        ({"name": ""}, "name"),
    ],
)
def test_what_no_run_would_take_is_refused_by_its_field(
    office: Office, body: dict[str, Any], field: str
) -> None:
    answer = keep(office, **body)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


def test_configs_are_found_by_kind_and_by_tag(any_office: Office) -> None:
    first = kept(any_office, tags=["a", "night"])["id"]
    second = kept(any_office, tags=["nightly"])["id"]
    third = kept(any_office, kind="merge", data={"artifact": "x"}, tags=["night"])["id"]

    def found(**query: Any) -> list[str]:
        answer = any_office.call("GET", CONFIGS, any_office.key("testing"), params=query)
        return [one["id"] for one in answer.json()["items"]]

    assert found() == [third, second, first]
    assert found(tag="night") == [third, first]
    assert found(tag="Night") == found(tag="nigh") == []
    assert found(kind="merge") == [third]
    assert found(kind="finetune", tag="night", limit=1) == [first]


def test_a_config_is_replaced_as_a_whole_and_deleted(any_office: Office) -> None:
    made, key = kept(any_office, tags=["t"]), any_office.key("training")
    path = f"{CONFIGS}/{made['id']}"
    new = {"name": "more", "data": DATA | {"epochs": 3}}
    changed = any_office.call("PUT", path, key, json=new).json()
    assert (changed["name"], changed["data"], changed["tags"]) == ("more", new["data"], [])
    assert changed["updated_at"] > made["updated_at"]
    assert changed["created_at"] == made["created_at"]
    other = any_office.call("PUT", path, key, json=new | {"id": "other"})
    assert (other.status_code, other.json()["errors"][0]["field"]) == (409, "id")
    assert any_office.call("DELETE", path, key).status_code == 204
    assert any_office.call("DELETE", path, key).status_code == 404
    assert len(events(any_office, "config.changed")) == len(events(any_office, "config.deleted")) == 1


def test_the_schema_says_what_each_field_means_and_its_default(office: Office) -> None:
    key = office.key("training")
    schema = office.call("GET", f"{CONFIGS}/$schema", key).json()
    assert schema == FinetuneConfig.model_json_schema()
    assert schema["properties"]["epochs"]["default"] == 1.0
    assert office.call("GET", f"{CONFIGS}/%24schema", key, params={"kind": "merge"}).json()["required"] == [
        "artifact"
    ]
    assert office.call("GET", f"{CONFIGS}/$schema", key, params={"kind": "x"}).status_code == 422


def test_a_fine_tune_is_asked_for_by_its_config_s_id(yard: Office, prefect: StandIn) -> None:
    made, key = kept(yard), yard.key("training")
    answer = yard.call("POST", TRAIN, key, json={"config_id": made["id"], "name": "nightly"})
    assert (answer.status_code, answer.json()["config"], answer.json()["name"]) == (202, FULL, "nightly")
    seen = yard.call("POST", VALIDATE, key, json={"config_id": made["id"]})
    assert seen.json() == {"valid": True, "diagnostics": [], "job": None}


@pytest.mark.parametrize("path", [TRAIN, MERGE, VALIDATE])
def test_work_is_asked_for_by_one_of_config_and_config_id(yard: Office, prefect: StandIn, path: str) -> None:
    key = yard.key("training")
    both = {"config": {"artifact": "x"} if path == MERGE else DATA, "config_id": "c"}
    for body in ({}, both, {"config": None}):
        assert yard.call("POST", path, key, json=body).status_code == 422
    missing = yard.call("POST", path, key, json={"config_id": "c"})
    assert (missing.status_code, missing.json()["detail"]) == (404, "Config not found")
    wrong = kept(yard, kind="batch_test", data={"model": "m", "suite": "s"})["id"]
    answer = yard.call("POST", path, key, json={"config_id": wrong})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (409, "config_id")


def test_a_merge_is_asked_for_as_a_fine_tune_is(yard: Office, prefect: StandIn) -> None:
    adapter, key = artifact(yard), yard.key("training")
    body = {"config": {"artifact": f"artifact:{adapter}", "name": "whole"}, "id": "m-1"}
    job = yard.call("POST", MERGE, key, json=body).json()
    assert (job["kind"], job["model"], job["name"]) == ("merge", f"artifact:{adapter}", "whole")
    [run] = prefect.run_of("m-1")
    assert run["deployment_id"] == prefect.deployments["merge/gpu"]
    assert yard.call("POST", MERGE, key, json=body).status_code == 200
    assert len(prefect.run_of("m-1")) == 1


def test_only_an_adapter_is_merged(yard: Office, prefect: StandIn) -> None:
    key, whole = yard.key("training"), artifact(yard, kind="model")
    for adapter, status in ((whole, 422), ("01GONE", 404)):
        answer = yard.call("POST", MERGE, key, json={"config": {"artifact": adapter}})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (status, "config.artifact")
    assert not prefect.asked


@pytest.mark.parametrize("field", ["dataset", "eval_dataset"])
def test_a_data_set_that_was_not_uploaded_is_refused_by_its_field(
    yard: Office, prefect: StandIn, field: str
) -> None:
    new = {"name": "d", "uri": "/d.jsonl", "sha256": "0" * 64, "rows": 1}
    recorded = yard.call("POST", "/api/v1/datasets", yard.key("training"), json=new).json()["id"]
    for dataset, said in ((recorded, "/d.jsonl"), ("01GONE", "not recorded here")):
        body = {"config": DATA | {field: f"dataset:{dataset}"}}
        answer = yard.call("POST", TRAIN, yard.key("training"), json=body)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, f"config.{field}")
        assert said in answer.json()["detail"]
    assert not prefect.asked


def test_the_sdk_keeps_and_finds_configs(office: Office) -> None:
    with Client(office.served.url, office.key("training")) as client:
        new = NewFinetuneConfig(name="dates", data=FinetuneConfig.model_validate(DATA), tags=["t"])
        made = client.configs.create(new)
        assert made.data == DATA
        assert client.configs.list(tag="t").items == [made]
        merge = NewMergeConfig(kind="merge", name="m", data=MergeConfig(artifact="x"))
        assert client.configs.replace(made.id, merge).kind == "merge"
        assert client.configs.schema("merge") == MergeConfig.model_json_schema()
        client.configs.delete(made.id)
        with pytest.raises(NotFound):
            client.configs.get(made.id)


def test_a_terminal_keeps_shows_changes_and_deletes_configs(terminal: Terminal, tmp_path: Path) -> None:
    terminal.log_in("training")
    file = tmp_path / "nightly.yaml"
    file.write_text("model: org/base\ndataset: d.jsonl\n")
    made = terminal.well("configs", "create", str(file), "--id", "c1", "--tag", "t", "--set", "epochs=2")
    assert made.out == "c1  nightly\n"
    assert "c1  finetune" in terminal.well("configs", "list", "--tag", "t").out
    terminal.well("configs", "update", "c1", "--set", "lora.rank=8", "--name", "dates")
    shown = terminal.well("configs", "show", "c1").out
    assert '{"rank": 8}' in shown
    assert "dates" in shown
    assert terminal("configs", "update", "c1", "--set", "epoch=2").code == 2
    terminal.well("configs", "delete", "c1")
    assert terminal("configs", "show", "c1", "--json").code != 0


def test_a_terminal_shows_every_field_with_its_default_without_a_server(terminal: Terminal) -> None:
    said = terminal.well("configs", "schema").out
    for name in FinetuneConfig.model_fields:
        assert f"\n{name}" in f"\n{said}"
    assert "lora.rank  integer >=1 <=1024  default 16" in said


def test_a_terminal_asks_for_a_fine_tune_by_a_kept_config(terminal: Terminal, tmp_path: Path) -> None:
    terminal.log_in("training")
    assert terminal("train").code == 2
    assert "Config not found" in terminal("train", "--config-id", "gone").err
    assert "gone is not recorded here" in terminal("merge", "gone").err
