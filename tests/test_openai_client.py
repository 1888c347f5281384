"""OpenAI's own client, with another base_url and one of our keys: uploads, starts, follows and stops fine-tunes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
from openai.types import FileObject, Model
from openai.types.fine_tuning import FineTuningJob, FineTuningJobEvent
from openai.types.fine_tuning.jobs import FineTuningJobCheckpoint
from pydantic import BaseModel

from api import tables
from deployments.local_stack import REPOSITORY, Stack
from tests.api_fixtures import UNLIMITED, Office, Served, Settings, served
from tests.deployed import until
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import launching as launching
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server
from tests.prefect_fixtures import yard as yard
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.configs import PEAK_LEARNING_RATES

ROWS = b"".join(
    json.dumps(
        {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": f"{n}"}]}
    ).encode()
    + b"\n"
    for n in range(8)
)


def client_of(office: Office, key: str | None = None) -> openai.OpenAI:
    return openai.OpenAI(
        base_url=f"{office.served.url}/v1", api_key=key or office.key("training"), max_retries=0
    )


@pytest.fixture(scope="module")
def tuning(prefect_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API that knows where Prefect is. (`yard` is one over each database.)"""
    options = UNLIMITED | {"prefect_api_url": prefect_server.url, "database_url": None}
    with served(Settings(tuneyard_home=tmp_path_factory.mktemp("tuning"), **options)) as running:
        yield running


@pytest.fixture
def house(tuning: Served, prefect: StandIn) -> Iterator[Office]:
    found = Office(tuning)
    yield found
    found.http.close()


@pytest.fixture
def client(house: Office) -> Iterator[openai.OpenAI]:
    with client_of(house) as made:
        yield made


@pytest.fixture
def any_client(yard: Office, prefect: StandIn) -> Iterator[openai.OpenAI]:
    with client_of(yard) as made:
        yield made


def exact(shown: BaseModel) -> None:
    """The client makes its models of whatever comes: that it is what they say is asked here."""
    type(shown).model_validate_json(shown.model_dump_json(), strict=True)


def uploaded(client: openai.OpenAI, content: bytes = ROWS, name: str = "rows.jsonl") -> FileObject:
    return client.files.create(file=(name, content), purpose="fine-tune")


def started(client: openai.OpenAI, **more: Any) -> FineTuningJob:
    fields = {"model": "org/m", "training_file": uploaded(client).id} | more
    return client.fine_tuning.jobs.create(**fields)


def config_of(prefect: StandIn, job: FineTuningJob) -> dict[str, Any]:
    config: dict[str, Any] = prefect.run_of(job.id)[0]["parameters"]["config"]
    return config


def test_a_file_is_a_data_set_that_was_uploaded(client: openai.OpenAI, house: Office) -> None:
    made = uploaded(client)
    exact(made)
    assert (made.bytes, made.filename, made.purpose, made.status) == (
        len(ROWS),
        "rows.jsonl",
        "fine-tune",
        "processed",
    )
    assert client.files.retrieve(made.id) == made
    assert client.files.content(made.id).read() == ROWS
    canonical = house.call("GET", f"/api/v1/datasets/{made.id}", house.key("training")).json()
    assert (canonical["name"], canonical["rows"], canonical["size_bytes"]) == ("rows", 8, len(ROWS))
    assert uploaded(client).id == made.id
    assert client.files.create(file=ROWS, purpose="fine-tune").filename == "upload.jsonl"
    gone = client.files.delete(made.id)
    assert (gone.id, gone.deleted, gone.object) == (made.id, True, "file")
    with pytest.raises(openai.NotFoundError, match="No such File object"):
        client.files.retrieve(made.id)


