"""Who may call what: every route with every kind of caller, against a table that a person wrote.

A route without a row fails. `in` means that the caller was let in: what became of the request is another matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from api import tables
from api.access.auth import every_route_declares
from api.access.key_making import fresh_row, permissions_of
from api.access.permissions import PERMISSIONS, ROLES, SCOPES, SETS
from tests.api_fixtures import Office, Served
from tuneyard import keys
from tuneyard.shapes import NewApiKey

ANYBODY, ANY_CALLER = "anybody", "any key, any person"
NEWCOMER = "any key, any person, also one who must choose a password"
RUN, NAMED_RUN = "the job's run", "the run of the job that the body names"
PERSON, SETTLED = "a person", "a person with a password of their own"
OVER_A_VIEWER = "users:write and all that a viewer may"
V1 = "/api/v1"
LOCAL = "/api/training/local"
TUNING = "/v1/fine_tuning/jobs"

# method, path: who may. "x or y": either permission; "x or run": also the run that holds the job's token; "x or any
# run": whichever run.
TABLE: dict[tuple[str, str], str] = {
    ("GET", "/"): ANYBODY,
    ("GET", "/health"): ANYBODY,
    ("GET", f"{V1}/system"): ANY_CALLER,
    ("GET", "/metrics"): "server:read",
    ("POST", f"{V1}/jobs"): "jobs:write",
    ("GET", f"{V1}/jobs"): "jobs:read",
    ("GET", f"{V1}/jobs/{{job_id}}"): "jobs:read or predictions:write",
    ("PATCH", f"{V1}/jobs/{{job_id}}"): RUN,
    ("POST", f"{V1}/jobs/{{job_id}}/claim"): "jobs:claim",
    ("POST", f"{V1}/jobs/{{job_id}}/cancel"): "jobs:write",
    ("POST", f"{V1}/jobs/{{job_id}}/end"): "jobs:claim or run",
    ("POST", f"{V1}/jobs/{{job_id}}/heartbeat"): RUN,
    ("POST", f"{V1}/jobs/{{job_id}}/pause"): "jobs:write",
    ("POST", f"{V1}/jobs/{{job_id}}/resume"): "jobs:write",
    ("POST", f"{V1}/jobs/$close-lost"): "jobs:claim",
    ("POST", f"{V1}/jobs/{{job_id}}/launched"): "jobs:claim",
    ("POST", f"{V1}/jobs/{{job_id}}/events"): RUN,
    ("GET", f"{V1}/jobs/{{job_id}}/events"): "jobs:read",
    ("POST", f"{V1}/jobs/{{job_id}}/logs"): RUN,
    ("GET", f"{V1}/jobs/{{job_id}}/logs"): "jobs:read",
    ("GET", f"{V1}/jobs/{{job_id}}/errors"): "jobs:read",
    ("POST", f"{V1}/ml/$train"): "jobs:write",
    ("POST", f"{V1}/ml/$predict"): "predictions:write",
    ("POST", f"{V1}/ml/$test"): "tests:write",
    ("POST", f"{V1}/ml/$validate"): "jobs:write",
    ("POST", f"{V1}/ml/$merge"): "jobs:write",
    ("POST", f"{V1}/ml/$pipeline"): "aliases:write",
    ("POST", f"{V1}/configs"): "configs:write",
    ("GET", f"{V1}/configs"): "configs:read",
    ("GET", f"{V1}/configs/$schema"): "configs:read",
    ("GET", f"{V1}/configs/{{config_id}}"): "configs:read",
    ("PUT", f"{V1}/configs/{{config_id}}"): "configs:write",
    ("DELETE", f"{V1}/configs/{{config_id}}"): "configs:write",
    ("GET", f"{V1}/configs/{{config_id}}/$artifacts"): "configs:read",
    ("POST", f"{V1}/configs/{{config_id}}/$link-artifact"): "configs:write",
    ("POST", f"{V1}/configs/{{config_id}}/$unlink-artifact"): "configs:write",
    ("DELETE", f"{V1}/jobs/{{job_id}}"): "jobs:write",
    ("PUT", f"{V1}/jobs/{{job_id}}/metrics"): RUN,
    ("POST", f"{V1}/jobs/{{job_id}}/metrics"): RUN,
    ("GET", f"{V1}/jobs/{{job_id}}/metrics"): "metrics:read",
    ("GET", f"{V1}/jobs/{{job_id}}/$stream"): "metrics:read",
    ("POST", f"{V1}/datasets"): "datasets:write or any run",
    ("GET", f"{V1}/datasets"): "datasets:read",
    ("GET", f"{V1}/datasets/{{dataset_id}}"): "datasets:read",
    ("DELETE", f"{V1}/datasets/{{dataset_id}}"): "datasets:write",
    ("POST", f"{V1}/datasets/$upload"): "datasets:write",
    ("GET", f"{V1}/datasets/{{dataset_id}}/$download"): "datasets:read",
    ("HEAD", f"{V1}/datasets/{{dataset_id}}/$download"): "datasets:read",
    ("POST", f"{V1}/artifacts"): "artifacts:write or any run",
    ("GET", f"{V1}/artifacts"): "artifacts:read",
    ("GET", f"{V1}/artifacts/{{artifact_id}}"): "artifacts:read",
    ("DELETE", f"{V1}/artifacts/{{artifact_id}}"): "artifacts:write",
    ("GET", f"{V1}/artifacts/{{artifact_id}}/$metadata"): "artifacts:read",
    ("GET", f"{V1}/artifacts/{{artifact_id}}/$expand"): "artifacts:read",
    ("GET", f"{V1}/artifacts/{{artifact_id}}/$config"): "artifacts:read",
    ("GET", f"{V1}/artifacts/{{artifact_id}}/files"): "artifacts:read",
    ("GET", f"{V1}/artifacts/{{artifact_id}}/$tree"): "artifacts:read",
    ("GET", f"{V1}/artifacts/{{artifact_id}}/$download"): "artifacts:read",
    ("HEAD", f"{V1}/artifacts/{{artifact_id}}/$download"): "artifacts:read",
    ("GET", f"{V1}/aliases"): "artifacts:read",
    ("GET", f"{V1}/aliases/{{name}}"): "artifacts:read",
    ("GET", f"{V1}/aliases/{{name}}/moves"): "artifacts:read",
    ("POST", f"{V1}/aliases/{{name}}/promote"): "aliases:write",
    ("POST", f"{V1}/aliases/{{name}}/undo"): "aliases:write",
    ("POST", f"{V1}/test-suites"): "suites:write",
    ("GET", f"{V1}/test-suites"): "suites:read",
    ("GET", f"{V1}/test-suites/{{suite_id}}"): "suites:read",
    ("PUT", f"{V1}/test-suites/{{suite_id}}"): "suites:write",
    ("GET", f"{V1}/test-suites/{{suite_id}}/versions"): "suites:read",
    ("GET", "/api/test-suites"): "suites:read",
    ("POST", f"{V1}/jobs/{{job_id}}/predictions"): RUN,
    ("GET", f"{V1}/jobs/{{job_id}}/predictions"): "metrics:read",
    ("POST", f"{LOCAL}/predictions"): NAMED_RUN,
    ("GET", f"{LOCAL}/predictions"): "metrics:read",
    ("GET", "/api/training/predictions/{job_id}"): "metrics:read",
    ("POST", "/api/test-suites"): "suites:write",
    ("POST", f"{V1}/batch-tests"): "tests:write",
    ("GET", f"{V1}/batch-tests"): "tests:read",
    ("GET", f"{V1}/batch-tests/{{job_id}}"): "tests:read",
    ("POST", f"{V1}/batch-tests/compare"): "tests:read",
    ("GET", f"{V1}/batch-tests/{{job_id}}/summary"): "tests:read",
    ("GET", f"{V1}/batch-tests/{{job_id}}/report"): "tests:read",
    ("DELETE", f"{V1}/batch-tests/{{job_id}}"): "tests:write",
    ("POST", f"{V1}/batch-tests/{{job_id}}/cancel"): "tests:write",
    ("POST", f"{V1}/batch-tests/{{job_id}}/archive"): "tests:write",
    ("POST", f"{V1}/batch-tests/{{job_id}}/restore"): "tests:write",
    ("POST", f"{V1}/batch-tests/{{job_id}}/predictions"): RUN,
    ("GET", f"{V1}/batch-tests/{{job_id}}/predictions"): "tests:read",
    ("POST", f"{V1}/gpus/samples"): "gpus:write",
    ("GET", f"{V1}/gpus"): "gpus:read",
    ("GET", f"{V1}/gpus/{{uuid}}/samples"): "gpus:read",
    ("GET", f"{V1}/jobs/{{job_id}}/gpu"): "jobs:read",
    ("GET", f"{V1}/events"): "events:read",
    ("POST", f"{V1}/auth/login"): ANYBODY,
    ("POST", f"{V1}/auth/logout"): PERSON,
    ("GET", f"{V1}/auth/me"): NEWCOMER,
    ("POST", f"{V1}/auth/password"): PERSON,
    ("GET", f"{V1}/auth/sessions"): SETTLED,
    ("DELETE", f"{V1}/auth/sessions/{{session_id}}"): SETTLED,
    ("GET", f"{V1}/users"): "users:read",
    ("POST", f"{V1}/users"): "users:write",
    ("GET", f"{V1}/users/{{user_id}}"): "users:read",
    ("PATCH", f"{V1}/users/{{user_id}}"): OVER_A_VIEWER,
    ("POST", f"{V1}/users/{{user_id}}/disable"): OVER_A_VIEWER,
    ("POST", f"{V1}/users/{{user_id}}/enable"): OVER_A_VIEWER,
    ("POST", f"{V1}/users/{{user_id}}/reset-password"): OVER_A_VIEWER,
    ("POST", f"{LOCAL}/jobs"): "jobs:write",
    ("GET", f"{LOCAL}/jobs"): "metrics:read",
    ("GET", "/api/training/jobs"): "metrics:read",
    ("GET", f"{LOCAL}/{{job_id}}/status"): "metrics:read",
    ("PATCH", f"{LOCAL}/{{job_id}}/status"): RUN,
    ("POST", f"{LOCAL}/{{job_id}}/control"): "jobs:write",
    ("POST", f"{LOCAL}/{{job_id}}/resume"): "jobs:write",
    ("GET", f"{LOCAL}/metrics"): "metrics:read",
    ("GET", f"{LOCAL}/{{job_id}}/metrics"): "metrics:read",
    ("GET", "/api/training/jobs/{job_id}/metrics"): "metrics:read",
    ("PUT", f"{LOCAL}/{{job_id}}/metrics"): RUN,
    ("POST", "/api/training/jobs/{job_id}/metrics"): RUN,
    ("POST", f"{LOCAL}/metrics"): NAMED_RUN,
    ("POST", "/v1/jobs"): "predictions:write",
    ("GET", "/v1/jobs/history"): "predictions:write",
    ("GET", "/v1/jobs/{job_id}"): "predictions:write",
    ("GET", "/v1/jobs/{job_id}/result"): "predictions:write",
    ("POST", "/v1/jobs/{job_id}/cancel"): "predictions:write",
    ("GET", "/api/batch-testing/status/{job_id}"): "tests:read",
    ("POST", "/api/batch-testing/run"): "tests:write",
    ("POST", "/api/batch-testing/cancel"): "tests:write",
    ("POST", "/api/batch-testing/archive"): "tests:write",
    ("PATCH", "/api/batch-testing/archive"): "tests:write",
    ("DELETE", "/api/batch-testing/archive"): "tests:write",
    ("POST", f"{LOCAL}/start"): "jobs:write",
    ("POST", "/api/training/execute"): "jobs:write",
    ("GET", "/api/training/agent/poll"): "metrics:read",
    ("POST", "/api/training/agent/claim/{job_id}"): "jobs:write",
    ("GET", f"{LOCAL}/{{job_id}}/logs"): "metrics:read",
    ("POST", f"{LOCAL}/{{job_id}}/logs"): RUN,
    ("GET", f"{LOCAL}/{{job_id}}/errors"): "metrics:read",
    ("GET", "/api/training/predictions/{job_id}/epochs"): "metrics:read",
    ("GET", "/api/user/api-key-scopes"): ANY_CALLER,
    ("POST", "/auth/login"): ANYBODY,
    ("POST", "/auth/signin"): ANYBODY,
    ("POST", "/signin"): ANYBODY,
    ("POST", "/auth/logout"): PERSON,
    ("POST", "/auth/signout"): PERSON,
    ("GET", "/auth/me"): NEWCOMER,
    ("GET", "/training/datasets"): "datasets:read",
    ("GET", "/training/datasets/{dataset_id}"): "datasets:read",
    ("GET", "/api/user/api-keys"): "keys:own",
    ("POST", "/api/user/api-keys"): "keys:own",
    ("DELETE", "/api/user/api-keys/{key_id}"): "keys:own",
    ("GET", "/api/user/api-keys/{key_id}/usage"): "keys:own",
    ("POST", "/v1/files"): "datasets:write",
    ("GET", "/v1/files"): "datasets:read",
    ("GET", "/v1/files/{file_id}"): "datasets:read",
    ("GET", "/v1/files/{file_id}/content"): "datasets:read",
    ("DELETE", "/v1/files/{file_id}"): "datasets:write",
    ("POST", TUNING): "jobs:write",
    ("GET", TUNING): "jobs:read",
    ("GET", f"{TUNING}/{{job_id}}"): "jobs:read",
    ("POST", f"{TUNING}/{{job_id}}/cancel"): "jobs:write",
    ("POST", f"{TUNING}/{{job_id}}/pause"): "jobs:write",
    ("POST", f"{TUNING}/{{job_id}}/resume"): "jobs:write",
    ("GET", f"{TUNING}/{{job_id}}/events"): "jobs:read",
    ("GET", f"{TUNING}/{{job_id}}/checkpoints"): "metrics:read",
    ("GET", "/v1/models"): "artifacts:read",
    ("GET", "/v1/models/{model}"): "artifacts:read",
    ("DELETE", "/v1/models/{model}"): "artifacts:write",
}
for prefix in ("/api-keys", f"{V1}/api-keys"):
    for slash in ("", "/"):
        TABLE["GET", prefix + slash] = TABLE["POST", prefix + slash] = "keys:own"
    TABLE["GET", f"{prefix}/permission-sets"] = ANY_CALLER
    TABLE["GET", f"{prefix}/{{key_id}}"] = TABLE["PUT", f"{prefix}/{{key_id}}"] = "keys:own"
    for act in ("revoke", "extend", "rotate"):
        TABLE["POST", f"{prefix}/{{key_id}}/{act}"] = "keys:own"

# A body that each of these accepts, so that nothing but the object is missing.
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("POST", f"{V1}/jobs/{{job_id}}/claim"): {"host": "h", "pid": 1},
    ("POST", f"{V1}/jobs/{{job_id}}/end"): {"status": "failed"},
    ("POST", f"{V1}/aliases/{{name}}/promote"): {"artifact_id": "a", "baseline": "b", "candidate": "c"},
    ("PATCH", f"{V1}/users/{{user_id}}"): {"role": "viewer"},
    ("PUT", f"{V1}/configs/{{config_id}}"): {"name": "c", "data": {"model": "m", "dataset": "d"}},
    ("POST", f"{V1}/configs/{{config_id}}/$link-artifact"): {"artifact_id": "a"},
    ("POST", f"{V1}/configs/{{config_id}}/$unlink-artifact"): {"artifact_id": "a"},
    ("POST", f"{V1}/users/{{user_id}}/disable"): {},
    ("POST", f"{V1}/users/{{user_id}}/enable"): {},
    ("POST", f"{V1}/users/{{user_id}}/reset-password"): {},
}


@dataclass
class Who:
    """A kind of caller: what they show, and what that stands for."""

    kind: str
    secret: str | None = None
    permissions: frozenset[str] = frozenset()
    must_change: bool = False
    cookie: bool = False


def expected(who: Who, rule: str) -> set[str]:
    """`401`, `403` or `in`: what the table says of this caller."""
    if rule == ANYBODY:
        return {"in"}
    permissions = rule.split(" or ")
    for_runs = rule in (RUN, NAMED_RUN)
    if who.kind == "none" or who.kind == "refused":
        return {"401"}
    if who.kind == "own run":
        return {"in"} if for_runs or rule.endswith((" or run", " or any run")) else {"401"}
    if who.kind == "other run":
        return {"in"} if rule.endswith("any run") else {"401"}
    if for_runs:
        return {"401"}
    if rule in (ANY_CALLER, NEWCOMER):
        return {"in"} if rule == NEWCOMER or not who.must_change else {"403"}
    if rule in (PERSON, SETTLED):
        return {"in"} if who.kind == "person" and not (who.must_change and rule == SETTLED) else {"403"}
    if who.must_change:
        return {"403"}
    if rule == OVER_A_VIEWER:
        return {"in"} if who.permissions >= ROLES["viewer"] | {"users:write"} else {"403"}
    return {"in"} if who.permissions & {*permissions} else {"403"}


class Town(Office):
    """A workspace with one of each object, and every kind of caller."""

    def __init__(self, served: Served) -> None:
        super().__init__(served)
        self.admin = self.key("admin")
        self.job, self.token = self.claimed_test()
        self.victim = self.new_job()
        post = {"key": self.admin}
        made = {
            "dataset_id": ("datasets", {"name": "d", "uri": "u", "sha256": "0" * 64, "rows": 1}),
            "artifact_id": ("artifacts", {"name": "d", "uri": "u", "size_bytes": 1}),
            "config_id": ("configs", {"name": "c", "data": {"model": "m", "dataset": "d"}}),
            "suite_id": ("test-suites", {"name": "s", "prompts": [{"prompt": "a", "expected": "b"}]}),
            "key_id": ("api-keys", {"name": "k", "scopes": ["production"]}),
        }
        self.ids = {
            name: self.call("POST", f"{V1}/{kind}", json=body, **post).json()["id"]
            for name, (kind, body) in made.items()
        }
        alias = tables.ModelAlias(workspace_id=self.workspace_id, name="production")
        with served.database.writing() as session:
            session.add(alias)
        self.ids |= {"user_id": self.person("viewer").id, "session_id": "0" * 26, "name": alias.name}
        self.ids |= {"uuid": self.card(), "file_id": self.file(), "model": self.ids["artifact_id"]}

    def file(self) -> str:
        """A data set that was uploaded."""
        path = f"{V1}/datasets/$upload?file_name=rows.jsonl"
        return str(self.call("POST", path, self.admin, content=b'{"prompt": "a"}\n').json()["id"])

    def card(self) -> str:
        """A GPU that was read once."""
        reading = {"host": "h", "taken_at": tables.now().isoformat(), "gpus": [{"uuid": "GPU-0", "index": 0}]}
        answer = self.call("POST", f"{V1}/gpus/samples", self.admin, json={"samples": [reading]})
        assert answer.status_code == 201, answer.text
        return "GPU-0"

    def claimed_test(self) -> tuple[str, str]:
        """A batch test that a run has claimed: it takes metrics and predictions alike."""
        test = self.call("POST", f"{V1}/batch-tests", self.admin, json={"suite": "s", "model": "m"}).json()[
            "id"
        ]
        return test, self.claim(test)

    def person(self, role: str, **fields: Any) -> tables.User:
        row = tables.User(
            workspace_id=self.workspace_id,
            name=tables.new_id().lower(),
            role=role,
            password_hash="none opens with this",
            **{"must_change_password": False} | fields,
        )
        with self.served.database.writing() as session:
            session.add(row)
        return row

    def session(self, user: tables.User, **fields: Any) -> str:
        token = keys.mint_session_token()
        row = tables.LoginSession(
            workspace_id=self.workspace_id,
            user_pk=user.pk,
            digest=self.served.pepper.digest(token),
            **{"expires_at": tables.now() + timedelta(hours=1)} | fields,
        )
        with self.served.database.writing() as session:
            session.add(row)
        return token

    def key_with(self, *permissions: str, **fields: Any) -> str:
        new = NewApiKey(name="k", permissions=list(permissions))
        row, text = fresh_row(self.workspace_id, new, sorted(permissions_of(new)), self.served.pepper)
        for name, value in fields.items():
            setattr(row, name, value)
        with self.served.database.writing() as session:
            session.add(row)
        return text


def callers(town: Town) -> Iterator[Who]:
    past = tables.now() - timedelta(seconds=1)
    good = town.key("all")
    broken = good[:-1] + ("a" if good[-1] != "a" else "b")
    yield Who("none")
    for text in (
        keys.mint().text,
        broken,
        "wak_",
        "sk_0123456789abcdefgh",
        "wst_" + "j" * 43,
        "j" * 43,
        "no",
    ):
        yield Who("refused", text)
    yield Who("refused", town.key_with("jobs:read", expires_at=past))
    yield Who("refused", town.key_with("jobs:read", revoked_at=past))
    for permission in PERMISSIONS:
        yield Who("key", town.key_with(permission), frozenset({permission}))
    for scope, permissions in SCOPES.items():
        yield Who("key", town.key(scope), permissions)
    for name, members in SETS.items():
        yield Who("key", town.key_with(*members), permissions_of(NewApiKey(name=name, permission_set=name)))
    for role in ("viewer", "member", "admin", "owner"):
        yield Who("person", town.session(town.person(role)), ROLES[role])
    yield Who("person", town.session(town.person("member")), ROLES["member"], cookie=True)
    fresh = town.session(town.person("owner", must_change_password=True))
    yield Who("person", fresh, ROLES["owner"], must_change=True)
    yield Who("refused", town.session(town.person("owner"), ended_at=past))
    yield Who("refused", town.session(town.person("owner"), expires_at=past))
    yield Who("refused", town.session(town.person("owner", disabled_at=past)))
    yield Who("own run", town.token)
    yield Who("other run", town.claimed_job()[1])
    job, superseded = town.claimed_job()
    town.claim(job)
    yield Who("refused", superseded)
    job, over = town.claimed_job()
    assert town.end(job, over).status_code == 200
    town.end_long_ago(job, timedelta(minutes=11))
    yield Who("refused", over)


@pytest.fixture(scope="module")
def town(sqlite_served: Served) -> Iterator[Town]:
    found = Town(sqlite_served)
    yield found
    found.http.close()


def routes(app: FastAPI) -> set[tuple[str, str]]:
    return {
        (method, route.path_format or "")
        for route in iter_route_contexts(app.routes)
        if isinstance(route.original_route, APIRoute)
        for method in route.methods or ()
    }


def test_the_table_has_a_row_for_every_route_and_no_other(town: Town) -> None:
    assert routes(town.served.app) == TABLE.keys()


def answer_to(town: Town, who: Who, method: str, path: str, rule: str) -> tuple[int, str]:
    """The status, and what it says of who asked."""
    mine = rule == RUN or rule.endswith("or run")
    ids = town.ids | {"job_id": town.job if mine else town.victim}
    headers, given = {}, {}
    if who.cookie:
        headers["Cookie"] = f"tuneyard_session={who.secret}"
    elif who.secret is not None:
        headers |= key_header(who.secret)
    if method != "GET":
        given["json"] = BODIES[method, path] if rule == OVER_A_VIEWER else {}
        if rule == NAMED_RUN:
            given["json"] = {"job_id": town.job, "metrics": [{"step": 1, "epoch": 0}]}
    town.http.cookies.clear()
    with town.http.stream(method, path.format(**ids), headers=headers, **given) as answer:
        if not path.endswith("/$stream"):  # which has no end before its job has
            answer.read()
    said = str(answer.status_code) if answer.status_code in (401, 403) else "in"
    assert answer.status_code < 500, (method, path)
    return answer.status_code, said


def key_header(secret: str) -> dict[str, str]:
    token = len(secret) in (43, 47)
    return {"Authorization": f"Bearer {secret}"} if token else {"X-API-Key": secret}


@pytest.mark.parametrize(("method", "path"), TABLE, ids=[f"{m} {p}" for m, p in TABLE])
def test_a_route_lets_in_whom_the_table_says(
    town: Town, everybody: list[Who], method: str, path: str
) -> None:
    rule = TABLE[method, path]
    wrong = []
    for who in everybody:
        if who.kind == "person" and path.endswith(("/logout", "/signout")):
            continue  # they would be gone for the routes after it
        status, said = answer_to(town, who, method, path, rule)
        if path.endswith(("/login", "/signin")):
            assert status in (400, 422)  # an empty form: nobody was asked who they are
            continue
        if said not in expected(who, rule):
            wrong.append((who.kind, sorted(who.permissions)[:3], status, expected(who, rule)))
    assert not wrong


@pytest.fixture(scope="module")
def everybody(town: Town) -> list[Who]:
    return list(callers(town))


def test_an_app_with_a_route_that_declares_nothing_is_refused() -> None:
    app, inner, outer = FastAPI(), APIRouter(prefix="/inner"), APIRouter(prefix="/outer")

    @inner.get("/silent")
    def silent() -> None: ...

    outer.include_router(inner)
    app.include_router(outer)
    with pytest.raises(TypeError, match="/outer/inner/silent"):
        every_route_declares(app)


def test_a_foreign_object_answers_as_a_missing_one_byte_for_byte(town: Town) -> None:
    """All but what no two answers share: the time, the request's number, and the path that was asked for."""
    abroad = Office(town.served)
    outsider = abroad.key("admin")
    seen = 0
    for (method, path), rule in TABLE.items():
        named = re.search(r"\{(\w+)\}", path)
        if named is None or rule in (RUN, NAMED_RUN, PERSON, SETTLED, ANYBODY, ANY_CALLER, NEWCOMER):
            continue
        name = named[1]
        real = town.ids.get(name, town.victim)
        if name == "job_id" and "batch" in path:
            real = town.job
        missing = real[:-1] + ("0" if real[-1] != "0" else "1")
        body = BODIES.get((method, path), {})
        given: dict[str, Any] = {"headers": {"X-Agent-ID": "agent_abroad"}}
        given |= {} if method == "GET" else {"json": body}
        answers = [abroad.call(method, path.format(**{name: x}), outsider, **given) for x in (real, missing)]
        assert [answer.status_code for answer in answers] == [404, 404], (method, path, answers[0].text)
        foreign, absent = (
            (
                sorted(_lasting(answer.headers).items()),
                answer.text.replace(x, "ID").replace(_number(answer), ""),
            )
            for answer, x in zip(answers, (real, missing), strict=True)
        )
        assert foreign == absent
        seen += 1
    abroad.http.close()
    assert seen > 30


def _lasting(headers: Any) -> dict[str, str]:
    passing = ("date", "x-request-id", "ratelimit")
    return {name: value for name, value in headers.items() if name not in passing}


def _number(answer: Any) -> str:
    number: str = answer.headers["X-Request-ID"]
    return number
