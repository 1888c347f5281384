"""The client's part about suites and batch tests."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from tuneyard.addresses import object_path
from tuneyard.async_wire import AsyncWire
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


class AsyncSuites:
    """Test suites: prompts and their expected answers."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewSuite) -> Suite:
        """Record a suite; the same name and content again answers the one that is there."""
        return await self._wire.ask(Suite, "POST", "/api/v1/test-suites", new)

    async def list(self, limit: int = 50, offset: int = 0) -> Page[Suite]:
        """One page, without the prompts."""
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[Suite], "GET", "/api/v1/test-suites", params=params)

    async def get(self, suite_id: str) -> Suite:
        """The suite with its prompts."""
        return await self._wire.ask(Suite, "GET", object_path("test-suites", suite_id))


class AsyncTests:
    """Batch tests and their predictions; claim, cancel and end one as the job of the same id."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewBatchTest) -> BatchTest:
        """Record a batch test and its job; the same `flow_run_id` again answers the one that is there."""
        return await self._wire.ask(BatchTest, "POST", "/api/v1/batch-tests", new)

    async def list(self, limit: int = 50, offset: int = 0) -> Page[BatchTest]:
        params = {"limit": limit, "offset": offset}
        return await self._wire.ask(Page[BatchTest], "GET", "/api/v1/batch-tests", params=params)

    async def get(self, test_id: str) -> BatchTest:
        return await self._wire.ask(BatchTest, "GET", object_path("batch-tests", test_id))

    async def add_predictions(self, test_id: str, predictions: Sequence[NewPrediction]) -> Reported:
        """Write 1 to 1000 predictions with the job token; a prompt written before is replaced."""
        path = object_path("batch-tests", test_id, "predictions")
        body = PredictionBatch(predictions=[*predictions])
        return await self._wire.ask(Reported, "POST", path, body, as_job=True)

    async def predictions(self, test_id: str, limit: int = 100, offset: int = 0) -> Page[Prediction]:
        """One page by prompt index; `limit` is at most 1000."""
        path = object_path("batch-tests", test_id, "predictions")
        return await self._wire.ask(Page[Prediction], "GET", path, params={"limit": limit, "offset": offset})

    async def iter_predictions(self, test_id: str, page_size: int = 100) -> AsyncIterator[Prediction]:
        """Every prediction by prompt index, each once, also while the test goes on."""
        last = -1
        offset = 0
        while True:
            page = await self.predictions(test_id, page_size, offset)
            for prediction in page.items:
                if prediction.prompt_index > last:
                    last = prediction.prompt_index
                    yield prediction
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return
