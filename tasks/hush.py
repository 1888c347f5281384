"""Warnings that one library gives about another, which nobody who trains a model can do anything about."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

OF_OTHERS = (
    (
        FutureWarning,
        "`is_gradient_checkpointing` is deprecated",
    ),  # peft 0.21 and trl 1.16 ask transformers 5.23
)
# transformers 5.23 says so of FSDP1 too. FSDP2 gathers a layer once in its backward pass either way, and what it would
# rather have draws other random numbers for dropout the second time.
LOGGED = ("transformers.training_args", "When using FSDP, prefer")


@contextmanager
def hushed() -> Iterator[None]:
    """While in it, these warnings are not given; every other one is."""
    logger = logging.getLogger(LOGGED[0])
    logger.addFilter(_is_news)
    try:
        with warnings.catch_warnings():
            for category, message in OF_OTHERS:
                warnings.filterwarnings("ignore", message, category)
            yield
    finally:
        logger.removeFilter(_is_news)


def _is_news(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith(LOGGED[1])
