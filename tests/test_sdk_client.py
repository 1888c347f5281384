"""What both clients promise: shapes in and out, one exception a meaning, retries, no secret anywhere."""

from __future__ import annotations

import socket
import subprocess
import sys
import traceback
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tuneyard
from tests import unasync
from tests.sdk_fixtures import KEY, NOW, TOKEN, URL, Make, Wire, api_key, job, page, paged, problem
from tests.sdk_fixtures import config_home as config_home
from tests.sdk_fixtures import make as make
from tuneyard import errors
from tuneyard.batch_shapes import NewPrediction
from tuneyard.patience import Patience, backoff, seconds_asked
from tuneyard.shapes import (
    Claim,
    HostSample,
    Job,
    JobEnd,
    JobFacts,
    JobStatus,
    MetricPoint,
    NewApiKey,
    NewArtifact,
    NewJob,
)

pytestmark = pytest.mark.usefixtures("config_home")


def test_the_sync_client_is_what_the_script_makes_of_the_async_one() -> None:
    assert not unasync.stale(), "run: python -m tests.unasync --write"
    for source in unasync.SOURCES:
        assert "enerated" in unasync.target(source).read_text(encoding="utf-8").splitlines()[0]


def test_importing_tuneyard_brings_nothing_heavy() -> None:
    code = (
        "import sys, tuneyard.shapes; assert 'httpx' not in sys.modules\n"
        "import tuneyard; tuneyard.Client, tuneyard.AsyncClient, tuneyard.Reporter\n"
        "heavy = {'torch', 'prefect', 'transformers', 'fastapi', 'sqlmodel', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=unasync.ROOT)


def test_an_unknown_name_of_tuneyard_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Klient'"):
        tuneyard.Klient  # noqa: B018


def test_the_version_is_the_packages() -> None:
    assert f'version = "{tuneyard.__version__}"' in (unasync.ROOT / "pyproject.toml").read_text()


def test_a_job_comes_back_typed(make: Make) -> None:
    wire = Wire(httpx.Response(200, json=job(newer_field=1, progress=11.43)))
    got = make(wire)(lambda c: c.jobs.get("j1"))
    assert isinstance(got, Job)
    assert (got.status, got.progress) == (JobStatus.RUNNING, 11.43)
    assert got.created_at == datetime(2026, 11, 21, 10, tzinfo=UTC)


def test_only_what_was_set_is_sent(make: Make) -> None:
    wire = Wire(httpx.Response(200, json=job()))
    make(wire)(lambda c: c.jobs.update("j1", JobFacts(stage="loading the model")))
    assert wire.requests[0].method == "PATCH"
    assert wire.requests[0].content == b'{"stage":"loading the model"}'


def test_a_key_that_never_expires_says_so_on_the_wire(make: Make) -> None:
    wire = Wire(httpx.Response(201, json=api_key(key=KEY)))
    assert (
        make(wire)(lambda c: c.keys.create(NewApiKey(name="n", scopes=["all"], expires_in_days=None))).key
        == KEY
    )
    assert b'"expires_in_days":null' in wire.requests[0].content


ROUTES: list[tuple[Callable[[Any], Any], str, str, Any]] = [
    (lambda c: c.health(), "GET", "/health", {"status": "healthy", "checks": {}}),
    (lambda c: c.jobs.create(NewJob(model="m")), "POST", "/api/v1/jobs", job()),
    (
        lambda c: c.jobs.list(status="canceled", kind="finetune", limit=5),
        "GET",
        "/api/v1/jobs?status=canceled&kind=finetune&limit=5&offset=0",
        page([], 0, 5, 0),
    ),
    (
        lambda c: c.jobs.claim("j1", Claim(host="h", pid=1)),
        "POST",
        "/api/v1/jobs/j1/claim",
        {"job": job(), "attempt": 1, "job_token": TOKEN},
    ),
    (lambda c: c.jobs.cancel("j1"), "POST", "/api/v1/jobs/j1/cancel", job(status="cancelling")),
    (
        lambda c: c.jobs.end("j1", JobEnd(status="failed")),
        "POST",
        "/api/v1/jobs/j1/end",
        job(status="failed"),
    ),
    (
        lambda c: c.metrics.push("j1", [MetricPoint(step=0, train_loss=float("nan"))]),
        "PUT",
        "/api/v1/jobs/j1/metrics",
        {"count": 1, "job_status": "running"},
    ),
    (lambda c: c.datasets.list(), "GET", "/api/v1/datasets?limit=50&offset=0", page([], 0, 50, 0)),
    (lambda c: c.artifacts.list(), "GET", "/api/v1/artifacts?limit=50&offset=0", page([], 0, 50, 0)),
    (lambda c: c.suites.list(), "GET", "/api/v1/test-suites?limit=50&offset=0", page([], 0, 50, 0)),
    (
        lambda c: c.tests.add_predictions("t1", [NewPrediction(prompt_index=0, prompt="p", expected="e")]),
        "POST",
        "/api/v1/batch-tests/t1/predictions",
        {"count": 1, "job_status": "running"},
    ),
    (
        lambda c: c.gpus.push([HostSample(host="h", taken_at=datetime(2026, 11, 21, tzinfo=UTC))]),
        "POST",
        "/api/v1/gpus/samples",
        {"count": 1},
    ),
    (lambda c: c.gpus.list(), "GET", "/api/v1/gpus", [{"host": "h", "taken_at": NOW}]),
    (
        lambda c: c.gpus.history("GPU-1"),
        "GET",
        "/api/v1/gpus/GPU-1/samples?limit=1000&offset=0",
        page([{"taken_at": NOW}], 1, 1000, 0),
    ),
    (lambda c: c.jobs.delete("j1"), "DELETE", "/api/v1/jobs/j1", None),
    (lambda c: c.artifacts.delete("a/1"), "DELETE", "/api/v1/artifacts/a%2F1", None),
    (lambda c: c.jobs.gpu("j1"), "GET", "/api/v1/jobs/j1/gpu", {"job_id": "j1"}),
]


@pytest.mark.parametrize(("ask", "method", "target", "answer"), ROUTES)
def test_each_call_goes_to_its_route(make: Make, ask: Any, method: str, target: str, answer: Any) -> None:
    wire = Wire(httpx.Response(200, json=answer))
    make(wire)(ask)
    assert (wire.requests[0].method, wire.requests[0].url.raw_path.decode()) == (method, target)


def test_a_card_s_readings_are_gone_through_by_time(make: Make) -> None:
    moments = [f"2026-11-21T10:00:0{second}Z" for second in range(4)]

    def answer(request: httpx.Request) -> httpx.Response:
        since = request.url.params.get("since", moments[0]).replace("+00:00", "Z")
        found = [{"taken_at": moment} for moment in moments if moment >= since]
        return httpx.Response(200, json=page(found[:2], len(found), 2, 0))

    readings = make(answer)(lambda c: c.gpus.iter("GPU-1", page_size=2))
    assert [one.taken_at.second for one in readings] == [0, 1, 2, 3]


@pytest.mark.parametrize("base", [f"{URL}/team/yard", f"{URL}/team/yard/", f" {URL}/team/yard// "])
def test_a_path_prefix_and_trailing_slashes_are_kept_apart(make: Make, base: str) -> None:
    wire = Wire(httpx.Response(200, json=job()))
    make(wire, base)(lambda c: c.jobs.get("j1"))
    assert str(wire.requests[0].url) == f"{URL}/team/yard/api/v1/jobs/j1"


@pytest.mark.parametrize(
    ("job_id", "segment"),
    [("a/b", "a%2Fb"), ("../keys", "..%2Fkeys"), ("a b?x=1#y", "a%20b%3Fx%3D1%23y"), ("é%", "%C3%A9%25")],
)
def test_an_id_cannot_leave_its_place_in_the_path(make: Make, job_id: str, segment: str) -> None:
    wire = Wire(httpx.Response(200, json=job()))
    make(wire)(lambda c: c.jobs.get(job_id))
    assert wire.requests[0].url.raw_path.decode() == f"/api/v1/jobs/{segment}"


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_an_id_that_no_path_can_hold_is_bad_input(make: Make, job_id: str) -> None:
    wire = Wire(httpx.Response(200, json=job()))
    with pytest.raises(errors.BadInput):
        make(wire)(lambda c: c.jobs.get(job_id))
    assert not wire.requests


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (413, errors.Invalid),
        (422, errors.Invalid),
        (429, errors.RateLimited),
        (500, errors.Unavailable),
        (503, errors.Unavailable),
        (418, errors.ApiError),
    ],
)
def test_each_status_has_its_exception(make: Make, status: int, kind: type[errors.ApiError]) -> None:
    with pytest.raises(errors.ApiError, match=f"{status} Problem: no such luck") as caught:
        make(Wire(problem(status, "no such luck")))(lambda c: c.jobs.get("j1"))
    assert type(caught.value) is kind
    assert (caught.value.status, caught.value.detail) == (status, "no such luck")
    assert caught.value.request_id == "R1"
    assert caught.value.problem["error"] == "no such luck"


