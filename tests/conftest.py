"""Fixtures that several files share: the real stack, once a session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from deployments.local_stack import Stack, running_stack, stop_on_signals
from deployments.processes import free_port
from tests.api_fixtures import any_office, office, postgres_served, postgres_url, sqlite_served
from tests.disturbed import short_config, unbroken
from tests.tiny_model import make_tiny_model

# A test run that is told to end stops its servers first. And started in the background by a shell without job
# control it would ignore SIGINT, as would every program that a test interrupts.
stop_on_signals()
# Before torch is loaded: threads that spin while they wait take the cores from the servers beside them.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SEED_002_KEYS = "sk_ml_train_abc123,sk_ml_predict_xyz789"  # as its guide exports them

__all__ = [
    "any_office",
    "office",
    "postgres_served",
    "postgres_url",
    "short_config",
    "sqlite_served",
    "unbroken",
]  # fixtures for every file


def pytest_itemcollected(item: pytest.Item) -> None:
    """`make test` runs what disturbs the stack beside all other tests."""
    if "stack" in getattr(item, "fixturenames", ()):
        item.add_marker("stack")


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A real Prefect server, a real process worker and a real API process, on free ports and a fresh home."""
    home = tmp_path_factory.mktemp("home")
    with ExitStack() as held:
        with pytest.MonkeyPatch.context() as given:
            given.setenv("CHAPKIT_API_KEYS", SEED_002_KEYS)
            stack = running_stack(home, free_port(), free_port(), poll_seconds=1.0)
            running = held.enter_context(stack)
        yield running


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random language model and its tokenizer."""
    return make_tiny_model(tmp_path_factory.mktemp("tiny") / "model")
