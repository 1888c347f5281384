"""Keys while many use and change them at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager

import httpx
import pytest

from tests.api_fixtures import Office

KEYS = "/api-keys"
JOBS = "/api/v1/jobs"


@contextmanager
def callers(office: Office, count: int) -> Iterator[list[httpx.Client]]:
    """So many clients, each with a connection of its own."""
    with ExitStack() as closing:
        base = office.served.url
        yield [closing.enter_context(httpx.Client(base_url=base, timeout=60)) for _ in range(count)]


def made(office: Office, admin: str) -> dict[str, str]:
    new: dict[str, str] = office.call("POST", KEYS, admin, json={"name": "n", "scopes": ["training"]}).json()
    return new


def test_no_request_that_began_after_the_revocation_was_answered_gets_in(any_office: Office) -> None:
    admin = any_office.key("admin")
    key = made(any_office, admin)
    begun: list[tuple[float, int]] = []
    stop = threading.Event()

    def call_on(http: httpx.Client) -> None:
        while not stop.is_set():
            at = time.perf_counter()
            begun.append((at, http.get(JOBS, headers={"X-API-Key": key["key"]}).status_code))

    with callers(any_office, 50) as many, ThreadPoolExecutor(50) as pool:
        calls = [pool.submit(call_on, http) for http in many]
        while sum(status == 200 for _, status in begun) < 200:
            time.sleep(0.01)
        assert any_office.call("POST", f"{KEYS}/{key['id']}/revoke", admin).status_code == 200
        answered = time.perf_counter()
        while sum(at > answered for at, _ in begun) < 200:
            time.sleep(0.01)
        stop.set()
        for call in calls:
            call.result()
    assert {status for at, status in begun if at > answered} == {401}
    assert {status for _, status in begun} == {200, 401}


def test_of_many_rotations_at_once_one_wins_and_a_key_works_throughout(any_office: Office) -> None:
    admin = any_office.key("admin")
    old = made(any_office, admin)
    working: list[bool] = []
    stop = threading.Event()

    def rotate(http: httpx.Client) -> httpx.Response:
        return http.post(f"{KEYS}/{old['id']}/rotate", headers={"X-API-Key": admin}, json={"grace": "1h"})

    def use(http: httpx.Client) -> None:
        while not stop.is_set():
            working.append(http.get(JOBS, headers={"X-API-Key": old["key"]}).status_code == 200)

    with callers(any_office, 21) as many, ThreadPoolExecutor(21) as pool:
        using = pool.submit(use, many[0])
        answers = list(pool.map(rotate, many[1:]))
        stop.set()
        using.result()
    assert sorted(answer.status_code for answer in answers) == [201] + [409] * 19
    live = any_office.call("GET", KEYS, admin).json()["items"]
    assert len([key for key in live if key["name"] == "n"]) == 2
    assert working
    assert all(working)
    successor = next(answer.json()["key"] for answer in answers if answer.status_code == 201)
    assert any_office.call("GET", JOBS, successor).status_code == 200


def test_uses_at_once_are_all_counted(any_office: Office) -> None:
    admin = any_office.key("admin")
    key = made(any_office, admin)

    def use(http: httpx.Client) -> None:
        for _ in range(20):
            assert http.get(JOBS, headers={"X-API-Key": key["key"]}).status_code == 200

    with callers(any_office, 10) as many, ThreadPoolExecutor(10) as pool:
        list(pool.map(use, many))
    assert any_office.call("GET", f"{KEYS}/{key['id']}", admin).json()["usage_count"] == 200


@pytest.mark.parametrize("act", ["revoke", "extend"])
def test_a_key_revoked_while_it_is_rotated_ends_one_way(office: Office, act: str) -> None:
    """Whichever comes first decides: a revoked key has no successor made after it, nor an extended one two."""
    admin = office.key("admin")
    for _ in range(10):
        key = made(office, admin)
        with callers(office, 2) as (one, two), ThreadPoolExecutor(2) as pool:
            headers = {"X-API-Key": admin}
            acted = pool.submit(one.post, f"{KEYS}/{key['id']}/{act}", headers=headers, json={})
            rotated = pool.submit(two.post, f"{KEYS}/{key['id']}/rotate", headers=headers, json={})
        assert acted.result().status_code in (200, 409)
        assert rotated.result().status_code in (201, 409)
        read = office.call("GET", f"{KEYS}/{key['id']}", admin).json()
        assert (read["successor_id"] is not None) == (rotated.result().status_code == 201)
        if act == "revoke":
            assert not read["is_valid"]
