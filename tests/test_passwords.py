"""Passwords: chosen, given for one log-in, guessed at, and told to nobody."""

from __future__ import annotations

import logging
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from argon2 import PasswordHasher
from sqlmodel import col, select, update

from api.access import passwords
from api.problems import Problem
from api.tables import User, now
from tests.api_fixtures import Office, Served
from tests.people_fixtures import ME, PASSWORD, USERS, events, hash_of_password, log_in, person

LOGOUT, SESSIONS, CHANGE = "/api/v1/auth/logout", "/api/v1/auth/sessions", "/api/v1/auth/password"
JOBS = "/api/v1/jobs"
CHOSEN = "a password of my own"


def change(office: Office, token: str, current: str, new: str) -> httpx.Response:
    return office.call("POST", CHANGE, token, json={"current": current, "new": new})


def newcomer(office: Office, role: str = "member") -> tuple[str, str]:
    """A person whom an admin has just added: name and one-time password."""
    name = f"new.{time.monotonic_ns()}@lab"
    made = office.call("POST", USERS, office.key("admin"), json={"name": name, "role": role})
    assert made.status_code == 201, made.text
    return name, made.json()["one_time_password"]


def test_nobodys_password_takes_as_long_to_refuse_as_anybodys() -> None:
    def seconds(kept: str | None) -> float:
        began = time.process_time()
        assert not passwords.is_right("a wrong password", kept)
        return time.process_time() - began

    assert 0.4 < seconds(None) / seconds(hash_of_password()) < 2.5


def test_guessing_ends_after_ten_passwords_also_all_at_once(office: Office) -> None:
    who, address = person(office), "203.0.113.2"
    for _ in range(8):
        with suppress(Problem), office.served.app.state.door.limits.login(who.name, address):
            raise Problem(401, "a guess")
    with ThreadPoolExecutor(5) as pool:
        here = {"X-Forwarded-For": address}
        guesses = list(pool.map(lambda n: log_in(office, who.name, f"guess {n}", here), range(5)))
    assert sorted(guess.status_code for guess in guesses) == [401] * 2 + [429] * 3
    right = log_in(office, who.name, PASSWORD, here)
    assert right.status_code == 429
    assert int(right.headers["Retry-After"]) > 0
    assert log_in(office, who.name, PASSWORD, {"X-Forwarded-For": "203.0.113.3"}).status_code == 200


def test_a_stolen_session_is_no_place_to_guess_the_password_at(office: Office) -> None:
    who = person(office)
    for _ in range(10):
        with suppress(Problem), office.served.app.state.door.limits.login(who.name, "127.0.0.1"):
            raise Problem(401, "a guess")
    assert change(office, who.token, PASSWORD, CHOSEN).status_code == 429


def test_another_password_ends_every_other_session(any_office: Office) -> None:
    who = person(any_office)
    here, there = (log_in(any_office, who.name).json()["token"] for _ in range(2))
    assert change(any_office, here, PASSWORD, CHOSEN).status_code == 204
    assert any_office.call("GET", ME, here).status_code == 200
    for other in (there, who.token):
        assert any_office.call("GET", ME, other).status_code == 401
    assert log_in(any_office, who.name, PASSWORD).status_code == 401
    assert log_in(any_office, who.name, CHOSEN).status_code == 200
    assert len(events(any_office, "session.ended")) == 2
    assert [e.object_id for e in events(any_office, "user.password_changed")] == [who.id]


def test_a_chosen_password_is_long_new_and_no_name(office: Office) -> None:
    who = person(office)
    for current, new, field in [
        (PASSWORD, "eleven char", "new"),
        (PASSWORD, who.name.upper(), "new"),
        (PASSWORD, PASSWORD, "new"),
        ("not what it is", CHOSEN, "current"),
    ]:
        answer = change(office, who.token, current, new)
        assert answer.status_code == 422, new
        assert [error["field"] for error in answer.json()["errors"]] == [field]
        assert new not in answer.text
        assert current not in answer.text
    assert change(office, who.token, PASSWORD, "twelve chars").status_code == 204


