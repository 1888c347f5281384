"""`make demo` at its full figures: the real model, before and after."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.local_stack import REPOSITORY
from deployments.processes import environment_without


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_the_demo_takes_a_model_that_fails_its_suite_to_one_that_passes(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "deployments.demo"],
        cwd=REPOSITORY,
        env={**environment_without("PREFECT_"), "TUNEYARD_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    before, after = (
        int(re.findall(rf"suite {when} +(\d+)/50", done.stdout)[0]) for when in ("before", "after")
    )
    first, last = (
        float(re.findall(rf"{which} loss +([\d.]+)", done.stdout)[0]) for which in ("first", "last")
    )
    assert before <= 5
    assert after >= 45
    assert last < first / 10
