"""The collector beside cards whose load changes while it runs: what the record then says is what was set."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from api.settings import Settings
from tests.api_fixtures import UNLIMITED, Office, served
from tests.card_fixtures import FIRST, SECOND, Cards, build_driver
from tests.collecting import Collector, ended_after
from tests.sdk_fixtures import Answer, http_server
from tuneyard.configs import CollectConfig

EVERY = 0.4
SLACK = 0.6  # seconds by which a busy machine may read late
HOST = socket.gethostname()


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_driver(tmp_path_factory.mktemp("driver"))


@pytest.fixture(scope="module")
def office(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An API that tells of a card at once."""
    soon: dict[str, Any] = {"tuneyard_gpu_idle_minutes": 0.02, "tuneyard_gpu_zombie_minutes": 0.01}
    with served(Settings(tuneyard_home=tmp_path_factory.mktemp("api"), **UNLIMITED, **soon)) as found:
        here = Office(found)
        yield here
        here.http.close()


class Load:
    """Two cards, and what each uses from when on: their energy counters go on as a card's would."""

    def __init__(self, cards: Cards) -> None:
        self._cards = cards
        self._energy = {number: (0.0, 60.0, time.time()) for number in range(2)}  # J, W, since
        self._lines = dict.fromkeys(range(2), "g {} 600 0")
        self.steps: list[tuple[float, float, int]] = []  # of the first card: when, W, percent
        self._put()

    def set(
        self, number: int, percent: int, watts: float, mib: int, *processes: str, kind: str = "g"
    ) -> None:
        joules, before, since = self._energy[number]
        now = time.time()
        self._energy[number] = (joules + before * (now - since), watts, now)
        self._lines[number] = " ".join([f"{kind} {{}} {mib} {percent}", *processes])
        if number == 0:
            self.steps.append((now, watts, percent))
        self._put()

    def _put(self) -> None:
        self._cards.put(
            *(
                f"{self._lines[at].format(at)} w={watts} e={joules * 1000:.3f}@{since:.6f}"
                for at, (joules, watts, since) in self._energy.items()
            )
        )

    def used(self, begin: float, end: float) -> tuple[float, float]:
        """What the first card used between two times: J, and mean percent."""
        ends = [when for when, _, _ in self.steps[1:]] + [end]
        joules = busy = 0.0
        for (when, watts, percent), until in zip(self.steps, ends, strict=True):
            seconds = max(0.0, min(until, end) - max(when, begin))
            joules, busy = joules + watts * seconds, busy + percent * seconds
        return joules, busy / (end - begin)


Collect = Callable[..., Collector]


@pytest.fixture
def cards(driver: Path, tmp_path: Path) -> Cards:
    return Cards(driver, tmp_path / "cards")


@pytest.fixture
def load(cards: Cards) -> Load:
    return Load(cards)


@pytest.fixture
def collect(cards: Cards, load: Load, office: Office, tmp_path: Path) -> Iterator[Collect]:
    """Starts rounds of one host."""
    key = office.key("worker")

    def start(readings: int, *, relay: bool = False, url: str = office.served.url) -> Collector:
        config = CollectConfig(readings=readings, interval_seconds=EVERY, relay=relay)
        asked = {"TUNEYARD_API_URL": url, "TUNEYARD_API_KEY": key}
        started.append(Collector(tmp_path / "gpus", config, {**cards.environment, **asked}))
        return started[-1]

    with ended_after() as started:
        yield start


def leased(office: Office, uuid: str) -> tuple[str, str]:
    """A job on this host that has leased the card, as its run says: its id and its token."""
    job_id = office.new_job()
    claim = {"host": HOST, "pid": os.getpid()}
    answer = office.call("POST", f"/api/v1/jobs/{job_id}/claim", office.key("worker"), json=claim)
    token: str = answer.json()["job_token"]
    beat(office, job_id, token, [uuid])
    return job_id, token


def beat(office: Office, job_id: str, token: str, uuids: list[str]) -> None:
    answer = office.call("POST", f"/api/v1/jobs/{job_id}/heartbeat", token, json={"gpu_uuids": uuids})
    assert answer.status_code == 200, answer.text


def cards_of(office: Office) -> dict[str, Any]:
    [host] = office.call("GET", "/api/v1/gpus", office.key("training")).json()
    return {card["uuid"]: card for card in host["gpus"]}


def kinds(card: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in card["findings"]}


def history(office: Office, uuid: str) -> list[dict[str, Any]]:
    answer = office.call(
        "GET", f"/api/v1/gpus/{uuid}/samples", office.key("training"), params={"limit": 5000}
    )
    return list(answer.json()["items"])


