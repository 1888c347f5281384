"""Runs that the API asks of Prefect: for new jobs, for resumed ones and for those whose run was lost.

At the other end of the wire stands a small server with Prefect's two endpoints.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from typing import Any

import pytest
from pydantic import SecretStr

from api.launches import Launches, PrefectAway, RunRefused
from api.settings import Settings
from api.tables import now
from tests.api_fixtures import RUN, UNLIMITED, Office
from tests.people_fixtures import events as audit
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput
from tuneyard.shapes import JobKind

JOBS, TRAIN, VALIDATE = "/api/v1/jobs", "/api/v1/ml/$train", "/api/v1/ml/$validate"
CONFIG = {"model": "org/base", "dataset": "d.jsonl", "epochs": 2}
FULL = FinetuneConfig.model_validate(CONFIG).model_dump(mode="json")


def train(office: Office, **body: Any) -> Any:
    return office.call("POST", TRAIN, office.key("training"), json={"config": CONFIG} | body)


def trained(office: Office, **body: Any) -> dict[str, Any]:
    answer = train(office, **body)
    assert answer.status_code == 202, answer.text
    job: dict[str, Any] = answer.json()
    return job


def resume(office: Office, job_id: str, **body: Any) -> Any:
    return office.call("POST", f"{JOBS}/{job_id}/resume", office.key("training"), json=body)


def begun(office: Office, **body: Any) -> tuple[dict[str, Any], str]:
    """A job that was trained through the API and that its run trains: the job and its token."""
    job = trained(office, **body)
    run = RUN | {"flow_run_id": job["flow_run_id"]}
    claim = office.call("POST", f"{JOBS}/{job['id']}/claim", office.key("worker"), json=run).json()
    office.call("PUT", f"{JOBS}/{job['id']}/metrics", claim["job_token"], json={"step": 3})
    return office.job(job["id"]), claim["job_token"]


def way_to(url: str | None, **settings: Any) -> closing[Launches]:
    return closing(Launches(Settings(**UNLIMITED | {"prefect_api_url": url} | settings)))


def test_a_fine_tune_is_recorded_and_its_run_made(yard: Office, prefect: StandIn) -> None:
    job = trained(yard, name="nightly")
    [run] = prefect.run_of(job["id"])
    assert (job["status"], job["name"], job["kind"]) == ("pending", "nightly", "finetune")
    assert (job["config"], job["flow_run_id"], job["run_key"]) == (FULL, run["id"], run["idempotency_key"])
    assert run["parameters"] == {"config": FULL, "job_id": job["id"]}
    assert run["deployment_id"] == prefect.deployments["finetune/gpu"]
    assert (run["tags"], run["name"]) == (["tuneyard", f"job:{job['id']}"], "nightly")
    assert "wak_" not in str(run)
    assert [event.object_id for event in audit(yard, "job.created")] == [job["id"]]


def test_a_request_that_is_repeated_is_one_job_and_one_run(yard: Office, prefect: StandIn) -> None:
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: train(yard, id="night-1"), range(6)))
    assert sorted(answer.status_code for answer in answers) == [200] * 5 + [202]
    assert {answer.json()["id"] for answer in answers} == {"night-1"}
    assert len(prefect.run_of("night-1")) == 1
    other = train(yard, id="night-1", config=CONFIG | {"epochs": 3})
    assert (other.status_code, "another config" in other.json()["detail"]) == (409, True)


def test_two_workspaces_may_use_the_same_id(yard: Office, prefect: StandIn) -> None:
    other = Office(yard.served)
    assert trained(yard, id="mine")["flow_run_id"] != trained(other, id="mine")["flow_run_id"]
    other.http.close()


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"model": "m"}, "config.dataset"),
        (CONFIG | {"epochs": "2"}, "config.epochs"),
        (CONFIG | {"packing": "yes"}, "config.packing"),
        (CONFIG | {"lora": {"rank": 0}}, "config.lora.rank"),
        (CONFIG | {"learning_rat": 1}, "config.learning_rat"),
        (CONFIG | {"model": "artifact:01GONE"}, "config.model"),
    ],
)
def test_a_config_that_no_run_takes_starts_nothing(
    yard: Office, prefect: StandIn, config: dict[str, Any], field: str
) -> None:
    answer = train(yard, config=config)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)
    assert yard.call("GET", JOBS, yard.key("training")).json()["total"] == 0
    assert not prefect.asked


def test_where_prefect_lacks_the_deployment_nothing_is_recorded(yard: Office, prefect: StandIn) -> None:
    prefect.deployments.clear()
    answer = train(yard)
    assert answer.status_code == 503
    assert answer.json()["detail"] == (
        "Prefect has no deployment finetune/gpu: make it with `python -m deployments`"
    )
    assert yard.call("GET", JOBS, yard.key("training")).json()["total"] == 0


def test_where_prefect_refuses_the_run_no_job_stays_open(yard: Office, prefect: StandIn) -> None:
    prefect.refusal = 409, "Error creating flow run: 'gpus' is not known"
    answer = train(yard, id="refused")
    assert (answer.status_code, "'gpus' is not known" in answer.json()["detail"]) == (503, True)
    job = yard.job("refused")
    assert (job["status"], "'gpus' is not known" in job["error"]) == ("failed", True)
    again = train(yard, id="refused")
    assert (again.status_code, "'gpus' is not known" in again.json()["detail"]) == (409, True)
    [error] = yard.call("GET", f"{JOBS}/refused/errors", yard.key("training")).json()
    assert error["kind"] == "work_failed"


def test_a_resumed_job_is_the_same_with_a_new_run_that_is_told_where_to_begin(
    yard: Office, prefect: StandIn
) -> None:
    before, token = begun(yard)
    yard.end(before["id"], token, "failed", error="the host went away")
    changes = {"checkpoint": "checkpoint-50", "config": {"epochs": 3}, "max_restarts": 5}
    answer = resume(yard, before["id"], **changes)
    job = answer.json()
    assert (answer.status_code, job["id"], job["status"]) == (200, before["id"], "pending")
    assert (job["resume_from"], job["config"]["epochs"], job["max_restarts"]) == ("checkpoint-50", 3.0, 5)
    assert (job["error"], job["ended_at"], job["attempt"]) == (None, None, 1)
    assert job["resumed_at"]
    first, second = prefect.run_of(job["id"])
    assert first["id"] != second["id"] == job["flow_run_id"]
    assert second["parameters"]["config"]["epochs"] == 3.0
    assert yard.end(job["id"], token, "completed").status_code == 401
    assert yard.call("PUT", f"{JOBS}/{job['id']}/metrics", token, json={"step": 9}).status_code == 401
    assert yard.call("POST", f"{JOBS}/{job['id']}/claim", yard.key("worker"), json=RUN).json()["attempt"] == 2
    [event] = audit(yard, "job.resumed")
    assert event.details == {"resume_from": "checkpoint-50"}


@pytest.mark.parametrize("status", ["paused", "failed", "cancelled"])
def test_whatever_stopped_can_go_on(yard: Office, prefect: StandIn, status: str) -> None:
    job, token = begun(yard)
    yard.end(job["id"], token, status)
    assert resume(yard, job["id"], from_best=True).json()["resume_from"] == "best"
    assert len(prefect.run_of(job["id"])) == 2
    yard.call("POST", f"{JOBS}/{job['id']}/cancel", yard.key("training"))
    assert resume(yard, job["id"]).json()["resume_from"] is None
    assert len(prefect.run_of(job["id"])) == 3


def test_of_two_that_resume_at_once_one_does(yard: Office, prefect: StandIn) -> None:
    job, token = begun(yard)
    yard.end(job["id"], token, "paused")
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: resume(yard, job["id"]).status_code, range(4)))
    assert sorted(answers) == [200, 409, 409, 409]
    assert len(prefect.run_of(job["id"])) == 2


def test_a_resume_with_a_config_that_no_run_takes_changes_nothing(yard: Office, prefect: StandIn) -> None:
    job, token = begun(yard)
    yard.end(job["id"], token, "failed")
    for changes in ({"epochs": "many"}, {"unheard_of": 1}):
        answer = resume(yard, job["id"], config=changes)
        assert answer.status_code == 409
        assert answer.json()["errors"][0]["field"] == f"config.{next(iter(changes))}"
    assert yard.job(job["id"])["status"] == "failed"
    bare = yard.new_job()
    yard.call("POST", f"{JOBS}/{bare}/pause", yard.key("training"))
    assert "as the job was recorded" in resume(yard, bare).json()["detail"]


def test_where_to_begin_counts_until_a_run_got_further(yard: Office, prefect: StandIn) -> None:
    job, token = begun(yard)
    yard.end(job["id"], token, "paused")
    resume(yard, job["id"], checkpoint="checkpoint-50")
    claim = f"{JOBS}/{job['id']}/claim"
    first = yard.call("POST", claim, yard.key("worker"), json=RUN).json()
    second = yard.call("POST", claim, yard.key("worker"), json=RUN).json()
    assert first["job"]["resume_from"] == second["job"]["resume_from"] == "checkpoint-50"
    event = {"kind": "checkpoint", "message": "saved", "step": 60}
    yard.call("POST", f"{JOBS}/{job['id']}/events", second["job_token"], json={"events": [event]})
    third = yard.call("POST", claim, yard.key("worker"), json=RUN).json()
    assert (third["job"]["resume_from"], third["job"]["last_checkpoint"]) == (None, 60)


def test_a_lost_job_gets_its_new_run_at_once(yard: Office, prefect: StandIn) -> None:
    job, _ = begun(yard)
    long_ago = now() - timedelta(seconds=70)
    yard.moved(job["id"], claimed_at=long_ago, last_report_at=long_ago)
    with ThreadPoolExecutor(3) as pool:
        answers = [
            answer.json()
            for answer in pool.map(
                lambda _: yard.call("POST", f"{JOBS}/$close-lost", yard.key("worker"), json={}), range(3)
            )
        ]
    assert {one["id"] for answer in answers for one in answer} == {job["id"]}
    first, second = prefect.run_of(job["id"])
    now_is = yard.job(job["id"])
    assert (now_is["status"], now_is["restarts"], now_is["flow_run_id"]) == ("pending", 1, second["id"])
    assert first["id"] == job["flow_run_id"]


def test_a_lost_job_that_prefect_will_not_run_fails(yard: Office, prefect: StandIn) -> None:
    job, _ = begun(yard)
    prefect.refusal = 409, "no such queue"
    dead = {"job_id": job["id"], "attempt": 1, "reason": "killed"}
    [closed] = yard.call(
        "POST", f"{JOBS}/$close-lost", yard.key("worker"), json={"silent_seconds": None, "runs": [dead]}
    ).json()
    assert (closed["status"], "no such queue" in closed["error"]) == ("failed", True)


def test_while_prefect_refuses_us_a_lost_job_waits(yard: Office, prefect: StandIn) -> None:
    job, _ = begun(yard)
    prefect.auth = "admin:changed"
    dead = {"job_id": job["id"], "attempt": 1, "reason": "killed"}
    body = {"silent_seconds": None, "runs": [dead]}
    [closed] = yard.call("POST", f"{JOBS}/$close-lost", yard.key("worker"), json=body).json()
    assert (closed["status"], closed["flow_run_id"]) == ("pending", None)
    prefect.auth = None
    [started] = yard.call("POST", f"{JOBS}/$close-lost", yard.key("worker"), json={}).json()
    assert started["flow_run_id"] == prefect.run_of(job["id"])[-1]["id"]


def test_a_config_is_looked_at_without_a_job(yard: Office, prefect: StandIn) -> None:
    def found(config: dict[str, Any]) -> tuple[bool, list[tuple[str, str, str | None]]]:
        answer = yard.call("POST", VALIDATE, yard.key("training"), json={"config": config})
        assert answer.status_code == 200
        body = answer.json()
        assert body["job"] is None
        return body["valid"], [(one["severity"], one["code"], one["field"]) for one in body["diagnostics"]]

    assert found(CONFIG) == (True, [])
    assert found({"model": "m", "epochs": -1}) == (
        False,
        [("error", "config", "dataset"), ("error", "config", "epochs")],
    )
    assert found(CONFIG | {"model": "artifact:gone"}) == (False, [("error", "no_such_model", "model")])
    prefect.deployments.clear()
    assert found(CONFIG) == (True, [("warning", "cannot_start", None)])
    assert not prefect.runs


def test_a_misspelt_field_is_told_what_it_may_mean(yard: Office, prefect: StandIn) -> None:
    body = {"config": CONFIG | {"learning_rat": 0.1}}
    [one] = yard.call("POST", VALIDATE, yard.key("training"), json=body).json()["diagnostics"]
    assert one["message"] == "there is no such field: did you mean learning_rate?"


def test_the_rest_of_a_look_is_a_job_of_its_own(yard: Office, prefect: StandIn) -> None:
    body = {"config": CONFIG, "run": True}
    job = yard.call("POST", VALIDATE, yard.key("training"), json=body).json()["job"]
    assert (job["kind"], job["config"]) == ("check", FULL)
    assert prefect.run_of(job["id"])[0]["deployment_id"] == prefect.deployments["check/gpu"]
    refused = yard.call("POST", VALIDATE, yard.key("training"), json={"config": {}, "run": True}).json()
    assert (refused["valid"], refused["job"]) == (False, None)


def test_the_platform_s_control_stops_a_job_and_lets_it_go_on(yard: Office, prefect: StandIn) -> None:
    job, token = begun(yard)
    path = f"/api/training/local/{job['id']}"

    def control(**body: Any) -> Any:
        return yard.call("POST", f"{path}/control", yard.key("training"), json=body)

    paused = control(action="pause")
    assert paused.json() == {
        "success": True,
        "action": "pause",
        "job_id": job["id"],
        "result": {"status": "running"},  # until its run has saved a checkpoint
    }
    refused = control(action="resume").json()
    assert (refused["status"], refused["current_status"]) == (400, "running")
    assert refused["allowed_statuses"] == ["failed", "cancelled", "paused", "pending", "queued"]
    yard.end(job["id"], token, "paused")
    assert control(action="resume", checkpoint_path="checkpoint-9").json()["result"] == {"status": "pending"}
    status = yard.call("GET", f"{path}/status", yard.key("training")).json()
    assert (status["resumed_from_job_id"], status["resume_from_checkpoint"]) == (job["id"], "checkpoint-9")
    assert control(action="cancel").json()["result"] == {"status": "cancelled"}
    assert control(action="stop").status_code == control().status_code == 400
    assert control(action="cancel").status_code == 409


def test_the_platform_s_resume_names_the_job_twice(yard: Office, prefect: StandIn) -> None:
    job, token = begun(yard)
    path = f"/api/training/local/{job['id']}/resume"
    key = yard.key("training")
    assert yard.call("POST", path, key).json()["current_status"] == "running"
    yard.end(job["id"], token, "failed")
    body = {"resume_from_best": True, "config_adjustments": {"epochs": 4}, "user_id": "anybody"}
    assert yard.call("POST", path, key, json=body).json() == {
        "success": True,
        "message": "Training resumed successfully",
        "job_id": job["id"],
        "resumed_from": job["id"],
        "resumed_from_job_id": job["id"],
        "checkpoint_path": "best",
        "resume_from_checkpoint": "best",
        "status": "pending",
    }
    assert yard.job(job["id"])["config"]["epochs"] == 4.0
    assert yard.call("POST", path, key).json()["status"] == "pending"  # it is on its way
    assert len(prefect.run_of(job["id"])) == 2
    yard.call("POST", f"{JOBS}/{job['id']}/cancel", key)
    prefect.deployments.clear()
    gone = yard.call("POST", path, key)
    assert (gone.status_code, "finetune/gpu" in gone.json()["error"]) == (502, True)


def test_a_prefect_that_is_busy_for_a_moment_is_asked_again(yard: Office, prefect: StandIn) -> None:
    prefect.busy = 2
    job = trained(yard)
    assert job["flow_run_id"]
    assert len(prefect.runs) == 1


def test_the_auth_string_is_sent_and_never_told(prefect: StandIn) -> None:
    prefect.auth = "admin:hush-hush"
    with way_to(prefect.url, prefect_api_auth_string=SecretStr("admin:hush-hush")) as way:
        way.demand(JobKind.FINETUNE)
    for wrong in (None, SecretStr("admin:other-hush")):
        with way_to(prefect.url, prefect_api_auth_string=wrong) as way:
            with pytest.raises(PrefectAway, match="PREFECT_API_AUTH_STRING") as refused:
                way.demand(JobKind.FINETUNE)
            assert "hush" not in str(refused.value)


def test_the_same_key_is_the_same_run(prefect: StandIn) -> None:
    given = ("name", {"config": {}, "job_id": "j"}, ["tuneyard"])
    with way_to(prefect.url) as way:
        first, again, other = (way.start(JobKind.CHECK, key, *given) for key in ("k", "k", "k2"))
    assert first == again != other


@pytest.mark.parametrize(
    ("url", "said"),
    [
        (None, "set PREFECT_API_URL"),
        ("http://127.0.0.1:9/api", "No answer from Prefect at http://127.0.0.1:9/api/"),
    ],
)
def test_prefect_that_is_away_is_one_clear_text(url: str | None, said: str) -> None:
    with way_to(url) as way, pytest.raises(PrefectAway, match=said):
        way.demand(JobKind.FINETUNE)


def test_a_deployment_that_is_gone_is_no_matter_of_waiting(prefect: StandIn) -> None:
    prefect.deployments.clear()
    with way_to(prefect.url) as way, pytest.raises(RunRefused, match="python -m deployments"):
        way.demand(JobKind.BATCH_TEST)


@pytest.mark.parametrize("url", ["nonsense", "ftp://here", "http://me:hush@here/api"])
def test_an_address_that_is_none_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(BadInput, match="PREFECT_API_URL") as refused:
        way_to(url)
    assert "hush" not in str(refused.value)
