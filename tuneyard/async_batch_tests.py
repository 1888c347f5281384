"""The client's part about suites and batch tests."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from tuneyard.addresses import object_path
from tuneyard.async_comparisons import AsyncComparisons
from tuneyard.async_wire import AsyncWire
from tuneyard.batch_configs import BatchTestConfig
from tuneyard.batch_shapes import (
    BatchTest,
    NewBatchTest,
    NewPrediction,
    NewSuite,
    Prediction,
    PredictionBatch,
    Suite,
    SuiteEdit,
    TestRequest,
)
from tuneyard.identifiers import fresh_id
from tuneyard.shapes import JobStatus, Page, Reported


class AsyncSuites:
    """Test suites: prompts and their expected answers."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def create(self, new: NewSuite) -> Suite:
        """Record a suite; the same name and content again answers the one that is there.

        Example:
            prompts = [Prompt(prompt="2 + 2?", expected="4"), Prompt(prompt="3 + 3?", expected="6")]
            suite = await client.suites.create(NewSuite(name="sums", prompts=prompts))
        """
        return await self._wire.ask(Suite, "POST", "/api/v1/test-suites", new)

    async def list(
        self, limit: int = 50, offset: int = 0, *, name: str | None = None, all_versions: bool = False
    ) -> Page[Suite]:
        """One page, without the prompts: of each name, or of the one that is given, the newest version.

        Example:
            print([suite.name for suite in (await client.suites.list()).items])
        """
        versions = "all" if all_versions else None
        params = {"limit": limit, "offset": offset, "name": name, "versions": versions}
        return await self._wire.ask(Page[Suite], "GET", "/api/v1/test-suites", params=params)

    async def versions(self, suite_id: str, limit: int = 50, offset: int = 0) -> Page[Suite]:
        """One page of all versions of the suite that this is one of, the newest first, without the prompts.

        Example:
            print([suite.version for suite in (await client.suites.versions(suite_id)).items])
        """
        path = object_path("test-suites", suite_id, "versions")
        return await self._wire.ask(Page[Suite], "GET", path, params={"limit": limit, "offset": offset})

    async def edit(self, suite_id: str, edit: SuiteEdit) -> Suite:
        """Other prompts are the next version under the same name, with an id of its own.

        Example:
            edited = await client.suites.edit(suite_id, SuiteEdit(prompts=[Prompt(prompt="4 + 4?", expected="8")]))
            print(edited.id, edited.version)
        """
        return await self._wire.ask(Suite, "PUT", object_path("test-suites", suite_id), edit)

    async def get(self, suite_id: str) -> Suite:
        """The suite with its prompts.

        Example:
            print([prompt.text for prompt in (await client.suites.get(suite_id)).prompts])
        """
        return await self._wire.ask(Suite, "GET", object_path("test-suites", suite_id))


