"""What readings of cards become in the record: accounts of jobs, findings, a history that does not grow for ever."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from api import gpu_retention
from api.settings import Settings
from api.tables import HostSample
from tests.api_fixtures import UNLIMITED, Office, served

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=1)
CARD = "GPU-1"
EVERY = 10.0


def card(uuid: str = CARD, *pids: int, **counters: Any) -> dict[str, Any]:
    """A card that works, with nothing else on it than these processes."""
    known = {"utilization_percent": 80.0, "memory_used_gb": 20.0, "memory_total_gb": 80.0, "power_w": 300.0}
    processes = [{"pid": pid, "memory_gb": 10.0} for pid in pids]
    return {"uuid": uuid, "index": 0, "processes": processes} | known | counters


class Host:
    """Pushes readings of one host, seconds after START."""

    def __init__(self, office: Office, name: str = "gpu-1") -> None:
        self.office = office
        self.name = name
        self._key = office.key("worker")

    def push(self, seconds: float, *cards: dict[str, Any], **more: Any) -> None:
        taken_at = (START + timedelta(seconds=seconds)).isoformat()
        sample = {"host": self.name, "taken_at": taken_at, "interval_seconds": EVERY, "gpus": cards} | more
        answer = self.office.call("POST", "/api/v1/gpus/samples", self._key, json={"samples": [sample]})
        assert answer.status_code == 201, answer.text

    def cards(self) -> list[dict[str, Any]]:
        hosts = self.office.call("GET", "/api/v1/gpus", self._key).json()
        [mine] = [host for host in hosts if host["host"] == self.name]
        return list(mine["gpus"])

    def findings(self) -> dict[str, str]:
        """By kind; whether anybody still reads the host is another matter."""
        [only] = self.cards()
        return {one["kind"]: one["message"] for one in only["findings"] if one["kind"] != "silent"}

    def account(self, job_id: str) -> dict[str, Any]:
        answer = self.office.call("GET", f"/api/v1/jobs/{job_id}/gpu", self._key)
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        return told

    def history(self, uuid: str = CARD, **params: Any) -> list[dict[str, Any]]:
        answer = self.office.call("GET", f"/api/v1/gpus/{uuid}/samples", self._key, params=params)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["items"])


def working(office: Office, seconds: float = 0.0, uuids: tuple[str, ...] = (CARD,), **more: Any) -> str:
    """A job that claimed and leased, so many seconds after START."""
    job_id, _ = office.claimed_job()
    since = START + timedelta(seconds=seconds)
    office.moved(job_id, claimed_at=since, gpu_leased_at=since, gpu_uuids=list(uuids), **more)
    return job_id


def end(office: Office, job_id: str, seconds: float) -> None:
    assert office.end(job_id, office.key("worker"), "failed", error="e").status_code == 200
    office.moved(job_id, ended_at=START + timedelta(seconds=seconds))


def test_a_leased_card_s_time_use_energy_and_memory_are_the_job_s(any_office: Office) -> None:
    host, job_id = Host(any_office), working(any_office, 5)
    host.push(0, card(energy_j=1000.0))
    for at in range(1, 7):
        host.push(10 * at, card(energy_j=1000.0 + 3000.0 * at, memory_used_gb=20.0 + at))
    told = host.account(job_id)
    assert told["gpu_hours"] == pytest.approx((5 + 50) / 3600, abs=1e-6)
    assert told["utilization_percent"] == 80.0
    assert told["energy_wh"] == pytest.approx(300 * 55 / 3600, abs=1e-5)
    assert (told["energy_source"], told["peak_memory_gb"], told["cost"]) == ("counter", 26.0, None)
    assert [(one["attempt"], one["uuid"], one["host"]) for one in told["cards"]] == [(1, CARD, "gpu-1")]
    assert host.cards()[0]["jobs"] == [job_id]


def test_a_job_that_no_card_is_known_of_has_an_empty_account(office: Office) -> None:
    told = Host(office).account(office.new_job())
    assert (told["gpu_hours"], told["energy_wh"], told["cards"]) == (0.0, None, [])


def test_a_card_without_an_energy_counter_is_accounted_by_its_power(office: Office) -> None:
    host, job_id = Host(office), working(office)
    for at in range(5):
        host.push(10 * at, card(power_w=100.0 + 100.0 * at))
    told = host.account(job_id)
    assert told["energy_wh"] == pytest.approx((150 + 250 + 350 + 450) * 10 / 3600, abs=1e-5)
    assert told["energy_source"] == "power"
    host.push(50, card(power_w=500.0, energy_j=7.0))  # a new driver, which counts
    host.push(60, card(power_w=500.0, energy_j=5007.0))
    assert host.account(job_id)["energy_source"] == "both"


def test_a_counter_that_begins_anew_takes_nothing_away(office: Office) -> None:
    host, job_id = Host(office), working(office)
    for at, energy in enumerate((5000.0, 8000.0, 10.0, 3010.0)):
        host.push(10 * at, card(energy_j=energy))
    assert host.account(job_id)["energy_wh"] == pytest.approx(9000 / 3600, abs=1e-5)


def test_readings_that_come_twice_late_or_after_a_gap_are_counted_once(any_office: Office) -> None:
    host, job_id = Host(any_office), working(any_office)
    for at in (0, 10, 10, 40, 40, 20, 30):
        host.push(at, card(energy_j=300.0 * at))
    told = host.account(job_id)
    assert told["gpu_hours"] == pytest.approx(40 / 3600, abs=1e-6)
    assert told["energy_wh"] == pytest.approx(12000 / 3600, abs=1e-5)
    assert [datetime.fromisoformat(one["taken_at"]) for one in host.history()] == [
        START + timedelta(seconds=at) for at in (0, 10, 20, 30, 40)
    ]


def test_a_process_tells_whose_a_card_is(office: Office) -> None:
    """By the run that it is a part of, by its pid, or by one that it comes from; no lease is needed."""
    host = Host(office)
    jobs = [office.claimed_job()[0] for _ in range(3)]
    facts: list[dict[str, Any]] = [{"flow_run_id": "run-1"}, {"pid": 70}, {"pids": [80]}]
    for job_id, fields in zip(jobs, facts, strict=True):
        office.moved(job_id, claimed_at=START, **({"pid": 1} | fields))
    cards = [
        card("A", processes=[{"pid": 5, "flow_run_id": "run-1"}]),
        card("B", 70),
        card("C", processes=[{"pid": 81, "parents": [80, 2]}]),
        card("D", 99),
    ]
    host.push(0, *cards)
    host.push(10, *cards)
    assert [one["jobs"] for one in host.cards()] == [[jobs[0]], [jobs[1]], [jobs[2]], []]
    assert [host.account(job_id)["gpu_hours"] for job_id in jobs] == [pytest.approx(10 / 3600, abs=1e-6)] * 3


def test_two_jobs_on_a_card_part_it(office: Office) -> None:
    host, one, other = Host(office), working(office), working(office)
    for at in (0, 10, 20):
        host.push(at, card(energy_j=600.0 * at))
    for job_id in (one, other):
        told = host.account(job_id)
        assert told["gpu_hours"] == pytest.approx(10 / 3600, abs=1e-6)
        assert told["energy_wh"] == pytest.approx(6000 / 3600, abs=1e-5)


def test_a_new_attempt_is_a_line_of_its_own(office: Office) -> None:
    host, job_id = Host(office), working(office)
    host.push(0, card())
    host.push(10, card())
    office.claim(job_id)
    office.moved(job_id, claimed_at=START + timedelta(seconds=14), gpu_uuids=[CARD])
    host.push(20, card())
    told = host.account(job_id)
    assert [(one["attempt"], round(one["gpu_hours"] * 3600)) for one in told["cards"]] == [(1, 10), (2, 6)]


def test_a_slice_has_its_part_of_the_card_s_energy(office: Office) -> None:
    host = Host(office)
    job_id = working(office, 0, ("MIG-1",))
    for at in (0, 10, 20):
        whole = card(mig=True, utilization_percent=None, energy_j=400.0 * at)
        part = card("MIG-1", card_uuid=CARD, utilization_percent=None, power_w=None, memory_total_gb=20.0)
        free = card("MIG-2", card_uuid=CARD, utilization_percent=None, power_w=None, memory_used_gb=0.1)
        host.push(at, whole, part, free)
    told = host.account(job_id)
    assert told["energy_wh"] == pytest.approx(8000 / 4 / 3600, abs=1e-5)
    assert told["gpu_hours"] == pytest.approx(20 / 4 / 3600, abs=1e-6)
    assert [(one["uuid"], one["jobs"]) for one in host.cards()] == [
        (CARD, []),
        ("MIG-1", [job_id]),
        ("MIG-2", []),
    ]


def test_an_idle_card_is_told_once_it_has_lasted_leased_or_not(any_office: Office) -> None:
    host, free = Host(any_office), Host(any_office, "gpu-2")
    job_id = working(any_office)
    for minutes in range(0, 20, 5):
        for one in (host, free):
            one.push(60 * minutes, card(utilization_percent=1.0, memory_used_gb=0.5))
        assert ("idle" in host.findings()) == (minutes >= 15)
    assert host.findings() == {"idle": f"no use, held by job {job_id}"}
    assert free.findings() == {"idle": "no use, and free"}
    host.push(60 * 20, card(utilization_percent=40.0))
    assert host.findings() == {}


def test_memory_that_nobody_accounts_for_is_a_zombie_s(office: Office) -> None:
    host, job_id = Host(office), working(office, flow_run_id="run-7")
    mine = {"pid": 7, "name": "python", "memory_gb": 20.0}
    host.push(0, card(processes=[mine]))
    end(office, job_id, 5)
    for at in (60, 120, 180):
        host.push(at, card(processes=[mine], utilization_percent=0.0))
        assert ("zombie" in host.findings()) == (at == 180)
    assert host.findings()["zombie"] == f"pid 7 (python) left by job {job_id}, 20.0 GiB"
    host.push(190, card(processes=[mine | {"flow_run_id": "run-7"}]))
    assert host.findings()["zombie"] == f"pid 7 (python) of job {job_id}, which is failed, 20.0 GiB"
    host.push(200, card())
    assert host.findings()["zombie"] == "20.0 GiB held, and no process that can be seen"
    host.push(210, card(memory_used_gb=0.6))
    assert host.findings() == {}


def test_a_process_of_no_job_is_foreign_and_a_lost_card_is_told_at_once(office: Office) -> None:
    host = Host(office)
    for at in (0, 120):
        host.push(at, card(CARD, 99))
    assert host.findings() == {"foreign": "pid 99 of no job, 10.0 GiB"}
    host.push(130, {"uuid": CARD, "index": 0, "error": "GPU is lost"})
    assert host.findings() == {"lost": "cannot be read: GPU is lost"}
    host.push(140, {"uuid": "unreadable-0", "index": 0, "error": "GPU is lost"}, card("GPU-2", 1, index=1))
    gone, nameless, _ = host.cards()
    assert {one["message"] for one in gone["findings"]} >= {"no longer among the host's cards"}
    assert (gone["uuid"], nameless["uuid"]) == (CARD, "unreadable-0")
    host.push(150, card(), card("GPU-2", 1, index=1))
    assert [one["uuid"] for one in host.cards()] == [CARD, "GPU-2"]


def test_a_host_that_nobody_reads_is_told(office: Office) -> None:
    host = Host(office)
    host.push(0, card())
    [only] = host.cards()
    assert "silent" in {one["kind"] for one in only["findings"]}
    host.push((datetime.now(UTC) - START).total_seconds(), card())
    [only] = host.cards()
    assert "silent" not in {one["kind"] for one in only["findings"]}


def test_a_history_is_read_by_time_and_page(office: Office) -> None:
    host = Host(office)
    for at in range(6):
        host.push(10 * at, card(throttle=["power_cap"], ecc_corrected=2.0, utilization_percent=float(at)))
    span = {
        "since": (START + timedelta(seconds=10)).isoformat(),
        "until": (START + timedelta(seconds=50)).isoformat(),
    }
    assert [one["utilization_percent"] for one in host.history(**span)] == [1, 2, 3, 4]
    [third] = host.history(**span, offset=2, limit=1)
    assert (third["utilization_percent"], third["throttle"], third["ecc_corrected"]) == (3, ["power_cap"], 2)
    answer = office.call("GET", "/api/v1/gpus/GPU-none/samples", office.key("training"))
    assert answer.status_code == 404


def test_another_workspace_sees_none_of_it(office: Office) -> None:
    host, job_id = Host(office), working(office)
    host.push(0, card())
    other = Office(office.served)
    for path in (f"/api/v1/gpus/{CARD}/samples", f"/api/v1/jobs/{job_id}/gpu"):
        assert other.call("GET", path, other.key("training")).status_code == 404
    assert other.call("GET", "/api/v1/gpus", other.key("training")).json() == []
    other.http.close()


def test_old_readings_are_summed_up_and_older_ones_deleted(
    any_office: Office, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, job_id = Host(any_office), working(any_office)
    day = 86_400
    for at in range(30):
        host.push(10 * at, card(utilization_percent=float(at), energy_j=100.0 * at, throttle=["thermal"]))
    before = host.account(job_id)
    later = datetime.now(UTC) + timedelta(days=8)
    monkeypatch.setattr(gpu_retention, "now", lambda: later)
    host.push(8 * day, card())
    old = [one for one in host.history() if one["samples"] > 1]
    assert sum(one["samples"] for one in old) == 30
    assert 1 <= len(old) <= 2
    assert all(datetime.fromisoformat(one["taken_at"]).minute % 5 == 0 for one in old)
    whole = sum(one["samples"] * one["utilization_percent"] for one in old)
    assert whole == pytest.approx(sum(range(30)))
    assert (old[-1]["energy_j"], old[-1]["throttle"], old[-1]["jobs"]) == (2900, ["thermal"], [job_id])
    later += timedelta(days=400)
    host.push(408 * day, card())
    assert len(host.history()) == 1
    assert host.account(job_id)["cards"][0]["first_at"] == before["cards"][0]["first_at"]
    with any_office.served.database.reading() as session:
        mine = HostSample.workspace_id == any_office.workspace_id
        assert len(session.exec(select(HostSample).where(mine)).all()) == 1


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Office]:
    """An API with a tariff."""
    tariff: dict[str, Any] = {
        "tuneyard_gpu_hour_price": 2.0,
        "tuneyard_kwh_price": 0.5,
        "tuneyard_currency": "CHF",
    }
    settings = Settings(tuneyard_home=tmp_path_factory.mktemp("api"), **UNLIMITED, **tariff)
    with served(settings) as found:
        here = Office(found)
        yield here
        here.http.close()


def test_a_tariff_makes_a_cost_and_an_estimate_for_the_next_one_like_it(
    priced: Office, caplog: pytest.LogCaptureFixture
) -> None:
    host, job_id = Host(priced), working(priced)
    host.push(0, card(energy_j=0.0))
    host.push(1800, card(energy_j=3.6e6))
    told = host.account(job_id)
    assert (told["cost"], told["currency"]) == (pytest.approx(0.5 * 2.0 + 1.0 * 0.5), "CHF")
    assert priced.end(job_id, priced.key("worker")).status_code == 200
    caplog.clear()
    with caplog.at_level("INFO", logger="tuneyard.api"):
        priced.new_job()
        priced.new_job(config={"epochs": 9})
    said = [vars(one)["cost_estimate"] for one in caplog.records if one.message == "ml_operation"]
    assert said == [pytest.approx(1.5), None]


def test_what_has_a_price_and_is_not_known_makes_no_cost(priced: Office) -> None:
    host, job_id = Host(priced, "gpu-9"), working(priced, host="gpu-9")
    for at in (0, 10):
        host.push(at, card(power_w=None))
    told = host.account(job_id)
    assert (told["cost"], told["energy_wh"], told["gpu_hours"] > 0) == (None, None, True)