def test_files_are_listed_page_by_page(any_client: openai.OpenAI, yard: Office) -> None:
    new = {"name": "d", "uri": "/d.jsonl", "sha256": "a" * 64, "rows": 3}
    yard.call("POST", "/api/v1/datasets", yard.key("training"), json=new)  # recorded, but not a file
    ids = [uploaded(any_client, ROWS, f"{n}.jsonl").id for n in range(5)]
    assert [file.id for file in any_client.files.list(limit=2)] == ids[::-1]
    assert [file.id for file in any_client.files.list(limit=2, order="asc", purpose="fine-tune")] == ids
    page = any_client.files.list(limit=2, after=ids[3])
    assert ([file.id for file in page.data], page.has_more) == (ids[1:3][::-1], True)
    assert any_client.files.list(purpose="assistants").data == []
    with pytest.raises(openai.NotFoundError):
        any_client.files.list(after="none")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": 1}\n{"a": \n{"a": 3}\n', "Line 2: not JSON"),
        (b'{"a": 1}\n\n[1]', "Line 3: a row is a JSON object"),
        (b"\xff\xfe", "Line 1"),
        (b"{}", "Line 1: a row is a JSON object with fields"),
        (b"", "empty"),
        (b"\n \r\n", "empty"),
    ],
)
def test_a_bad_row_is_named_by_its_line(client: openai.OpenAI, content: bytes, said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said) as caught:
        uploaded(client, content)
    assert (caught.value.param, caught.value.type) == ("file", "invalid_request_error")
    assert client.files.list().data == []


def test_a_row_is_found_bad_however_its_bytes_arrive(client: openai.OpenAI, house: Office) -> None:
    long = b'{"a": "' + b"x" * 3 * 2**20 + b'"}\n'
    assert uploaded(client, long * 3).bytes == 3 * len(long)
    with pytest.raises(openai.BadRequestError, match="Line 4"):
        uploaded(client, long * 3 + b"no\n" + long)


