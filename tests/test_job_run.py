"""A job is ended whatever its error looks like, and a config holds nothing that the record cannot take."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from deployments.local_stack import REPOSITORY
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.configs import FinetuneConfig
from tuneyard.shapes import LONGEST_ERROR


def test_an_error_of_any_length_ends_its_job() -> None:
    # In a process of its own: importing Prefect warns, and a warning is an error here.
    code = (
        "from flows.job_ends import failure; from tuneyard.errors import WorkFailed; "
        "print(len(failure(WorkFailed('x' * 50_000)).error), failure(WorkFailed('why')).error)"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.stdout.split() == [str(LONGEST_ERROR), "why"], done.stderr


def test_a_name_that_the_record_cannot_hold_is_refused_by_its_field() -> None:
    long = "m" * 1025
    with pytest.raises(ValidationError, match="model"):
        FinetuneConfig(model=long, dataset="d")
    with pytest.raises(ValidationError, match="dataset"):
        FinetuneConfig(model="m", dataset=long)
    with pytest.raises(ValidationError, match="suite"):
        BatchTestConfig(model="m", suite=long)
