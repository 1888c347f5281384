"""Host readings through the true NVML binding, against a stand-in for the driver's library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.readings import read_host
from tests.card_fixtures import ROOT, build_driver
from tuneyard.shapes import GpuSample, HostSample

# A counter of the stand-in's, and the fields that are read from it.
COUNTERS = {
    "m": {"memory_used_gb", "memory_total_gb"},
    "u": {"utilization_percent", "memory_utilization_percent"},
    "t": {"temperature_c"},
    "w": {"power_w"},
    "l": {"power_limit_w"},
    "e": {"energy_j"},
    "c": {"sm_clock_mhz", "memory_clock_mhz"},
    "r": {"throttle"},
    "x": {"ecc_corrected", "ecc_uncorrected"},
    "b": {"pcie_sent_mb_s", "pcie_received_mb_s"},
    "n": {"name"},
}


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in library in it."""
    return build_driver(tmp_path_factory.mktemp("driver"))


def reading(driver: Path, **settings: str) -> HostSample:
    """What a process that finds the stand-in library reads: the loader looks at its path only at a start."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(driver), **settings}
    program = "from tasks.readings import read_host; print(read_host().model_dump_json())"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
    return HostSample.model_validate_json(done.stdout)


def known(card: GpuSample) -> set[str]:
    return {name for name, value in card if value is not None}


def test_every_counter_of_a_card_is_read(driver: Path, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    cards.write_text(f"g 0 20480 97 {os.getpid()}:20480 w=312.5\n")
    [card] = reading(driver, FAKE_NVML_FILE=str(cards), PREFECT__FLOW_RUN_ID="run-1").gpus
    assert (card.name, card.memory_used_gb, card.memory_total_gb) == ("Stand-in 0", 20, 80)
    assert (card.utilization_percent, card.memory_utilization_percent) == (97, 5)
    assert (card.temperature_c, card.power_w, card.power_limit_w, card.energy_j) == (61, 312.5, 700, 0)
    assert (card.sm_clock_mhz, card.memory_clock_mhz) == (1980, 2619)
    assert card.throttle == ["power_cap", "thermal"]
    assert (card.ecc_corrected, card.ecc_uncorrected) == (3, 1)
    assert (card.pcie_sent_mb_s, card.pcie_received_mb_s) == (12, 34)
    [process] = card.processes
    assert (process.pid, process.memory_gb) == (os.getpid(), 20)
    assert os.getppid() in process.parents
    assert process.name
    assert (card.error, card.mig, card.card_uuid) == (None, False, None)


def test_every_counter_fails_alone(driver: Path, tmp_path: Path) -> None:
    cards = tmp_path / "cards"
    cards.write_text("".join(f"g {at} 20480 97 !{letter}\n" for at, letter in enumerate([*COUNTERS][:8])))
    first = reading(driver, FAKE_NVML_FILE=str(cards)).gpus
    cards.write_text("".join(f"g {at} 20480 97 !{letter}\n" for at, letter in enumerate([*COUNTERS][8:])))
    rest = reading(driver, FAKE_NVML_FILE=str(cards)).gpus
    every = set().union(*COUNTERS.values())
    for card, missing in zip([*first, *rest], COUNTERS.values(), strict=True):
        assert every - known(card) == missing
        assert "Unknown" in str(card.error)


def test_a_lost_card_takes_no_other_down_and_an_old_one_lacks_what_it_lacks(driver: Path) -> None:
    sample = reading(driver, FAKE_NVML_CARDS="gxlop")
    good, gone, lost, old, uncounted = sample.gpus
    assert (sample.no_gpu, sample.driver_version) == (None, "600.01")
    assert (good.utilization_percent, good.error) == (0, None)
    assert (gone.uuid, gone.error) == ("unreadable-1", "GPU is lost")
    assert (lost.uuid[-1], lost.error, lost.memory_used_gb) == ("2", "GPU is lost", None)
    assert (old.temperature_c, old.power_w, old.throttle, old.error) == (55, None, ["idle"], None)
    assert (uncounted.power_w, uncounted.energy_j, uncounted.error) == (312.5, None, None)
    assert len({card.uuid for card in sample.gpus}) == 5


def test_the_slices_of_a_card_in_mig_mode_are_read_beside_it(driver: Path) -> None:
    whole, *parts = reading(driver, FAKE_NVML_CARDS="m").gpus
    assert (whole.mig, whole.utilization_percent, whole.power_w) == (True, None, 312.5)
    assert [part.card_uuid for part in parts] == [whole.uuid] * 2
    assert all(part.uuid.startswith("MIG-") and part.memory_total_gb == 40 for part in parts)
    assert all([one.pid for one in part.processes] == [4242] for part in parts)


def test_a_driver_that_is_not_loaded_and_one_without_cards_are_said_in_words(driver: Path) -> None:
    assert "not loaded" in str(reading(driver, FAKE_NVML_INIT="9").no_gpu)
    assert "finds no card" in str(reading(driver, FAKE_NVML_CARDS="").no_gpu)


def test_a_host_is_read_whether_or_not_it_has_a_gpu() -> None:
    sample = read_host()
    assert sample.gpus or "no GPU" in str(sample.no_gpu)
    assert sample.cpu_percent is not None
    assert 0 < (sample.memory_used_gb or 0) < (sample.memory_total_gb or 0)
