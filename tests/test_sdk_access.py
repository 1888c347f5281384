"""What both clients promise about keys, people, sessions and events."""

from __future__ import annotations

import json
import traceback
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

import tuneyard
from tests.sdk_fixtures import KEY, NOW, TOKEN, Make, Wire, api_key, page, paged, user
from tests.sdk_fixtures import make as make
from tuneyard import errors
from tuneyard.shapes import KeyChanges, NewUser, Role, UserChanges

PASSWORD = "hunter2"
SESSION = "wst_" + "t" * 43
ROTATED = api_key(key=KEY, replaces="a1", old_key_expires_at=NOW)
INVITED = user(one_time_password="once")
OPENED = {"token": SESSION, "expires_at": NOW, "user": user()}
ME = {"mode": "apiKey", "name": "ci", "workspace": "yard", "scopes": [], "permissions": []}
SETS: dict[str, Any] = {"permission_sets": {}, "scopes": {}, "permissions": {}}


def an_event(event_id: str = "e1") -> dict[str, Any]:
    who = {"actor_kind": "person", "actor_id": "u1", "actor_name": "ada"}
    return {"id": event_id, "at": NOW, "action": "key.created", "object_kind": "key", "object_id": "a1"} | who


ROUTES: list[tuple[Callable[[Any], Any], str, str, Any, Any]] = [
    (lambda c: c.keys.list(), "GET", "api-keys?limit=50&offset=0&active_only=true", page([], 0, 50, 0), None),
    (
        lambda c: c.keys.list(5, 10, active_only=False),
        "GET",
        "api-keys?limit=5&offset=10&active_only=false",
        page([], 0, 5, 10),
        None,
    ),
    (lambda c: c.keys.get("a1"), "GET", "api-keys/a1", api_key(), None),
    (lambda c: c.keys.update("a1", KeyChanges(name="n")), "PUT", "api-keys/a1", api_key(), {"name": "n"}),
    (lambda c: c.keys.revoke("a1"), "POST", "api-keys/a1/revoke", api_key(), None),
    (lambda c: c.keys.extend("a1", 30), "POST", "api-keys/a1/extend", api_key(), {"expires_in_days": 30}),
    (
        lambda c: c.keys.rotate("a1", "7d"),
        "POST",
        "api-keys/a1/rotate",
        ROTATED,
        {"grace": "7d", "expires_in_days": None},
    ),
    (lambda c: c.keys.permission_sets(), "GET", "api-keys/permission-sets", SETS, None),
    (lambda c: c.users.create(NewUser(name="ada")), "POST", "users", INVITED, {"name": "ada"}),
    (lambda c: c.users.list(), "GET", "users?limit=50&offset=0", page([], 0, 50, 0), None),
    (lambda c: c.users.get("ada+x@y"), "GET", "users/ada%2Bx%40y", user(), None),
    (
        lambda c: c.users.update("u1", UserChanges(role=Role.ADMIN)),
        "PATCH",
        "users/u1",
        user(),
        {"role": "admin"},
    ),
    (lambda c: c.users.disable("u1", "revoke"), "POST", "users/u1/disable", user(), {"keys": "revoke"}),
    (lambda c: c.users.enable("u1"), "POST", "users/u1/enable", user(), None),
    (lambda c: c.users.reset_password("u1"), "POST", "users/u1/reset-password", INVITED, None),
    (
        lambda c: c.auth.login("ada", "pw"),
        "POST",
        "auth/login",
        OPENED,
        {"name": "ada", "password": "pw"},
    ),
    (lambda c: c.auth.me(), "GET", "auth/me", ME, None),
    (lambda c: c.auth.sessions(), "GET", "auth/sessions", [], None),
    (lambda c: c.auth.logout(), "POST", "auth/logout", None, None),
    (lambda c: c.auth.end_session("s1"), "DELETE", "auth/sessions/s1", None, None),
    (
        lambda c: c.auth.change_password("old", "a new password"),
        "POST",
        "auth/password",
        None,
        {"current": "old", "new": "a new password"},
    ),
    (
        lambda c: c.events.list(
            "key.created", "ada", "key", "a1", datetime(2026, 11, 1, tzinfo=UTC), limit=5
        ),
        "GET",
        "events?action=key.created&actor=ada&object_kind=key&object_id=a1"
        "&since=2026-11-01T00%3A00%3A00%2B00%3A00&limit=5&offset=0",
        page([an_event()], 1, 5, 0),
        None,
    ),
]


