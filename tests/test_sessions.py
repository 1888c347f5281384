"""Log-ins: the cookie, the Bearer token, and what ends them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from sqlmodel import col, update

from api.settings import Settings
from api.tables import LoginSession, User, now
from tests.api_fixtures import Office, served
from tests.people_fixtures import LOGIN, ME, PASSWORD, USERS, Person, events, log_in, person
from tuneyard import keys

LOGOUT, SESSIONS, CHANGE = "/api/v1/auth/logout", "/api/v1/auth/sessions", "/api/v1/auth/password"
JOBS = "/api/v1/jobs"


@pytest.fixture
def browser(office: Office) -> Iterator[httpx.Client]:
    """Keeps cookies, and says where its requests come from."""
    headers = {"Sec-Fetch-Site": "same-origin", "User-Agent": "Browser/1"}
    with httpx.Client(base_url=office.served.url, headers=headers, timeout=30) as client:
        yield client


def enter(client: httpx.Client, who: Person, **headers: str) -> httpx.Response:
    answer = client.post(LOGIN, json={"name": who.name, "password": PASSWORD}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


def test_a_browser_logs_in_with_a_cookie_and_out_again(office: Office, browser: httpx.Client) -> None:
    who = person(office)
    opened = enter(browser, who)
    cookie = opened.headers["Set-Cookie"]
    parts = set(cookie.split("; ")[1:])
    assert parts == {"HttpOnly", "Max-Age=604800", "Path=/", "SameSite=lax"}
    assert opened.json()["user"]["name"] == browser.get(ME).json()["name"] == who.name
    left = browser.post(LOGOUT)
    assert (left.status_code, left.content) == (204, b"")
    assert 'tuneyard_session=""' in left.headers["Set-Cookie"]
    assert "Max-Age=0" in left.headers["Set-Cookie"]
    assert not browser.cookies
    assert browser.get(ME).status_code == 401
    assert office.call("GET", ME, opened.json()["token"]).status_code == 401


def test_a_cookie_that_came_over_https_goes_over_nothing_else(office: Office, browser: httpx.Client) -> None:
    answer = enter(browser, person(office), **{"X-Forwarded-Proto": "https"})
    assert "Secure" in answer.headers["Set-Cookie"].split("; ")


def test_a_session_is_a_bearer_token_too(any_office: Office) -> None:
    who = person(any_office)
    opened = log_in(any_office, who.name).json()
    assert opened["token"].startswith("wst_")
    me = any_office.call("GET", ME, opened["token"])
    assert (me.json()["mode"], me.json()["user_id"], me.json()["role"]) == ("session", who.id, "member")
    ends = datetime.fromisoformat(opened["expires_at"])
    assert timedelta(days=6, hours=23) < ends - datetime.now(UTC) <= timedelta(days=7)
    assert any_office.call("POST", LOGOUT, opened["token"]).status_code == 204
    assert any_office.call("GET", ME, opened["token"]).status_code == 401
    assert any_office.call("GET", ME, who.token).status_code == 200
    assert [e.action for e in events(any_office, "session.opened", "session.ended")] == [
        "session.opened",
        "session.ended",
    ]


def test_a_log_in_lasts_as_long_as_the_settings_say(tmp_path: Path) -> None:
    with served(Settings(tuneyard_home=tmp_path, database_url=None, tuneyard_session_days=0.5)) as here:
        office = Office(here)
        answer = log_in(office, person(office).name)
        assert "Max-Age=43200" in answer.headers["Set-Cookie"]
        office.http.close()


# Whether a browser's page may do it: Sec-Fetch-Site, Origin (HOST: our own), and the verdict.
PAGES: list[tuple[str | None, str | None, bool]] = [
    ("same-origin", None, True),
    ("same-origin", "http://HOST", True),
    ("none", None, True),
    ("same-site", "http://HOST", False),
    ("cross-site", "http://HOST", False),
    ("cross-site", None, False),
    ("", None, False),
    (None, None, True),
    (None, "http://HOST", True),
    (None, "https://HOST", True),
    (None, "http://evil.example", False),
    (None, "http://HOST.evil.example", False),
    (None, "http://HOST@evil.example", False),
    (None, "http://evil.example/HOST", False),
    (None, "null", False),
    (None, "http://[", False),
]


@pytest.mark.parametrize(("site", "origin", "allowed"), PAGES)
def test_another_sites_page_changes_nothing_and_logs_nobody_in(
    office: Office, site: str | None, origin: str | None, allowed: bool
) -> None:
    who = person(office)
    host = office.served.url.removeprefix("http://")
    given = {"Sec-Fetch-Site": site, "Origin": origin and origin.replace("HOST", host)}
    headers = {name: value for name, value in given.items() if value is not None}
    with_cookie = headers | {"Cookie": f"tuneyard_session={who.token}"}
    logged_in = office.call("POST", LOGIN, headers=headers, content=b"not json")
    assert logged_in.status_code == (422 if allowed else 403)
    changed = office.call("POST", JOBS, headers=with_cookie, json={"model": "m"})
    assert changed.status_code == (201 if allowed else 403)
    assert office.call("GET", JOBS, headers=with_cookie).status_code == 200
    assert office.call("POST", JOBS, who.token, headers=headers, json={"model": "m"}).status_code == 201


def test_a_name_that_is_unknown_and_a_password_that_is_wrong_look_and_take_the_same(office: Office) -> None:
    who, gone = person(office), person(office)
    office.call("POST", f"{USERS}/{gone.id}/disable", office.key("admin"))
    bodies, seconds = [], []
    for name, password in [("nobody", PASSWORD), (who.name, "a wrong password"), (gone.name, PASSWORD)]:
        began = time.perf_counter()
        answer = log_in(office, name, password, {"X-Forwarded-For": "203.0.113.1"})
        seconds.append(time.perf_counter() - began)
        assert answer.status_code == 401
        assert "Set-Cookie" not in answer.headers
        bodies.append({k: v for k, v in answer.json().items() if k != "request_id"})
    assert bodies[0] == bodies[1] == bodies[2]
    assert bodies[0]["detail"] == "Wrong name or password"
    assert min(seconds) > 0.25
    refused = events(office, "session.refused")
    assert [e.details["reason"] for e in refused] == ["wrong password", "disabled"]
    assert [(e.object_id, e.address) for e in refused] == [
        (who.id, "203.0.113.1"),
        (gone.id, "203.0.113.1"),
    ]


def test_log_ins_do_not_hold_up_who_is_in(office: Office) -> None:
    who = person(office)
    with ThreadPoolExecutor(6) as pool:
        opening = [pool.submit(log_in, office, who.name) for _ in range(6)]
        time.sleep(0.05)
        assert office.call("GET", ME, who.token).status_code == 200
        waiting = [one for one in opening if not one.done()]
        assert [one.result().status_code for one in opening] == [200] * 6
    assert waiting


@pytest.mark.parametrize("over", ["ended", "expired", "disabled"])
def test_a_session_that_is_over_is_refused_at_once(any_office: Office, over: str) -> None:
    who = person(any_office)
    assert any_office.call("GET", ME, who.token).status_code == 200
    values: dict[str, Any] = {"expires_at": now()} if over == "expired" else {"ended_at": now()}
    with any_office.served.database.writing() as session:
        digest = any_office.served.pepper.digest(who.token)
        if over == "disabled":
            session.exec(update(User).where(col(User.id) == who.id).values(disabled_at=now()))
        else:
            session.exec(update(LoginSession).where(col(LoginSession.digest) == digest).values(**values))
    for headers in ({"Authorization": f"Bearer {who.token}"}, {"Cookie": f"tuneyard_session={who.token}"}):
        answer = any_office.call("GET", ME, headers=headers)
        assert (answer.status_code, answer.json()["detail"]) == (401, "Authentication failed")


def test_a_key_or_a_bearer_token_decides_alone_whatever_the_cookie_is(office: Office) -> None:
    who = person(office)
    cookie = {"Cookie": f"tuneyard_session={who.token}"}
    for bad in (keys.mint().text, keys.mint_session_token()):
        assert office.call("GET", ME, bad, headers=cookie).status_code == 401
    assert office.call("GET", ME, office.key("training"), headers=cookie).json()["mode"] == "apiKey"


def test_who_one_is_is_told_to_keys_and_people_alike(office: Office) -> None:
    key = office.key("training")
    me = office.call("GET", ME, key).json()
    assert (me["mode"], me["key_id"], me["user_id"]) == ("apiKey", keys.parse(key), None)
    assert (me["scopes"], me["role"]) == (["training"], None)
    assert "jobs:write" in me["permissions"]
    assert office.call("GET", ME).status_code == 401
    for method, path in [("POST", LOGOUT), ("POST", CHANGE), ("GET", SESSIONS)]:
        refused = office.call(method, path, key, json={"current": "x", "new": "a password of my own"})
        assert refused.status_code == 403, path


def test_a_declared_key_is_told_its_role(tmp_path: Path) -> None:
    declared: Any = {"client_api_keys": "a-declared-key-of-the-host"}
    with served(Settings(tuneyard_home=tmp_path, database_url=None, **declared)) as here:
        headers = {"X-API-Key": "a-declared-key-of-the-host"}
        me = httpx.get(here.url + ME, headers=headers).json()
    assert (me["mode"], me["role"], me["workspace"]) == ("apiKey", "client", "default")


def test_people_see_and_end_their_own_sessions_alone(any_office: Office) -> None:
    who, other = person(any_office), person(any_office)
    agent = {"User-Agent": "Browser/1"}
    new = log_in(any_office, who.name, headers=agent).json()["token"]
    listed = any_office.call("GET", SESSIONS, new).json()
    assert [(one["agent"], one["is_current"]) for one in listed] == [("Browser/1", True), (None, False)]
    assert listed[0]["last_used_at"] is not None
    current, older = (f"{SESSIONS}/{one['id']}" for one in listed)
    for stranger in (other.token, any_office.key("admin")):
        assert any_office.call("DELETE", older, stranger).status_code in (403, 404)
    assert any_office.call("GET", ME, who.token).status_code == 200
    assert any_office.call("DELETE", older, new).status_code == 204
    assert any_office.call("GET", ME, who.token).status_code == 401
    assert any_office.call("DELETE", older, new).status_code == 404
    assert any_office.call("DELETE", current, new).status_code == 204
    assert any_office.call("GET", ME, new).status_code == 401