def test_a_refused_field_is_named(make: Make) -> None:
    answer = problem(422, "The request is wrong", errors=[{"field": "limit", "message": "at most 100"}])
    with pytest.raises(errors.Invalid, match="The request is wrong; limit: at most 100"):
        make(Wire(answer))(lambda c: c.jobs.list(limit=1000))


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(502, html="<h1>Bad gateway</h1>"),
        httpx.Response(404, text="nothing here"),
        httpx.Response(307, headers={"Location": "https://elsewhere.test/"}),
        httpx.Response(200, html="<h1>Please log in</h1>"),
        httpx.Response(200, json={"status": "running"}),
        httpx.Response(500, content=b"\xff\xfe not text"),
        httpx.Response(500, json=["a list"]),
    ],
)
def test_an_answer_that_is_not_the_apis_says_whose_address_to_look_at(
    make: Make, answer: httpx.Response
) -> None:
    with pytest.raises(errors.ApiError, match=r"http://api\.test") as caught:
        make(Wire(answer))(lambda c: c.jobs.get("j1"))
    assert caught.value.status == answer.status_code


def test_an_unhealthy_api_is_an_answer(make: Make) -> None:
    body = {"status": "unhealthy", "checks": {"database": "unhealthy"}}
    assert make(Wire(httpx.Response(503, json=body)))(lambda c: c.health()).status == "unhealthy"
    with pytest.raises(errors.Unavailable):
        make(Wire(problem(503)))(lambda c: c.health())


