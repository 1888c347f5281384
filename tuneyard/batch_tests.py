# Generated from async_batch_tests.py by `python -m tests.unasync --write`; do not edit.
"""The client's part about suites and batch tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tuneyard.addresses import object_path
from tuneyard.batch_shapes import (
    BatchTest,
    NewBatchTest,
    NewPrediction,
    NewSuite,
    Prediction,
    PredictionBatch,
    Suite,
)
from tuneyard.shapes import Page, Reported
from tuneyard.wire import Wire


class Suites:
    """Test suites: prompts and their expected answers."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, new: NewSuite) -> Suite:
        """Record a suite; the same name and content again answers the one that is there."""
        return self._wire.ask(Suite, "POST", "/api/v1/test-suites", new)

    def list(self, limit: int = 50, offset: int = 0) -> Page[Suite]:
        """One page, without the prompts."""
        params = {"limit": limit, "offset": offset}
        return self._wire.ask(Page[Suite], "GET", "/api/v1/test-suites", params=params)

    def get(self, suite_id: str) -> Suite:
        """The suite with its prompts."""
        return self._wire.ask(Suite, "GET", object_path("test-suites", suite_id))


class Tests:
    """Batch tests and their predictions; claim, cancel and end one as the job of the same id."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def create(self, new: NewBatchTest) -> BatchTest:
        """Record a batch test and its job; the same `flow_run_id` again answers the one that is there."""
        return self._wire.ask(BatchTest, "POST", "/api/v1/batch-tests", new)

    def list(self, limit: int = 50, offset: int = 0) -> Page[BatchTest]:
        params = {"limit": limit, "offset": offset}
        return self._wire.ask(Page[BatchTest], "GET", "/api/v1/batch-tests", params=params)

    def get(self, test_id: str) -> BatchTest:
        return self._wire.ask(BatchTest, "GET", object_path("batch-tests", test_id))

    def add_predictions(self, test_id: str, predictions: Sequence[NewPrediction]) -> Reported:
        """Write 1 to 1000 predictions with the job token; a prompt written before is replaced."""
        path = object_path("batch-tests", test_id, "predictions")
        body = PredictionBatch(predictions=[*predictions])
        return self._wire.ask(Reported, "POST", path, body, as_job=True)

    def predictions(self, test_id: str, limit: int = 100, offset: int = 0) -> Page[Prediction]:
        """One page by prompt index; `limit` is at most 1000."""
        path = object_path("batch-tests", test_id, "predictions")
        return self._wire.ask(Page[Prediction], "GET", path, params={"limit": limit, "offset": offset})

    def iter_predictions(self, test_id: str, page_size: int = 100) -> Iterator[Prediction]:
        """Every prediction by prompt index, each once, also while the test goes on."""
        last = -1
        offset = 0
        while True:
            page = self.predictions(test_id, page_size, offset)
            for prediction in page.items:
                if prediction.prompt_index > last:
                    last = prediction.prompt_index
                    yield prediction
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return