def test_samples_energy_and_findings_are_what_was_set(office: Office, load: Load, collect: Collect) -> None:
    collector = collect(1000)
    collector.wait(2)
    mine = f"{os.getpid()}:20480"
    job_id, token = leased(office, FIRST)
    load.set(0, 90, 300.0, 20480, mine)
    load.set(1, 100, 500.0, 61440, "4242:61440")
    collector.wait(6)
    load.set(0, 30, 150.0, 30720, mine)
    collector.wait(3)
    load.set(1, 100, 500.0, 61440, "4242:61440", kind="l")  # it falls off the bus
    collector.wait(4)
    last_worked = collector.moments[-2]
    beat(office, job_id, token, [])
    load.set(0, 0, 60.0, 600)
    collector.wait(7)

    assert office.call("GET", f"/api/v1/jobs/{job_id}", office.key("worker")).json()["gpu_released_at"]
    samples = history(office, FIRST)
    assert [datetime.fromisoformat(one["taken_at"]) for one in samples][: len(collector.moments)] == (
        collector.moments
    )
    working = [one for one in samples if one["jobs"] == [job_id]]
    assert {(90, 300, 20), (30, 150, 30)} >= {
        (one["utilization_percent"], one["power_w"], one["memory_used_gb"]) for one in working[1:-1]
    }
    told = office.call("GET", f"/api/v1/jobs/{job_id}/gpu", office.key("training")).json()
    [card] = told["cards"]
    begin, end = (datetime.fromisoformat(card[name]).timestamp() for name in ("first_at", "last_at"))
    joules, percent = load.used(begin, end)
    assert told["gpu_hours"] * 3600 == pytest.approx(end - begin, abs=0.01)
    assert told["energy_wh"] * 3600 == pytest.approx(joules, abs=300 * SLACK)
    assert told["utilization_percent"] == pytest.approx(percent, abs=100 * (EVERY + SLACK) / (end - begin))
    assert (told["energy_source"], told["peak_memory_gb"]) == ("counter", 30)
    assert abs(end - last_worked.timestamp()) < EVERY + SLACK

    cards = cards_of(office)
    assert kinds(cards[FIRST]) == {"idle"}
    assert kinds(cards[SECOND]) == {"lost"}
    dead = history(office, SECOND)
    assert len(dead) == len(samples)
    assert {one["error"] for one in dead if one["utilization_percent"] is None} == {"GPU is lost"}
    assert all(one["error"] is None for one in samples)


def test_what_a_dead_job_leaves_on_a_card_is_a_zombie_s(office: Office, load: Load, collect: Collect) -> None:
    collector = collect(1000)
    job_id, _ = leased(office, FIRST)
    load.set(0, 50, 200.0, 20480, "4242:20480")
    collector.wait(3)
    assert office.end(job_id, office.key("worker"), "failed", error="e").status_code == 200
    collector.wait(4)
    [told] = [one for one in cards_of(office)[FIRST]["findings"] if one["kind"] == "zombie"]
    assert told["message"] == f"pid 4242 left by job {job_id}, 20.0 GiB"


def test_rounds_relieve_one_another_without_a_gap_or_a_double(office: Office, collect: Collect) -> None:
    began = datetime.now(UTC)
    first = collect(50, relay=True)
    first.wait(2)
    second = collect(50, relay=True)
    second.wait(2)
    early = first.rest()
    third = collect(4, relay=True)
    third.wait(8)
    late = second.rest()
    assert len(third.rest()) == 8  # none came to relieve it: twice its four, and it ends
    assert early[-1] >= second.moments[0]
    assert late[-1] >= third.moments[0]
    stored = [datetime.fromisoformat(one["taken_at"]) for one in history(office, FIRST)]
    assert [one for one in stored if one > began] == sorted({*early, *late, *third.moments})
    assert all(one.timestamp() / EVERY == pytest.approx(round(one.timestamp() / EVERY)) for one in stored)


def test_readings_wait_for_an_api_that_is_away(collect: Collect) -> None:
    taken: list[str] = []
    refusals = iter([503, 503, 503, 503])

    def answer(_method: str, _path: str, body: bytes) -> Answer:
        if status := next(refusals, None):
            return status, {}, b"{}"
        taken.extend(one["taken_at"] for one in json.loads(body)["samples"])
        return 201, {}, b'{"count": 1}'

    with http_server(answer) as url:
        moments = collect(6, url=url).rest()
    assert [datetime.fromisoformat(one) for one in taken] == moments
    assert len(moments) == 6