def test_a_form_is_read_in_any_order_and_to_its_end(house: Office) -> None:
    def send(
        *parts: bytes, ending: bytes = b"--\r\n", kind: str = "multipart/form-data; boundary=b"
    ) -> httpx.Response:
        body = (
            b"".join(b"--b\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts)
            + b"--b"
            + ending
        )
        pieces = (body[at : at + 3] for at in range(0, len(body), 3))  # a mark is cut wherever it can be
        headers = {"Content-Type": kind}
        return house.call("POST", "/v1/files", house.key("training"), content=pieces, headers=headers)

    file = b'name="file"; filename="C:\\d\\ro ws.data"\r\nContent-Type: x/y\r\n\r\n{"a": "--b"}\r\n{"-": "-"}\r\n'
    purpose = b'name="purpose"\r\n\r\nfine-tune'
    for parts in ((file, purpose), (purpose, file)):
        made = send(*parts)
        assert (made.status_code, made.json()["bytes"], made.json()["filename"]) == (
            200,
            26,
            "ro ws.data.jsonl",
        ), made.text
    wrong = [send(purpose), send(file), send(file, purpose, ending=b"")]
    wrong += [
        send(file, b'name="purpose"\r\n\r\nassistants'),
        send(file, purpose, b'name="x"\r\n\r\ny'),
    ]
    wrong += [
        send(file, purpose, file),
        send(b"x\r\n\r\ny"),
        send(purpose, kind="multipart/form-data"),
    ]
    wrong += [
        send(b'name="x"\r\n\r\n' + b"y" * 70_000),
        send(b'name="file' + b"x" * 40_000),
        send(purpose, kind="text/plain"),
    ]
    assert [answer.status_code for answer in wrong] == [400] * len(wrong)
    assert all(answer.json()["error"]["message"] == answer.json()["detail"] for answer in wrong)


def test_a_file_beyond_the_limit_leaves_nothing(tmp_path: Any) -> None:
    limit: Any = "1MiB"
    with served(Settings(tuneyard_home=tmp_path, tuneyard_upload_limit=limit, **UNLIMITED)) as running:
        client = client_of(Office(running))
        with pytest.raises(openai.APIStatusError, match="TUNEYARD_UPLOAD_LIMIT") as caught:
            uploaded(client, ROWS * 2000)
        assert (caught.value.status_code, client.files.list().data) == (413, [])
        client.close()


def test_a_fine_tune_is_started_as_any_other(client: openai.OpenAI, house: Office, prefect: StandIn) -> None:
    file = uploaded(client)
    job = started(client, suffix="dates", seed=7, metadata={"team": "a"}, validation_file=file.id)
    exact(job)
    assert (job.object, job.status, job.model, job.training_file) == (
        "fine_tuning.job",
        "queued",
        "org/m",
        file.id,
    )
    assert (job.seed, job.metadata, job.validation_file, job.result_files) == (7, {"team": "a"}, file.id, [])
    assert (job.fine_tuned_model, job.finished_at, job.error, job.trained_tokens) == (None, None, None, None)
    config = config_of(prefect, job)
    expected = {
        "model": "org/m",
        "dataset": f"dataset:{file.id}",
        "name": "dates",
        "seed": 7,
        "method": "full",
    }
    expected |= {"epochs": 1.0, "batch_size": 8, "learning_rate": None, "eval_dataset": f"dataset:{file.id}"}
    assert {name: config[name] for name in expected} == expected
    canonical = house.job(job.id)
    assert (canonical["kind"], canonical["labels"], canonical["name"]) == ("finetune", {"team": "a"}, "dates")
    assert client.fine_tuning.jobs.retrieve(job.id) == job


def test_hyperparameters_are_ours_by_other_names(client: openai.OpenAI, prefect: StandIn) -> None:
    hyper: Any = {"n_epochs": 3, "batch_size": 2, "learning_rate_multiplier": 2}
    for said in (
        {"hyperparameters": hyper},
        {"method": {"type": "supervised", "supervised": {"hyperparameters": hyper}}},
    ):
        job = started(client, **said)
        exact(job)
        config = config_of(prefect, job)
        assert [config[name] for name in ("epochs", "batch_size", "learning_rate")] == [3, 2, 2e-4]
        assert job.hyperparameters.model_dump() == hyper
    auto = started(client, hyperparameters=dict.fromkeys(hyper, "auto"))
    assert config_of(prefect, auto)["learning_rate"] is None
    dpo: Any = {"type": "dpo", "dpo": {"hyperparameters": {"beta": 0.3, "learning_rate_multiplier": 0.5}}}
    job = started(client, method=dpo)
    exact(job)
    config = config_of(prefect, job)
    assert (config["method"], config["dpo_beta"], config["learning_rate"]) == (
        "dpo",
        0.3,
        PEAK_LEARNING_RATES["dpo"] / 2,
    )
    assert job.method
    assert job.method.dpo
    assert job.method.dpo.hyperparameters
    assert job.method.dpo.hyperparameters.beta == 0.3


def test_a_config_s_own_fields_go_before_the_others(client: openai.OpenAI, prefect: StandIn) -> None:
    ours = {"method": "lora", "max_steps": 5, "checkpoint_every": 2, "lora": {"rank": 4}}
    job = started(client, hyperparameters={"learning_rate_multiplier": 0.1}, extra_body={"tuneyard": ours})
    config = config_of(prefect, job)
    assert (config["method"], config["max_steps"], config["lora"]["rank"]) == ("lora", 5, 4)
    assert config["learning_rate"] == pytest.approx(1e-4)
    assert job.method
    assert job.method.type == "supervised"


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"model": ""}, "model"),
        ({"method": {"type": "reinforcement"}}, "method.type"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs"),
        ({"hyperparameters": {"batch_size": "4"}}, "hyperparameters.batch_size"),
        ({"seed": -1}, "seed"),
        ({"seed": True}, "seed"),
        ({"integrations": [{"type": "wandb", "wandb": {"project": "p"}}]}, "integrations"),
        ({"extra_body": {"tuneyard": {"metod": "lora"}}}, "tuneyard.metod"),
        ({"extra_body": {"unknown": 1}}, "unknown"),
    ],
)
def test_what_cannot_be_started_is_named(
    client: openai.OpenAI, prefect: StandIn, more: Any, param: str
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        started(client, **more)
    assert caught.value.param == param
    assert not prefect.runs


def test_what_is_not_there_or_contradicts_itself_is_named(client: openai.OpenAI, prefect: StandIn) -> None:
    missing = {"training_file": "none", "validation_file": "none", "model": "artifact:none"}
    for param, value in missing.items():
        with pytest.raises(openai.NotFoundError, match="none") as caught:
            started(client, **{param: value})
        assert caught.value.param == param
    with pytest.raises(openai.ConflictError, match="two ways to the same"):
        started(client, validation_file="/v.jsonl", extra_body={"tuneyard": {"eval_fraction": 0.1}})
    assert not prefect.runs


def test_jobs_are_listed_page_by_page_and_by_metadata(any_client: openai.OpenAI, yard: Office) -> None:
    file = uploaded(any_client).id
    ids = [
        started(any_client, training_file=file, metadata={"n": str(n % 2), "a b.c": "é"}).id for n in range(5)
    ]
    plain = yard.new_job(kind="finetune", config={"whatever": 1})
    yard.new_job(kind="batch_test")
    jobs = any_client.fine_tuning.jobs
    assert [job.id for job in jobs.list(limit=2)] == [plain, *ids[::-1]]
    page = jobs.list(limit=2, after=ids[3])
    assert ([job.id for job in page.data], page.has_more) == (ids[1:3][::-1], True)
    assert [job.id for job in jobs.list(metadata={"n": "1"})] == [ids[3], ids[1]]
    assert [job.id for job in jobs.list(metadata={"n": "1", "a b.c": "é"}, limit=1)] == [ids[3], ids[1]]
    assert jobs.list(metadata={"n": "2"}).data == jobs.list(metadata={"no": "1", "n": 'a"b'}).data == []
    assert [job.id for job in jobs.list(extra_query={"metadata": "null"})] == [plain]
    assert jobs.list(limit=100).data[0].training_file == ""


def test_a_job_is_shown_at_each_of_its_stages(any_client: openai.OpenAI, yard: Office) -> None:
    jobs = any_client.fine_tuning.jobs
    job = started(any_client)
    assert jobs.pause(job.id).status == "paused"
    assert jobs.resume(job.id).status == "queued"
    token = yard.claim(job.id)
    assert jobs.retrieve(job.id).status == "validating_files"
    yard.call("PATCH", f"/api/v1/jobs/{job.id}", token, json={"total_steps": 10})
    point = {"step": 5, "epoch": 0.5, "train_loss": 2.5, "eval_loss": 3.5}
    yard.call("POST", f"/api/v1/jobs/{job.id}/metrics", token, json={"metrics": [point]})
    yard.moved(job.id, started_at=tables.now() - timedelta(seconds=50))
    running = jobs.retrieve(job.id)
    assert running.status == "running"
    assert running.estimated_finish == pytest.approx(tables.now().timestamp() + 50, abs=5)
    assert jobs.pause(job.id).status == "running"
    yard.end(job.id, token, "completed", result={"artifact_id": "A1", "tokens": 99})
    done = jobs.retrieve(job.id)
    exact(done)
    assert (done.status, done.fine_tuned_model, done.trained_tokens) == ("succeeded", "artifact:A1", 99)
    assert done.finished_at
    with pytest.raises(openai.ConflictError, match="completed job cannot be cancelled"):
        jobs.cancel(job.id)


def test_a_job_is_cancelled_or_says_why_it_failed(client: openai.OpenAI, house: Office) -> None:
    jobs = client.fine_tuning.jobs
    assert jobs.cancel(started(client).id).status == "cancelled"
    job = started(client)
    token = house.claim(job.id)
    fault = {"kind": "bad_input", "message": "is missing", "field": "dataset", "line": 3}
    house.end(job.id, token, "failed", error="rows.jsonl:3: is missing", errors=[fault])
    failed = jobs.retrieve(job.id)
    exact(failed)
    assert failed.error
    assert (failed.status, failed.error.code, failed.error.param) == ("failed", "bad_input", "training_file")
    assert failed.error.message == "rows.jsonl:3: is missing"
    assert jobs.list(limit=1).data[0] == failed
    assert next(event.level for event in jobs.list_events(job.id)) == "error"


def test_events_and_checkpoints_are_listed_newest_first(any_client: openai.OpenAI, yard: Office) -> None:
    jobs = any_client.fine_tuning.jobs
    job = started(any_client)
    token = yard.claim(job.id)
    points = [{"step": n, "epoch": n / 4, "train_loss": 1 / n, "eval_loss": 2 / n} for n in (2, 3)]
    yard.call("POST", f"/api/v1/jobs/{job.id}/metrics", token, json={"metrics": points})
    events = [{"kind": "checkpoint", "message": f"checkpoint-{n}", "step": n} for n in (1, 2, 3)]
    events += [{"kind": "watchdog", "message": "a spike", "step": 3}]
    yard.call("POST", f"/api/v1/jobs/{job.id}/events", token, json={"events": events})
    shown: list[FineTuningJobEvent] = list(jobs.list_events(job.id, limit=2))
    for event in shown:
        exact(event)
    assert [event.message for event in shown[:4]] == [
        "a spike",
        "checkpoint-3",
        "checkpoint-2",
        "checkpoint-1",
    ]
    assert (shown[0].level, shown[-1].level, shown[0].type) == ("warn", "info", "message")
    assert [event.id for event in jobs.list_events(job.id, after=shown[1].id)] == [
        event.id for event in shown[2:]
    ]
    made: list[FineTuningJobCheckpoint] = list(jobs.checkpoints.list(job.id, limit=2))
    for checkpoint in made:
        exact(checkpoint)
    assert [one.step_number for one in made] == [3, 2, 1]
    assert (made[1].metrics.step, made[1].metrics.train_loss, made[1].metrics.valid_loss) == (2, 0.5, 1.0)
    assert (made[2].metrics.step, made[2].metrics.train_loss) == (1, None)
    assert (made[0].fine_tuned_model_checkpoint, made[0].fine_tuning_job_id) == ("checkpoint-3", job.id)
    with pytest.raises(openai.NotFoundError):
        jobs.list_events(job.id, after="none")


def test_models_are_what_can_be_tuned_or_tested(any_client: openai.OpenAI, yard: Office) -> None:
    worker = yard.key("worker")

    def record(**fields: Any) -> str:
        new = {"uri": "/m", "size_bytes": 1} | fields
        return str(yard.call("POST", "/api/v1/artifacts", worker, json=new).json()["id"])

    record(kind="base", name="org/base", sha256="a" * 64)
    base = record(kind="base", name="org/base", sha256="b" * 64)
    tuned = record(kind="adapter", name="dates", parent_id=base)
    spare = record(kind="model", name="spare", uri="/spare")
    record(kind="report", name="r")
    alias = tables.ModelAlias(workspace_id=yard.workspace_id, name="production", artifact_id=tuned)
    with yard.served.database.writing() as session:
        session.add(alias)
        session.add(tables.ModelAlias(workspace_id=yard.workspace_id, name="nothing"))
    found: list[Model] = list(any_client.models.list())
    for model in found:
        exact(model)
    assert [model.id for model in found] == [
        "alias:production",
        f"artifact:{spare}",
        f"artifact:{tuned}",
        "org/base",
    ]
    for model in found:
        assert any_client.models.retrieve(model.id) == model
        job = started(any_client, model=model.id)
        assert (job.model, any_client.fine_tuning.jobs.cancel(job.id).status) == (model.id, "cancelled")
    assert any_client.models.retrieve(tuned).id == f"artifact:{tuned}"
    with client_of(yard, worker) as able:
        for needed in ("alias:production", tuned, "org/base"):
            with pytest.raises(openai.ConflictError):
                able.models.delete(needed)
        gone = able.models.delete(f"artifact:{spare}")
        exact(gone)
        assert (gone.deleted, gone.id, len(any_client.models.list().data)) == (True, f"artifact:{spare}", 3)
    for missing in ("none", "alias:nothing", "artifact:none", "org/none", "a\0b"):
        with pytest.raises(openai.NotFoundError, match="does not exist"):
            any_client.models.retrieve(missing)


def test_a_refusal_is_the_client_s_own_kind(client: openai.OpenAI, house: Office) -> None:
    test, other = house.new_job(kind="batch_test"), Office(house.served)
    for job in ("none", test, other.new_job()):
        with pytest.raises(openai.NotFoundError, match="Could not find fine tune"):
            client.fine_tuning.jobs.retrieve(job)
    other.http.close()
    with pytest.raises(openai.NotFoundError, match="GET /v1/fine_tuning/jobs") as unknown:
        client.get("/fine_tuning/job", cast_to=httpx.Response)
    assert unknown.value.code == "not_found"
    wrong = "wak_0123456789ab_" + "s" * 38
    with client_of(house, wrong) as nobody, pytest.raises(openai.AuthenticationError) as refused:
        nobody.fine_tuning.jobs.list()
    assert (refused.value.code, "s" * 38 in str(refused.value)) == ("invalid_api_key", False)
    tester = house.key("testing")
    with client_of(house, tester) as weak, pytest.raises(openai.PermissionDeniedError) as forbidden:
        weak.fine_tuning.jobs.create(model="m", training_file="d")
    assert tester not in str(forbidden.value.body) + str(forbidden.value)
    with pytest.raises(openai.UnprocessableEntityError) as invalid:
        client.fine_tuning.jobs.list(limit=0)
    assert invalid.value.param == "limit"
    body: Any = invalid.value.response.json()
    assert body.keys() >= {"type", "title", "status", "detail", "instance", "request_id", "error", "errors"}


def test_a_busy_caller_is_told_to_wait(tmp_path: Any) -> None:
    options = UNLIMITED | {"api_rate_limit_per_key": 2}
    with served(Settings(tuneyard_home=tmp_path, **options)) as running, client_of(Office(running)) as client:
        for _ in range(2):
            client.files.list()
        with pytest.raises(openai.RateLimitError) as caught:
            client.files.list()
        assert (caught.value.code, caught.value.type) == ("rate_limit_exceeded", "rate_limit_error")


def test_the_async_client_works_as_well(house: Office, prefect: StandIn) -> None:
    async def walk() -> tuple[str, list[str]]:
        base_url, key = f"{house.served.url}/v1", house.key("training")
        async with openai.AsyncOpenAI(base_url=base_url, api_key=key, max_retries=0) as client:
            file = await client.files.create(file=("rows.jsonl", ROWS), purpose="fine-tune")
            job = await client.fine_tuning.jobs.create(model="org/m", training_file=file.id)
            listed = [one.id async for one in client.fine_tuning.jobs.list()]
            return (await client.fine_tuning.jobs.cancel(job.id)).status, [job.id, *listed]

    status, ids = asyncio.run(walk())
    assert (status, ids[0]) == ("cancelled", ids[1])


def test_the_page_s_own_lines_run(
    house: Office, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = (REPOSITORY / "docs" / "clients" / "openai.md").read_text()
    lines = page.split("```python\n")[1].split("```")[0]
    (tmp_path / "train.jsonl").write_bytes(ROWS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{house.served.url}/v1")
    monkeypatch.setenv("OPENAI_API_KEY", house.key("training"))
    names: dict[str, Any] = {}
    exec(lines, names)
    names["client"].close()
    assert capsys.readouterr().out == "queued\n"
    assert house.job(names["job"].id)["status"] == "cancelled"


def test_without_prefect_no_job_stays_open(office: Office) -> None:
    with client_of(office) as client:
        with pytest.raises(openai.InternalServerError, match="PREFECT_API_URL"):
            started(client)
        assert client.fine_tuning.jobs.list().data == []


@pytest.mark.timeout(300)
def test_a_model_is_tuned_by_openai_s_client_and_tested(
    stack: Stack, tiny_model: Path, tmp_path: Path
) -> None:
    with openai.OpenAI(base_url=f"{stack.api_url}/v1", api_key=stack.key("user")) as client:
        jobs, file = client.fine_tuning.jobs, uploaded(client)
        method: Any = {
            "type": "supervised",
            "supervised": {"hyperparameters": {"n_epochs": 3, "batch_size": 4}},
        }
        ours = {"tuneyard": {"checkpoint_every": 2, "report_every": 2, "precision": "fp32"}}
        fields: dict[str, Any] = {"model": str(tiny_model), "training_file": file.id, "extra_body": ours}
        job = jobs.create(**fields, method=method, suffix="numbers")
        other = jobs.create(**fields, metadata={"for": "nothing"})
        assert jobs.pause(other.id).status == "paused"
        assert jobs.resume(other.id).status == "queued"
        assert jobs.cancel(other.id).status == "cancelled"
        with pytest.raises(openai.ConflictError, match=job.id):
            client.with_options(max_retries=0).files.delete(file.id)
        done = until(lambda: (now := jobs.retrieve(job.id)).status in ("succeeded", "failed") and now)
        assert (done.status, done.error) == ("succeeded", None)
        exact(done)
        assert done.trained_tokens
        assert [one.step_number for one in jobs.checkpoints.list(job.id)] == [4, 2]
        assert all(one.metrics.train_loss for one in jobs.checkpoints.list(job.id))
        said = [event.message for event in jobs.list_events(job.id, limit=5)]
        assert {"checkpoint-2", "checkpoint-4"} < set(said)
        assert client.models.retrieve(done.fine_tuned_model).owned_by == job.organization_id
        suite = tmp_path / "suite.jsonl"
        suite.write_text('{"prompt": "1?", "expected": "1"}\n{"prompt": "2?", "expected": "2"}\n')
        config = {"model": done.fine_tuned_model, "suite": str(suite), "max_new_tokens": 2}
        with stack.client() as tuneyard:
            test = tuneyard.tests.run(BatchTestConfig.model_validate(config))
            tested = until(lambda: (now := tuneyard.tests.get(test.id)).status.is_final and now)
        assert (tested.status, tested.completed_prompts, tested.failed_prompts) == ("completed", 2, 0)
        assert client.files.delete(file.id).deleted
