"""How often a key may ask, an address may be refused and a log-in may fail; and how little that costs."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fakeredis import TcpFakeServer
from sqlmodel import col, update

from api import tables
from api.access import rate_limits
from api.access.rate_counts import CountsInMemory
from api.access.rate_limits import RateLimits
from api.problems import Problem
from api.settings import Settings
from tests.api_fixtures import Office, served
from tuneyard import keys
from tuneyard.errors import BadInput

JOBS = "/api/v1/jobs"
REDIS = "127.0.0.1"


@contextmanager
def limited(home: Path, **settings: Any) -> Iterator[Office]:
    """An office of its own, with limits."""
    with served(Settings(tuneyard_home=home, database_url=None, tuneyard_pepper=None, **settings)) as running:
        office = Office(running)
        yield office
        office.http.close()


@contextmanager
def redis_server(port: int = 0) -> Iterator[int]:
    """A Redis on a real socket: its port."""
    server = TcpFakeServer((REDIS, port))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def redis_url() -> Iterator[str]:
    with redis_server() as port:
        yield f"redis://{REDIS}:{port}/0"


def statuses(office: Office, key: str | None, count: int, **given: Any) -> list[int]:
    return [office.call("GET", JOBS, key, **given).status_code for _ in range(count)]


def from_address(address: str, key: str) -> dict[str, Any]:
    return {"headers": {"X-Forwarded-For": address, "X-API-Key": key}}


def seconds_to_wait(answer: httpx.Response) -> int:
    assert answer.status_code == 429
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["title"] == "Too Many Requests"
    seconds = int(answer.headers["Retry-After"])
    assert seconds >= 1
    return seconds


def test_a_key_may_ask_so_often_and_every_answer_says_how_often_still(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_per_key=3) as office:
        key, other = office.key("training"), office.key("training")
        paths = [JOBS, "/api/v1/artifacts?limit=0", "/nowhere", JOBS]
        answers = [office.call("GET", path, key) for path in paths]
        assert [answer.status_code for answer in answers] == [200, 422, 404, 429]
        assert 1 <= seconds_to_wait(answers[-1]) <= 60
        for answer, left in zip(answers, (2, 1, 0, 0), strict=True):
            assert answer.headers["RateLimit-Policy"] == '"key";q=3;w=60'
            found = re.fullmatch(r'"key";r=(\d+);t=(\d+)', answer.headers["RateLimit"])
            assert found
            assert int(found[1]) == left
            assert 1 <= int(found[2]) <= 60
        assert office.call("GET", JOBS, other).status_code == 200


def test_a_key_with_a_limit_of_its_own_has_that_one(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_per_key=50) as office:
        admin = office.key("admin")
        new = {"name": "n", "scopes": ["training"], "rate_limit": 2}
        made = office.call("POST", "/api/v1/api-keys", admin, json=new).json()
        assert statuses(office, made["key"], 3) == [200, 200, 429]
        office.call("PUT", f"/api/v1/api-keys/{made['id']}", admin, json={"rate_limit": 5})
        assert statuses(office, made["key"], 3) == [200, 200, 429]


@pytest.mark.parametrize("storage", ["memory", "redis"])
def test_after_the_time_that_it_was_told_a_key_is_let_in(
    tmp_path: Path, storage: str, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue("redis_url") if storage == "redis" else None
    given = {"api_rate_limit_per_key": 1, "api_rate_limit_window_ms": 1000, "api_rate_limit_storage": url}
    with limited(tmp_path, **given) as office:
        key = office.key("training")
        assert statuses(office, key, 1) == [200]
        time.sleep(0.3)
        time.sleep(seconds_to_wait(office.call("GET", JOBS, key)))
        assert statuses(office, key, 2) == [200, 429]


def session_of(office: Office) -> str:
    token = keys.mint_session_token()
    with office.served.database.writing() as session:
        person = tables.User(
            workspace_id=office.workspace_id,
            name=f"p{office.workspace_id}",
            role="member",
            password_hash="none",
            must_change_password=False,
        )
        session.add(person)
        session.flush()
        row = tables.LoginSession(
            workspace_id=office.workspace_id,
            user_pk=person.pk,
            digest=office.served.pepper.digest(token),
            expires_at=tables.now() + timedelta(hours=1),
        )
        session.add(row)
    return token


def test_a_session_is_limited_like_a_key(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_per_key=2) as office:
        token = session_of(office)
        answers = [office.call("GET", JOBS, token) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[0].headers["RateLimit-Policy"] == '"session";q=2;w=60'
        cookie = office.call("GET", JOBS, headers={"Cookie": f"tuneyard_session={token}"})
        assert cookie.status_code == 429


def test_too_often_is_said_before_what_is_forbidden_or_missing_and_after_who_it_is(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_per_key=1) as office:
        key = office.key("production")
        assert office.call("GET", JOBS, key).status_code == 403
        for method, path in [("GET", JOBS), ("GET", "/nowhere"), ("GET", "/api/v1/artifacts/none")]:
            assert office.call(method, path, key).status_code == 429, path
        other_site = {"Cookie": f"tuneyard_session={session_of(office)}", "Sec-Fetch-Site": "cross-site"}
        assert office.call("POST", JOBS, headers=other_site).status_code == 403
        assert office.call("POST", JOBS, headers=other_site).status_code == 429
        with office.served.database.writing() as session:
            revoked = update(tables.ApiKey).where(col(tables.ApiKey.id) == keys.parse(key))
            session.exec(revoked.values(revoked_at=tables.now()))
        assert office.call("GET", JOBS, key).status_code == 401


def test_an_address_that_shows_bad_keys_waits_and_a_good_key_from_it_does_not(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_failures=4) as office:
        good, bad = office.key("training"), keys.mint().text
        assert statuses(office, None, 6) == [401] * 6
        refused = [bad, bad[:-1] + "~", keys.mint_session_token(), keys.mint_session_token(), bad]
        assert [statuses(office, one, 1)[0] for one in refused] == [401, 401, 401, 401, 429]
        assert statuses(office, good, 2) == [200, 200]
        token = office.call("PUT", f"{JOBS}/x/metrics", "j" * 43, json={"step": 1})
        assert 1 <= seconds_to_wait(token) <= 60
        assert seconds_to_wait(office.call("GET", "/nowhere", bad)) <= 60
        assert statuses(office, None, 1) == [401]
        assert statuses(office, None, 1, **from_address("192.0.2.7", bad)) == [401]


def test_refused_job_tokens_count_too(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_failures=2) as office:
        answers = [
            office.call("PUT", f"{JOBS}/x/metrics", "j" * 43, json={"step": 1}).status_code for _ in range(3)
        ]
        assert answers == [401, 401, 429]


def test_the_addresses_of_one_ipv6_network_count_as_one(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_failures=2) as office:
        bad = keys.mint().text
        addresses = ["2001:db8::1", "2001:db8::2", "2001:db8::3", "2001:db8:0:1::1", "::ffff:192.0.2.1"]
        found = [statuses(office, None, 1, **from_address(address, bad))[0] for address in addresses]
        assert found == [401, 401, 429, 401, 401]
        assert statuses(office, None, 2, **from_address("192.0.2.1", bad)) == [401, 429]
        assert statuses(office, None, 3, **from_address("x" * 300, bad)) == [401, 401, 429]


def test_a_run_that_reports_is_not_limited(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_per_key=1) as office:
        job_id, token = office.claimed_job()
        for step in range(5):
            answer = office.call("PUT", f"{JOBS}/{job_id}/metrics", token, json={"step": step})
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers


def test_a_mistyped_key_costs_no_query(office: Office) -> None:
    good = office.key("training")
    asked: list[str] = []
    assert statuses(office, good, 1) == [200]  # the connection for look-ups is there from now on
    asking = office.served.database._asked.driver_connection
    asking.set_trace_callback(asked.append)
    try:
        mistyped = good[:-1] + ("0" if good[-1] != "0" else "1")
        assert statuses(office, mistyped, 3) == [401] * 3
        assert asked == []
        assert statuses(office, keys.mint().text, 1) == [401]
        assert len(asked) == 1
    finally:
        asking.set_trace_callback(None)


def test_a_key_is_told_of_its_end_for_a_week_before(tmp_path: Path) -> None:
    with limited(tmp_path, api_rate_limit_per_key=4) as office:
        key = office.key("training")
        for left in (timedelta(days=8), timedelta(days=6, hours=23)):
            ends = tables.now() + left
            with office.served.database.writing() as session:
                this = update(tables.ApiKey).where(col(tables.ApiKey.id) == keys.parse(key))
                session.exec(this.values(expires_at=ends))
            answers = [office.call("GET", path, key) for path in (JOBS, "/nowhere")]
            told = {answer.headers.get("Tuneyard-Key-Expires") for answer in answers}
            assert told == ({ends.strftime("%Y-%m-%dT%H:%M:%SZ")} if left.days < 7 else {None})
        last = office.call("GET", JOBS, key)
        assert (last.status_code, last.headers["Tuneyard-Key-Expires"]) == (429, *told)


def test_processes_that_share_a_redis_share_the_count_and_a_restart_keeps_it(
    tmp_path: Path, redis_url: str
) -> None:
    given = {"api_rate_limit_per_key": 4, "api_rate_limit_failures": 3, "api_rate_limit_storage": redis_url}
    bad = keys.mint().text
    with limited(tmp_path, **given) as one:
        key = one.key("training")
        with limited(tmp_path, **given) as two:
            assert statuses(one, key, 2) + statuses(two, key, 1) == [200, 200, 200]
            assert statuses(one, bad, 2) + statuses(two, bad, 1) == [401, 401, 401]
            assert statuses(one, bad, 1) == [429]
    with limited(tmp_path, **given) as again:
        assert statuses(again, key, 2) == [200, 429]
        assert statuses(again, bad, 1) == [429]


def test_while_redis_is_away_keys_go_on_and_log_ins_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(rate_limits, "AWAY_SECONDS", 0.05)
    with redis_server() as port:
        pass
    url = f"redis://{REDIS}:{port}/0"
    with limited(tmp_path, api_rate_limit_per_key=1, api_rate_limit_storage=url) as office:
        key = office.key("training")
        began = time.monotonic()
        for _ in range(4):
            time.sleep(0.06)
            answer = office.call("GET", JOBS, key)
            assert answer.status_code == 200
            assert "RateLimit" not in answer.headers
        assert time.monotonic() - began < 2
        assert statuses(office, keys.mint().text, 1) == [401]
        login = office.call("POST", "/api/v1/auth/login", json={"name": "ann", "password": "p"})
        assert (login.status_code, login.headers["Retry-After"]) == (503, "1")
        away = [record for record in caplog.records if "rate limits are away" in record.message]
        assert [record.levelno for record in away] == [logging.ERROR]
        with redis_server(port):
            time.sleep(0.1)
            assert statuses(office, key, 2) == [200, 429]


@pytest.fixture(params=["memory", "redis"])
def limits(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[RateLimits]:
    url = request.getfixturevalue("redis_url") if request.param == "redis" else None
    made = RateLimits(Settings(tuneyard_home=tmp_path, api_rate_limit_storage=url))
    yield made
    made.close()


def is_open(limits: RateLimits, name: str, address: str) -> bool:
    """Whether a password is looked at; it then is wrong."""
    with pytest.raises(Problem) as refused, limits.login(name, address):
        raise Problem(401, "Wrong name or password")
    answer = refused.value
    assert answer.status == 401 or (answer.status == 429 and 890 <= (answer.retry_after or 0) <= 900)
    return answer.status == 401


def test_a_name_that_fails_ten_times_from_an_address_waits_there_alone(limits: RateLimits) -> None:
    assert [is_open(limits, "ann", "192.0.2.1") for _ in range(12)] == [True] * 10 + [False] * 2
    assert is_open(limits, "ann", "192.0.2.2")
    assert is_open(limits, "bob", "192.0.2.1")


def test_an_address_fails_a_hundred_times_whatever_the_names(limits: RateLimits) -> None:
    assert all(is_open(limits, f"n{number}", "192.0.2.1") for number in range(100))
    assert not is_open(limits, "ann", "192.0.2.1")
    assert is_open(limits, "ann", "192.0.2.2")


def test_log_ins_that_open_are_no_failures(limits: RateLimits) -> None:
    for _ in range(120):
        with limits.login("ann", "192.0.2.1"):
            pass
    assert is_open(limits, "bob", "192.0.2.1")


@pytest.mark.parametrize("url", ["memcached://:hush@h", "redis://:hush@h:port/0", "hush"])
def test_a_storage_that_is_no_redis_is_refused_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(BadInput, match="API_RATE_LIMIT_STORAGE") as refused:
        RateLimits(Settings(tuneyard_home=tmp_path, api_rate_limit_storage=url))
    assert "hush" not in str(refused.value)


def test_counting_a_request_takes_less_than_fifty_microseconds() -> None:
    """Also when requests come now and then, and when many others are counted."""
    counts = CountsInMemory()
    for number in range(20_000):
        counts.incr(f"refused/{number}", 60)
    took = []
    for _ in range(30):
        time.sleep(0.012)
        began = time.perf_counter()
        counts.incr("key/k", 60)
        counts.get_expiry("key/k")
        took.append(time.perf_counter() - began)
    assert min(took) < 50e-6