def test_a_password_is_the_same_however_a_keyboard_spells_it(office: Office) -> None:
    who = person(office)
    assert change(office, who.token, PASSWORD, "motörhead forever").status_code == 204
    assert log_in(office, who.name, "moto\u0308rhead forever").status_code == 200


def test_a_one_time_password_opens_one_log_in(any_office: Office) -> None:
    name, password = newcomer(any_office)
    assert len(password) >= 20
    with ThreadPoolExecutor(2) as pool:
        tries = list(pool.map(lambda _: log_in(any_office, name, password), range(2)))
    assert sorted(one.status_code for one in tries) == [200, 401]
    token = next(one.json()["token"] for one in tries if one.status_code == 200)
    assert change(any_office, token, password, CHOSEN).status_code == 204
    assert log_in(any_office, name, CHOSEN).json()["user"]["must_change_password"] is False


def test_a_one_time_password_is_too_old_after_a_week(office: Office) -> None:
    name, password = newcomer(office)
    with office.served.database.writing() as session:
        row = session.exec(select(User).where(User.name == name)).one()
        assert row.password_expires_at is not None
        assert timedelta(days=6, hours=23) < row.password_expires_at - now() <= timedelta(days=7)
        row.password_expires_at = now()
    assert log_in(office, name, password).status_code == 401


def test_who_has_a_one_time_password_does_nothing_before_choosing_another(office: Office) -> None:
    name, password = newcomer(office, "admin")
    token = log_in(office, name, password).json()["token"]
    for method, path in [
        ("GET", JOBS),
        ("POST", JOBS),
        ("GET", "/api/v1/api-keys"),
        ("POST", "/api/v1/api-keys"),
        ("GET", USERS),
        ("POST", USERS),
        ("GET", SESSIONS),
        ("DELETE", f"{SESSIONS}/{'0' * 26}"),
        ("GET", "/api/training/local/jobs"),
    ]:
        answer = office.call(method, path, token, json={})
        assert answer.status_code == 403, path
        assert "POST /api/v1/auth/password" in answer.json()["detail"]
    assert office.call("GET", ME, token).json()["must_change_password"] is True
    assert change(office, token, password, CHOSEN).status_code == 204
    assert office.call("GET", JOBS, token).status_code == 200


def test_an_old_hash_is_renewed_at_the_next_log_in(office: Office) -> None:
    who = person(office)
    weak = PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    with office.served.database.writing() as session:
        session.exec(update(User).where(col(User.id) == who.id).values(password_hash=weak))
    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(lambda _: log_in(office, who.name), range(2)))
    assert [one.status_code for one in both] == [200, 200]
    with office.served.database.reading() as session:
        kept = session.exec(select(User.password_hash).where(User.id == who.id)).one()
    assert kept.startswith("$argon2id$v=19$m=65536,t=3,p=4$")


def test_no_password_and_no_session_is_kept_or_logged(
    office: Office, sqlite_served: Served, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    name, password = newcomer(office)
    token = log_in(office, name, password).json()["token"]
    change(office, token, "a wrong password!", CHOSEN)
    change(office, token, password, "a secret that I chose")
    log_in(office, name, "a wrong password?", {"X-Forwarded-For": "203.0.113.4"})
    log_in(office, "typed in the wrong field", "x", {"X-Forwarded-For": "203.0.113.4"})
    office.call("GET", f"{JOBS}?status={token}", token)
    office.call("POST", LOGOUT, token)
    secrets = [password, token, "a wrong password", "a secret that I chose", "typed in the wrong field"]
    logged = "\n".join(
        f"{r.getMessage()} {vars(r)}" for r in caplog.records if r.name.startswith(("tuneyard", "sqlalchemy"))
    )
    assert "auth.login_refused" in logged
    with sqlite_served.database.reading() as session:
        session.connection().exec_driver_sql("PRAGMA wal_checkpoint(FULL)")
    path = Path(sqlite_served.database.url.database or "")
    kept = b"".join(file.read_bytes() for file in path.parent.glob(path.name + "*"))
    assert name.encode() in kept
    for secret in secrets:
        assert secret not in logged
        assert secret.encode() not in kept