@pytest.mark.parametrize(("ask", "method", "target", "answer", "body"), ROUTES)
def test_each_call_goes_to_its_route(
    make: Make, ask: Any, method: str, target: str, answer: Any, body: Any
) -> None:
    wire = Wire(httpx.Response(204) if answer is None else httpx.Response(200, json=answer))
    make(wire)(ask)
    [request] = wire.requests
    assert (request.method, request.url.raw_path.decode()) == (method, f"/api/v1/{target}")
    assert (json.loads(request.content) if request.content else None) == body


@pytest.mark.parametrize("size", [1, 2, 100])
def test_every_event_comes_once_while_new_ones_come_in(make: Make, size: int) -> None:
    events = [an_event(f"e{number}") for number in range(5)]

    def busy(request: httpx.Request) -> httpx.Response:
        answer = paged(events, request)
        events.insert(0, an_event(f"new{len(events)}")) if len(events) < 8 else None
        return answer

    got = make(Wire(busy))(lambda c: c.events.iter(action="key.created", page_size=size))
    assert [one.id for one in got] == ["e0", "e1", "e2", "e3", "e4"]


def test_a_session_token_travels_as_bearer_and_alone(make: Make) -> None:
    wire = Wire(httpx.Response(200, json=ME))
    driver = make(wire, api_key=None, session_token=SESSION)
    driver(lambda c: c.auth.me())
    assert wire.requests[0].headers["Authorization"] == f"Bearer {SESSION}"
    assert "X-API-Key" not in wire.requests[0].headers
    assert SESSION not in repr(driver.client)
    for beside in ({"api_key": KEY}, {"api_key": None, "job_token": TOKEN}):
        with pytest.raises(errors.BadInput, match="session token"):
            make(wire, session_token=SESSION, **beside)


def test_a_client_that_logs_in_keeps_no_cookie(make: Make) -> None:
    cookie = {"Set-Cookie": f"tuneyard_session={SESSION}; Path=/; HttpOnly"}
    wire = Wire(httpx.Response(200, json=OPENED, headers=cookie), httpx.Response(200, json=ME))
    driver = make(wire)
    assert driver(lambda c: c.auth.login("ada", "pw")).token == SESSION
    driver(lambda c: c.auth.me())
    assert "Cookie" not in wire.requests[1].headers


@pytest.mark.parametrize(
    "ask",
    [
        lambda c: c.auth.login("ada", PASSWORD * 200),
        lambda c: c.auth.change_password("current", PASSWORD),
        lambda c: c.keys.rotate("a1", "soon"),
    ],
)
def test_a_value_that_cannot_be_sent_is_bad_input_and_not_repeated(make: Make, ask: Any) -> None:
    wire = Wire(httpx.Response(204))
    with pytest.raises(errors.BadInput) as caught:
        make(wire)(ask)
    assert PASSWORD not in "".join(traceback.format_exception(caught.value))
    assert not wire.requests


def test_a_key_that_is_about_to_expire_warns_once_a_client(make: Make) -> None:
    expires = {"Tuneyard-Key-Expires": "2026-11-25T10:00:00Z"}
    answers = [httpx.Response(200, json=ME), *[httpx.Response(200, json=ME, headers=expires)] * 2]
    driver = make(Wire(*answers))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            driver(lambda c: c.auth.me())
    [warning] = [one for one in caught if one.category is tuneyard.KeyExpiresSoon]
    assert "2026-11-25T10:00:00Z" in str(warning.message)
    assert "rotate" in str(warning.message)
    assert KEY not in str(warning.message)


def test_the_warning_points_at_the_line_that_called() -> None:
    answer = httpx.Response(200, json=ME, headers={"Tuneyard-Key-Expires": NOW})
    transport = httpx.MockTransport(Wire(answer))
    with (
        tuneyard.Client("http://api.test", KEY, transport=transport) as client,
        pytest.warns(tuneyard.KeyExpiresSoon) as caught,
    ):
        client.auth.me()
    assert caught[0].filename == __file__
