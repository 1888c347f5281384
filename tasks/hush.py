"""Warnings that one library gives about another, which nobody who trains a model can do anything about."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

OF_OTHERS = (
    (
        FutureWarning,
        "`is_gradient_checkpointing` is deprecated",
    ),  # peft 0.21 and trl 1.16 ask transformers 5.23
)


@contextmanager
def hushed() -> Iterator[None]:
    """While in it, these warnings are not given; every other one is."""
    with warnings.catch_warnings():
        for category, message in OF_OTHERS:
            warnings.filterwarnings("ignore", message, category)
        yield