def test_an_unreadable_answer_does_not_tell_what_was_in_it(make: Make) -> None:
    wire = Wire(httpx.Response(201, json={"key": KEY, "id": 7}))
    with pytest.raises(errors.ApiError) as caught:
        make(wire)(lambda c: c.keys.create(NewApiKey(name="n", scopes=["all"])))
    assert KEY not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize(
    "setback",
    [
        problem(429, headers={"Retry-After": "0"}),
        problem(503),
        httpx.Response(502, html="<h1>Bad gateway</h1>"),
        httpx.Response(504),
        httpx.ConnectError("refused"),
        httpx.ReadTimeout("slow"),
        httpx.RemoteProtocolError("hung up"),
    ],
)
def test_a_passing_setback_is_tried_again(make: Make, setback: Any) -> None:
    wire = Wire(setback, httpx.Response(201, json=job()))
    got = make(wire, patience=20.0)(lambda c: c.jobs.create(NewJob(model="m", flow_run_id="r")))
    assert got.id == "j1"
    assert len({(request.method, str(request.url), request.content) for request in wire.requests}) == 1
    assert len(wire.requests) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422, 500])
def test_what_will_not_pass_is_raised_at_once(make: Make, status: int) -> None:
    wire = Wire(problem(status))
    with pytest.raises(errors.ApiError):
        make(wire, patience=20.0)(lambda c: c.jobs.get("j1"))
    assert len(wire.requests) == 1


@pytest.mark.parametrize("setback", [problem(429), problem(503), httpx.ConnectError("refused")])
def test_no_patience_tries_once(make: Make, setback: Any) -> None:
    wire = Wire(setback)
    with pytest.raises(errors.TuneyardError):
        make(wire, patience=0.0)(lambda c: c.jobs.get("j1"))
    assert len(wire.requests) == 1


def test_when_patience_ends_the_last_meaning_is_raised(make: Make) -> None:
    wire = Wire(httpx.ConnectError("refused"), problem(429, "slow down", headers={"Retry-After": "3600"}))
    with pytest.raises(errors.RateLimited, match="slow down"):
        make(wire, patience=0.5)(lambda c: c.jobs.get("j1"))
    assert len(wire.requests) == 3


def test_no_answer_names_the_address_and_what_to_do(make: Make) -> None:
    with pytest.raises(errors.Unreachable) as caught:
        make(Wire(httpx.ConnectError("[Errno 111] refused")))(lambda c: c.jobs.get("j1"))
    for part in (URL, "[Errno 111] refused", "python -m api serve", "TUNEYARD_API_URL"):
        assert part in str(caught.value)


@pytest.mark.parametrize("answer", [problem(401), httpx.ConnectError("x"), httpx.Response(200, text="no")])
def test_neither_repr_nor_exceptions_lead_to_the_key(make: Make, answer: Any) -> None:
    driver = make(Wire(answer), job_token=TOKEN)
    with pytest.raises(errors.TuneyardError) as caught:
        driver(lambda c: c.jobs.get("j1"))
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert not any(isinstance(value, httpx.Request | httpx.Response) for value in vars(error).values())
    assert URL in repr(driver.client)
    for text in (repr(driver.client), str(error), repr(vars(error))):
        assert KEY not in text
        assert TOKEN not in text


