"""The client's part about what batch tests come to."""

from __future__ import annotations

from tuneyard.addresses import object_path
from tuneyard.async_wire import AsyncWire
from tuneyard.batch_shapes import CompareRequest, Comparison, TestSummary


class AsyncComparisons:
    """One batch test summed up, two beside each other."""

    _wire: AsyncWire

    async def summary(self, test_id: str) -> TestSummary:
        """Its scores with intervals, by tag and by scorer; latency and tokens.

        Example:
            summary = await client.tests.summary(test_id)
            print(summary.overall.score, summary.latency_ms)
        """
        return await self._wire.ask(TestSummary, "GET", object_path("batch-tests", test_id, "summary"))

    async def compare(
        self, baseline: str, candidate: str, *, alpha: float = 0.05, margin: float = 0.1
    ) -> Comparison:
        """Whether the candidate is better than the baseline, on the prompts of one suite.

        Example:
            found = await client.tests.compare(baseline, candidate)
            print(found.verdict, found.reason)
        """
        body = CompareRequest(baseline=baseline, candidate=candidate, alpha=alpha, margin=margin)
        return await self._wire.ask(Comparison, "POST", "/api/v1/batch-tests/compare", body)

    async def report(self, test_id: str, against: str | None = None) -> str:
        """The test as one HTML page that needs nothing else, beside the one that it is compared with.

        Example:
            Path("report.html").write_text(await client.tests.report(candidate, against=baseline))
        """
        path = object_path("batch-tests", test_id, "report")
        answer = await self._wire.open(path, {"against": against}, {"Accept": "text/html"})
        try:
            return (await answer.aread()).decode()
        finally:
            await answer.aclose()
