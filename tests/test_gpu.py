"""Host readings through the true NVML binding, against a stand-in for the driver's library."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tasks.gpu import read_host
from tests.card_fixtures import ROOT, build_driver
from tuneyard.shapes import HostSample


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the stand-in library in it."""
    return build_driver(tmp_path_factory.mktemp("driver"))


def reading(driver: Path, **settings: str) -> HostSample:
    """What a process that finds the stand-in library reads: the loader looks at its path only at a start."""
    environment = {**os.environ, "LD_LIBRARY_PATH": str(driver), **settings}
    program = "from tasks.gpu import read_host; print(read_host().model_dump_json())"
    command = [sys.executable, "-W", "error", "-c", program]
    done = subprocess.run(command, env=environment, cwd=ROOT, check=True, capture_output=True, text=True)
    return HostSample.model_validate_json(done.stdout)


def test_every_card_is_read_and_a_lost_one_takes_no_other_down(driver: Path) -> None:
    sample = reading(driver, FAKE_NVML_CARDS="gxlo")
    good, gone, lost, old = sample.gpus
    assert (sample.no_gpu, sample.driver_version) == (None, "600.01")
    assert (good.name, good.memory_used_gb, good.memory_total_gb) == ("Stand-in 0", 20, 80)
    assert (good.utilization_percent, good.temperature_c, good.power_w) == (0, 61, 312.5)
    assert (good.process_pids, good.error) == ([4242], None)
    assert gone.error is not None
    assert "lost" in gone.error
    assert (lost.uuid[-1], lost.error, lost.memory_used_gb) == ("2", "GPU is lost", None)
    assert (old.temperature_c, old.power_w, old.error) == (55, None, None)
    assert len({card.uuid for card in sample.gpus}) == 4


def test_a_driver_that_is_not_loaded_and_one_without_cards_are_said_in_words(driver: Path) -> None:
    assert "not loaded" in str(reading(driver, FAKE_NVML_INIT="9").no_gpu)
    assert "finds no card" in str(reading(driver, FAKE_NVML_CARDS="").no_gpu)


def test_a_host_is_read_whether_or_not_it_has_a_gpu() -> None:
    sample = read_host()
    assert sample.gpus or "no GPU" in str(sample.no_gpu)
    assert sample.cpu_percent is not None
    assert 0 < (sample.memory_used_gb or 0) < (sample.memory_total_gb or 0)