def test_key_and_token_travel_in_their_headers(make: Make) -> None:
    wire = Wire(httpx.Response(200, json=job()))
    make(wire, api_key=f" {KEY}\n")(lambda c: c.jobs.get("j1"))
    make(wire, api_key=None, job_token=TOKEN)(lambda c: c.jobs.end("j1", JobEnd(status="completed")))
    assert wire.requests[0].headers["X-API-Key"] == KEY
    assert "Authorization" not in wire.requests[0].headers
    assert wire.requests[1].headers["Authorization"] == f"Bearer {TOKEN}"
    assert "X-API-Key" not in wire.requests[1].headers
    assert all(KEY not in str(request.url) for request in wire.requests)


def test_what_a_run_writes_goes_with_the_job_token_alone(make: Make) -> None:
    reported = {"count": 1, "job_status": "running"}
    artifact = {"id": "a", "kind": "model", "name": "n", "uri": "u", "size_bytes": 1, "created_at": NOW}
    answers = [httpx.Response(200, json=one) for one in (reported, job(), artifact, job())]
    wire = Wire(*answers)
    driver = make(wire, job_token=TOKEN)
    driver(lambda c: c.metrics.push("j1", [MetricPoint(step=1)]))
    driver(lambda c: c.jobs.update("j1", JobFacts(stage="s")))
    driver(lambda c: c.artifacts.create(NewArtifact(name="n", uri="u", size_bytes=1)))
    driver(lambda c: c.jobs.get("j1"))
    assert ["X-API-Key" in request.headers for request in wire.requests] == [False, False, False, True]
    assert all(request.headers["Authorization"] == f"Bearer {TOKEN}" for request in wire.requests)


@pytest.mark.parametrize("key", ["", "  ", "wak_a\nb", "wak_schlüssel", "two words"])
def test_a_key_that_no_header_can_carry_is_refused_without_being_shown(make: Make, key: str) -> None:
    with pytest.raises(errors.BadInput) as caught:
        make(Wire(problem(500)), api_key=key)
    assert not key.strip() or key not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8400",
        "ftp://h",
        "",
        "http://",
        "http://user:hunter2@h",
        "http://h?a=1",
        "user:hunter2@h",
        "http://[::1",
    ],
)
def test_an_address_that_cannot_be_one_is_bad_input(make: Make, url: str) -> None:
    with pytest.raises(errors.BadInput, match="base_url") as caught:
        make(Wire(problem(500)), url)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 100])
def test_every_job_comes_once_at_any_page_size(make: Make, size: int) -> None:
    jobs = [job(f"j{number}") for number in range(7)]
    got = make(Wire(lambda request: paged(jobs, request)))(lambda c: c.jobs.iter(page_size=size))
    assert [one.id for one in got] == [one["id"] for one in jobs]


def test_a_server_that_gives_smaller_pages_than_asked_loses_nothing(make: Make) -> None:
    jobs = [job(f"j{number}") for number in range(7)]

    def stingy(request: httpx.Request) -> httpx.Response:
        offset = int(request.url.params["offset"])
        return httpx.Response(200, json=page(jobs[offset : offset + 2], len(jobs), 2, offset))

    assert len(make(Wire(stingy))(lambda c: c.jobs.iter(page_size=100))) == 7


def test_jobs_that_come_in_while_reading_repeat_none(make: Make) -> None:
    jobs = [job(f"j{number}") for number in range(5)]

    def busy(request: httpx.Request) -> httpx.Response:
        answer = paged(jobs, request)
        jobs.insert(0, job(f"new{len(jobs)}")) if len(jobs) < 9 else None
        return answer

    got = [one.id for one in make(Wire(busy))(lambda c: c.jobs.iter(page_size=2))]
    assert got == ["j0", "j1", "j2", "j3", "j4"]


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_metric_rows_of_equal_steps_come_once_each(make: Make, size: int) -> None:
    rows = [{"step": step, "attempt": attempt, "timestamp": NOW} for step in range(4) for attempt in (1, 2)]
    got = make(Wire(lambda request: paged(rows, request)))(lambda c: c.metrics.iter("j1", page_size=size))
    assert [(row.step, row.attempt) for row in got] == [(row["step"], row["attempt"]) for row in rows]