class AsyncTests(AsyncComparisons):
    """Batch tests and their predictions; claim, cancel and end one as the job of the same id."""

    def __init__(self, wire: AsyncWire) -> None:
        self._wire = wire

    async def run(
        self,
        config: BatchTestConfig | None = None,
        name: str | None = None,
        test_id: str | None = None,
        *,
        config_id: str | None = None,
    ) -> BatchTest:
        """Record a batch test and have Prefect run it; a request whose answer was lost is repeated as the same test.

        Args:
            config: What to do; or `config_id`, one that is kept.
            name: In place of the config's own.
            test_id: An id of yours; default: a new one.

        Example:
            config = BatchTestConfig(model=f"artifact:{artifact_id}", suite=suite_id)
            test = await client.tests.run(config, name="after")
        """
        given = {"config": config, "config_id": config_id, "name": name}
        asked = {name: value for name, value in given.items() if value is not None}
        body = TestRequest(**asked, id=test_id or fresh_id())
        return await self._wire.ask(BatchTest, "POST", "/api/v1/ml/$test", body)

    async def create(self, new: NewBatchTest) -> BatchTest:
        """Record a batch test and its job; the same `flow_run_id` again answers the one that is there.

        Example:
            test = await client.tests.create(NewBatchTest(model="my-model", suite=suite_id))
        """
        return await self._wire.ask(BatchTest, "POST", "/api/v1/batch-tests", new)

    async def list(
        self,
        status: JobStatus | str | None = None,
        suite_id: str | None = None,
        model: str | None = None,
        archived: bool = False,
        limit: int = 50,
        offset: int = 0,
    ) -> Page[BatchTest]:
        """One page, newest first; `limit` is at most 100.

        Args:
            archived: Those that are archived, in place of the others.

        Example:
            for test in (await client.tests.list(suite_id=suite_id, status="completed")).items:
                print(test.name, test.score)
        """
        params = {
            "status": status,
            "suite_id": suite_id,
            "model": model,
            "archived": "true" if archived else None,
            "limit": limit,
            "offset": offset,
        }
        return await self._wire.ask(Page[BatchTest], "GET", "/api/v1/batch-tests", params=params)

    async def get(self, test_id: str) -> BatchTest:
        """The test as it is now.

        Example:
            test = await client.tests.get(test_id)
            print(test.completed_prompts, test.score)
        """
        return await self._wire.ask(BatchTest, "GET", object_path("batch-tests", test_id))

    async def cancel(self, test_id: str) -> BatchTest:
        """Ask for its end; one that runs is `cancelling` until its run has stopped. Its answers are kept.

        Example:
            print((await client.tests.cancel(test_id)).status)
        """
        return await self._wire.ask(BatchTest, "POST", object_path("batch-tests", test_id, "cancel"))

    async def archive(self, test_id: str) -> BatchTest:
        """Leave it out of lists, but for those of what is archived.

        Example:
            await client.tests.archive(test_id)
        """
        return await self._wire.ask(BatchTest, "POST", object_path("batch-tests", test_id, "archive"))

    async def restore(self, test_id: str) -> BatchTest:
        """Take it back into lists.

        Example:
            await client.tests.restore(test_id)
        """
        return await self._wire.ask(BatchTest, "POST", object_path("batch-tests", test_id, "restore"))

    async def delete(self, test_id: str) -> None:
        """Only one that has ended; its answers are gone then.

        Example:
            await client.tests.delete(test_id)
        """
        await self._wire.tell("DELETE", object_path("batch-tests", test_id))

    async def watch(self, test_id: str, every: float = 1.0) -> AsyncIterator[BatchTest]:
        """The test now and after each change, looked at every `every` seconds, until it is final.

        Example:
            async for test in client.tests.watch(test_id):
                print(test.completed_prompts, test.total_prompts)
        """
        last: BatchTest | None = None
        while True:
            test = await self.get(test_id)
            if test != last:
                yield test
            if test.status.is_final:
                return
            last = test
            await asyncio.sleep(every)

    async def add_predictions(
        self, test_id: str, predictions: Sequence[NewPrediction], *, patience: float | None = None
    ) -> Reported:
        """Write 1 to 1000 predictions with the job token; a prompt written before is replaced.

        Args:
            patience: Seconds of retrying, in place of the client's.

        Example:
            answer = NewPrediction(prompt_index=0, prompt="2 + 2?", response="4", score=1.0, passed=True)
            await run.tests.add_predictions(test_id, [answer])
        """
        path = object_path("batch-tests", test_id, "predictions")
        body = PredictionBatch(predictions=[*predictions])
        return await self._wire.ask(Reported, "POST", path, body, as_job=True, patience=patience)

    async def predictions(
        self,
        test_id: str,
        limit: int = 100,
        offset: int = 0,
        *,
        passed: bool | None = None,
        failed: bool | None = None,
        tag: str | None = None,
    ) -> Page[Prediction]:
        """One page by prompt index; `limit` is at most 1000.

        Args:
            passed: False: those that are wrong or failed with an error.
            failed: True: those that failed with an error.
            tag: Those of prompts with this tag.

        Example:
            for answer in (await client.tests.predictions(test_id, passed=False)).items:
                print(answer.prompt, answer.expected, answer.response)
        """
        flags = {"passed": passed, "failed": failed}
        params = {name: str(value).lower() for name, value in flags.items() if value is not None}
        path = object_path("batch-tests", test_id, "predictions")
        return await self._wire.ask(
            Page[Prediction],
            "GET",
            path,
            params={**params, "tag": tag, "limit": limit, "offset": offset},
        )

    async def iter_predictions(
        self,
        test_id: str,
        page_size: int = 100,
        *,
        passed: bool | None = None,
        failed: bool | None = None,
        tag: str | None = None,
    ) -> AsyncIterator[Prediction]:
        """Every prediction by prompt index, each once, also while the test goes on.

        Example:
            print([answer.score async for answer in client.tests.iter_predictions(test_id)])
        """
        last = -1
        offset = 0
        while True:
            page = await self.predictions(test_id, page_size, offset, passed=passed, failed=failed, tag=tag)
            for prediction in page.items:
                if prediction.prompt_index > last:
                    last = prediction.prompt_index
                    yield prediction
            offset += len(page.items)
            if not page.items or offset >= page.total:
                return
