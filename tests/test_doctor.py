"""What `tuneyard doctor` finds of a host, an API, a key, a clock and Prefect, and what it says to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.local_stack import Stack
from tasks import doctor as host
from tests.api_fixtures import Office
from tests.card_fixtures import ROOT, Cards, build_driver
from tests.cli_fixtures import Terminal
from tests.cli_fixtures import config_home as config_home
from tests.cli_fixtures import terminal as terminal
from tests.kept_fixtures import Shelf
from tests.sdk_fixtures import Answer, http_server
from tuneyard import cli, doctor, exit_codes
from tuneyard.command_trials import Trials, drawn
from tuneyard.configs import FinetuneConfig
from tuneyard.doctor import GIB, Diagnosis, Disk, Finding
from tuneyard.errors import BadInput
from tuneyard.forms import filled
from tuneyard.prefect_reads import Pool, PrefectReads, Worker, Yard
from tuneyard.shapes import Health, System, WhoAmI

NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
WHO = WhoAmI(mode="apiKey", key_id="k1", name="ci", workspace="yard", scopes=["training"], permissions=[])
ONLINE = Worker(name="local", status="ONLINE", last_heartbeat_time=NOW - timedelta(seconds=9))
WELL = Yard(url="http://p/api", version="3", pool=Pool(name="gpu"), workers=[ONLINE], has_block=True)
DRIVER = host.Driver("600.01", (12, 8), 2)
TORCH = host.Torch("2.13.0+cu126", "12.6", 2, ("sm_80", "sm_90", "compute_90"), ((9, 0), (9, 0)))


def states(found: list[Finding]) -> dict[str, str]:
    return {one.what: one.state for one in found}


@pytest.mark.parametrize(
    ("torch", "driver", "state", "words"),
    [
        (TORCH, DRIVER, "ok", "uses 2 cards"),
        (host.Torch("2.13.0+cpu", None, 0), None, "ok", "built for the CPU"),
        (host.Torch("2.13.0+cpu", None, 0), DRIVER, "fail", "cannot use the cards"),
        (host.Torch("2.13.0", "13.0", 0), DRIVER, "fail", "runs CUDA up to 12.8"),
        (host.Torch("2.13.0", "12.6", 0, trouble="Error 804"), DRIVER, "fail", "none of 2 cards (Error 804)"),
        (host.Torch("2.13.0", "12.6", 1, ("sm_90",), ((9, 0),)), DRIVER, "warn", "uses 1 of 2"),
        (host.Torch("2.13.0", "12.6", 2, ("sm_90",), ((7, 0),) * 2), DRIVER, "fail", "capability 7.0"),
        (host.Torch("2.13.0", "12.6", 2, ("sm_80",), ((8, 9),) * 2), DRIVER, "ok", "uses 2 cards"),
        (host.Torch("2.13.0", "12.6", 2, ("compute_90",), ((12, 0),) * 2), DRIVER, "ok", "uses 2 cards"),
    ],
)
def test_torch_and_driver_fit_or_it_is_said_why_not(
    torch: host.Torch, driver: host.Driver | None, state: str, words: str
) -> None:
    found = host.about_torch(torch, driver)
    assert (found.state, words in found.said) == (state, True), found
    assert (found.advice is None) == (state == "ok")


def test_each_fault_comes_with_what_to_do() -> None:
    soon = WHO.model_copy(update={"expires_at": NOW + timedelta(days=2)})
    late = doctor.about_clock(NOW, NOW + timedelta(seconds=90), NOW + timedelta(seconds=91))
    old = System(
        current_time=NOW,
        timezone="UTC",
        python_version="3",
        platform="p",
        hostname="h",
        tuneyard_version="9.0",
    )
    faults = [
        doctor.about_disk(Disk(variable="TUNEYARD_HOME", place="/home", free=GIB, total=100 * GIB)),
        doctor.about_disk(Disk(variable="TUNEYARD_HOME", place="/home", free=9 * GIB, total=100 * GIB)),
        doctor.about_api("http://a", None, "refused"),
        doctor.about_api("http://a", Health(status="unhealthy", checks={"database": "unhealthy"}), None),
        doctor.about_version(old),
        doctor.about_key(soon, "TUNEYARD_API_KEY", NOW),
        doctor.refused_key(401, "Unknown key"),
        late,
        doctor.about_clock(NOW, NOW - timedelta(seconds=9), NOW - timedelta(seconds=8)),
    ]
    assert [one.state for one in faults] == [
        "fail",
        "warn",
        "fail",
        "fail",
        "warn",
        "warn",
        "fail",
        "fail",
        "warn",
    ]
    assert all(one.advice for one in faults)
    assert "1 min ahead of" in late.said
    assert "keys rotate k1" in (faults[5].advice or "")
    text = doctor.drawn(doctor.diagnosis(faults), 80)
    assert max(map(len, text.splitlines())) <= 80
    assert text.splitlines()[-1] == "4 warn, 5 fail"


def test_what_is_well_needs_no_advice() -> None:
    second = timedelta(seconds=1)
    found = [
        doctor.about_disk(Disk(variable="TUNEYARD_HOME", place="/home", free=90 * GIB, total=100 * GIB)),
        doctor.about_api("http://a", Health(status="healthy", checks={}), None),
        doctor.about_key(WHO, "TUNEYARD_API_KEY", NOW),
        doctor.about_clock(NOW, NOW - second, NOW + second),
        *doctor.about_prefect(WELL, "http://a", NOW),
    ]
    assert {one.state for one in found} == {"ok"}
    assert doctor.diagnosis(found).well


@pytest.mark.parametrize(
    ("yard", "what", "advice"),
    [
        (Yard(url="u", trouble="no answer"), "Prefect", "prefect server start"),
        (WELL.model_copy(update={"pool": None}), "pool", "python -m deployments"),
        (WELL.model_copy(update={"pool": Pool(name="gpu", is_paused=True)}), "pool", "work-pool resume gpu"),
        (WELL.model_copy(update={"workers": []}), "worker", "prefect worker start --pool gpu"),
        (
            WELL.model_copy(update={"workers": [ONLINE.model_copy(update={"status": "OFFLINE"})]}),
            "worker",
            "prefect worker start --pool gpu",
        ),
        (WELL.model_copy(update={"missing": ["check/gpu"]}), "deployments", "python -m deployments"),
        (WELL.model_copy(update={"has_block": False}), "block", "store-key"),
        (WELL.model_copy(update={"api_url": "http://other"}), "block", "store-key"),
    ],
)
def test_what_prefect_lacks_is_said_with_its_remedy(yard: Yard, what: str, advice: str) -> None:
    ill = [one for one in doctor.about_prefect(yard, "http://a", NOW) if one.state != "ok"]
    assert [one.what for one in ill] == [what]
    assert advice in (ill[0].advice or "")


def test_a_host_is_looked_at_by_a_child_and_the_api_by_the_command(
    office: Office, tmp_path: Path, config_home: Path
) -> None:
    """The true NVML binding against a stand-in driver; torch is a CPU build, which cannot use its card."""
    cards = Cards(build_driver(tmp_path), tmp_path / "cards")
    cards.put("g 0 20480 97", "l 1 0 0")
    given = {"TUNEYARD_API_URL": office.served.url, "TUNEYARD_API_KEY": office.key("training")}
    given |= {"TUNEYARD_HOME": str(tmp_path / "home"), "PREFECT_API_URL": "http://127.0.0.1:9/api"}
    given |= {"TUNEYARD_CONFIG_HOME": os.environ["TUNEYARD_CONFIG_HOME"]}
    words = [sys.executable, "-m", "tuneyard.cli", "doctor", "--json"]
    done = subprocess.run(words, env=cards.environment | given, cwd=ROOT, capture_output=True, text=True)
    found = Diagnosis.model_validate_json(done.stdout)
    assert done.returncode == exit_codes.UNEXPECTED, done.stderr
    fitting = "ok" if host.seen_torch().cuda else "fail"
    expected = {"driver": "ok", "NVML": "fail", "torch": fitting, "disk": "ok", "API": "ok", "clock": "ok"}
    assert (
        states(found.findings).items()
        >= (expected | {"key": "ok", "version": "ok", "Prefect": "fail"}).items()
    )
    said = {one.what: one.said for one in found.findings}
    assert said["driver"] == "600.01, for CUDA up to 13.0"
    assert "card 1: GPU is lost" in said["NVML"]
    assert "wak_" not in done.stdout


def test_a_driver_that_fails_is_a_fault_and_none_is_not(tmp_path: Path) -> None:
    cards = Cards(build_driver(tmp_path), tmp_path / "cards")
    program = "from tasks.doctor import about_driver; print([one.model_dump() for one in about_driver()[1]])"

    def looked(**more: str) -> str:
        words = [sys.executable, "-W", "error", "-c", program]
        env = cards.environment | more
        return subprocess.run(words, env=env, cwd=ROOT, capture_output=True, text=True, check=True).stdout

    broken = looked(FAKE_NVML_INIT="18")
    assert "'state': 'fail'" in broken
    assert "restart the host" in broken
    assert "'state': 'warn'" in looked(FAKE_NVML_INIT="9")


def test_elsewhere_than_in_a_checkout_the_host_is_passed_over(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEYARD_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    terminal.use(terminal.office.key("training"))
    found = Diagnosis.model_validate_json(terminal.well("doctor", "--json").out)
    assert [one.what for one in found.findings if one.state == "skip"] == [
        "driver",
        "NVML",
        "torch",
        "Prefect",
    ]
    terminal.use("wak_" + "x" * 51)
    said = terminal("doctor")
    assert said.code == 1
    assert "401, key refused" in said.out
    terminal.use(None)
    assert "tuneyard auth login" in terminal("doctor").out


@pytest.mark.parametrize(
    ("status", "words"), [(200, "is not Prefect"), (500, "it answers 500"), (401, "401")]
)
def test_what_is_no_prefect_is_told_from_one_that_is_away(
    status: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def page(*_: Any) -> Answer:
        return status, {"Content-Type": "text/html"}, b"<html>"

    monkeypatch.delenv("PREFECT_API_AUTH_STRING", raising=False)
    with http_server(page) as url:
        monkeypatch.setenv("PREFECT_API_URL", url)
        reads = PrefectReads.from_env()
        assert reads is not None
        assert words in str(reads.yard().trouble)
        reads.close()
    monkeypatch.setenv("PREFECT_API_URL", "nonsense")
    with pytest.raises(BadInput, match="PREFECT_API_URL"):
        PrefectReads.from_env()


def test_every_command_that_reads_is_tried_three_ways(terminal: Terminal) -> None:
    office = terminal.office
    job_id, token = office.claimed_job(name="dates")
    office.call("PUT", f"/api/v1/jobs/{job_id}/metrics", token, json={"step": 1, "train_loss": 0.5})
    Shelf(office).record("/somewhere")
    terminal.use(office.key("testing"))
    tried = Trials.model_validate_json(terminal.well("doctor", "--commands", "--json").out)
    assert tried.well, [one for one in tried.trials if "fail" in (one.refused, one.missing, one.ok)]
    by_name = {one.command: one for one in tried.trials}
    shown = by_name["jobs show"]
    assert (shown.refused, shown.missing, shown.ok) == ("pass", "pass", "pass")
    assert (by_name["models show"].ok, by_name["models tree"].ok) == ("pass", "pass")
    assert by_name["suites show"].why == "there is none of its kind yet"
    assert (by_name["users list"].refused, by_name["users list"].ok) == ("pass", "-")
    assert "403: this key lacks the permission" in (by_name["users list"].why or "")
    assert not {"jobs cancel", "jobs watch", "keys create", "train"} & by_name.keys()
    rate = f"Success rate: 100.0% ({tried.passed}/{tried.passed})"
    assert drawn(tried, 100).splitlines()[-1] == rate


def test_doctor_and_why_see_the_whole_stack(
    stack: Stack, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    """Prefect's own server, pool, worker, deployments and block; then a pool that somebody has paused."""
    for name in ("TUNEYARD_API_URL", "PREFECT_API_URL", "TUNEYARD_HOME"):
        monkeypatch.setenv(name, stack.environment[name])
    monkeypatch.setenv("TUNEYARD_API_KEY", stack.key("user"))
    monkeypatch.chdir(stack.home)

    def looked() -> dict[str, Finding]:
        cli.run(["doctor", "--json"])
        found = Diagnosis.model_validate_json(capsys.readouterr().out)
        return {one.what: one for one in found.findings}

    well = looked()
    assert {name: well[name].state for name in ("Prefect", "pool", "worker", "block")} == dict.fromkeys(
        ("Prefect", "pool", "worker", "block"), "ok"
    )
    assert well["worker"].said.startswith("local, last heard of")
    declared = yaml.safe_load((ROOT / "prefect.yaml").read_text())["deployments"]
    flows = [one["entrypoint"].partition(":")[2].replace("_", "-") for one in declared]
    assert not [flow for flow in flows if f"{flow}/gpu" in well["deployments"].said]
    pool = f"{stack.prefect_url}/work_pools/gpu"
    with stack.client() as client:
        httpx.patch(pool, json={"is_paused": True}, timeout=30).raise_for_status()
        try:
            config = {"model": "org/none", "dataset": "none.jsonl"}
            job = client.jobs.train(filled(FinetuneConfig, **config), name="stuck")
            assert looked()["pool"].state == "fail"
            assert cli.run(["why", job.id, "--json"]) == 0
            told = json.loads(capsys.readouterr().out)
            client.jobs.cancel(job.id)
        finally:
            httpx.patch(pool, json={"is_paused": False}, timeout=30).raise_for_status()
    assert "the work pool gpu is paused" in told["reasons"]
    assert any("Prefect shows its run as" in reason for reason in told["reasons"])
    assert told["advice"][0] == "prefect work-pool resume gpu"