def test_a_late_row_of_an_earlier_step_repeats_none(make: Make) -> None:
    rows = [{"step": step, "attempt": 1, "timestamp": NOW} for step in range(10, 16)]

    def late(request: httpx.Request) -> httpx.Response:
        answer = paged(rows, request)
        if rows[0]["step"] == 10:
            rows.insert(0, {"step": 0, "attempt": 1, "timestamp": NOW})
        return answer

    got = [row.step for row in make(Wire(late))(lambda c: c.metrics.iter("j1", page_size=2))]
    assert got == list(range(10, 16))


def test_predictions_come_once_each_in_order(make: Make) -> None:
    rows = [{"id": str(at), "prompt_index": at, "prompt": "p", "expected": "e"} for at in range(5)]
    wire = Wire(lambda request: paged(rows, request))
    got = make(wire)(lambda c: c.tests.iter_predictions("t1", page_size=2))
    assert [one.prompt_index for one in got] == list(range(5))


def test_watching_gives_the_first_reading_and_each_change_until_the_end(make: Make) -> None:
    readings = [
        job(),
        job(),
        job(current_step=10),
        job(current_step=10),
        job(status="completed", current_step=20),
    ]
    wire = Wire(*(httpx.Response(200, json=reading) for reading in readings))
    seen = make(wire)(lambda c: c.jobs.watch("j1", every=0.001))
    assert [(one.status, one.current_step) for one in seen] == [
        ("running", None),
        ("running", 10),
        ("completed", 20),
    ]
    assert len(wire.requests) == 5


def test_from_env_takes_address_and_key_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "key").write_text(f"{KEY}\n")
    monkeypatch.setenv("TUNEYARD_API_KEY_FILE", str(tmp_path / "key"))
    wire = Wire(httpx.Response(200, json=job()))
    with tuneyard.Client.from_env(transport=httpx.MockTransport(wire)) as client:
        client.jobs.get("j1")
    monkeypatch.setenv("TUNEYARD_API_KEY", "wak_other")
    monkeypatch.setenv("TUNEYARD_API_URL", "http://yard.test/")
    with tuneyard.Client.from_env(transport=httpx.MockTransport(wire)) as client:
        client.jobs.get("j1")
    assert [str(request.url) for request in wire.requests] == [
        "http://127.0.0.1:8400/api/v1/jobs/j1",
        "http://yard.test/api/v1/jobs/j1",
    ]
    assert [request.headers["X-API-Key"] for request in wire.requests] == [KEY, "wak_other"]


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_without_a_usable_key_from_env_says_how_to_get_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    with pytest.raises(errors.BadInput, match="tuneyard keys create"):
        tuneyard.Client.from_env()
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("TUNEYARD_API_KEY_FILE", str(file))
    with pytest.raises(errors.BadInput, match=r"key: TUNEYARD_API_KEY_FILE"):
        tuneyard.Client.from_env()


@given(st.floats(0.001, 3600), st.lists(st.one_of(st.none(), st.floats(0, 1e6)), max_size=40))
def test_pauses_never_outlast_patience(patience: float, asked: list[float | None]) -> None:
    now = [0.0]
    counter = Patience(patience, clock=lambda: now[0])
    for one in asked:
        pause = counter.next_pause(one)
        if pause is None:
            assert now[0] >= patience
            return
        assert 0 < pause <= patience - now[0]
        assert pause <= one if one else True
        now[0] += pause


@given(st.integers(1, 10**6))
def test_backoff_grows_to_a_bound(tries: int) -> None:
    assert 0 < backoff(tries, longest=30.0) <= 30.0


def test_retry_after_is_read_as_seconds_or_as_a_date() -> None:
    now = datetime(2026, 11, 21, 10, tzinfo=UTC)
    soon = format_datetime(now + timedelta(seconds=90), usegmt=True)
    past = format_datetime(now - timedelta(days=1), usegmt=True)
    assert [seconds_asked(text, now) for text in ("7", soon, past)] == [7.0, 90.0, 0.0]
    assert [seconds_asked(text, now) for text in (None, "", "soon", "-1", "²", "Fri, 99 Nov")] == [None] * 6


def test_a_proxy_of_the_environment_is_passed_by_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens at either: the refusal (111) is this machine's, not a proxy's unknown name."""
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid:1")
    monkeypatch.delenv("NO_PROXY", raising=False)
    with (
        tuneyard.Client("http://127.0.0.1:9", KEY, patience=0) as client,
        pytest.raises(errors.Unreachable, match="111"),
    ):
        client.health()


def test_a_time_out_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        client = tuneyard.Client(url, KEY, patience=0, timeout=0.05)
        with client, pytest.raises(errors.Unreachable, match="timed out"):
            client.health()
