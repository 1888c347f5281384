"""Every method of the SDK shows how it is called, and the example runs; so does each line of docs/sdk.md."""

from __future__ import annotations

import ast
import asyncio
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from api.settings import Settings
from tests.api_fixtures import UNLIMITED, Office, Served, served
from tests.prefect_fixtures import stand_in
from tests.sdk_examples import NAMES, Things, example_in, methods_of, run
from tests.sdk_fixtures import KEY, URL
from tests.sdk_fixtures import config_home as config_home
from tests.unasync import ROOT
from tuneyard import AsyncClient, Client

RESOURCES = {"jobs", "metrics", "datasets", "models", "suites", "tests", "keys", "gpus"}
METHODS = dict(methods_of(Client(URL, KEY)))
READING = {
    "list",
    "get",
    "iter",
    "read",
    "stream",
    "watch",
    "events",
    "logs",
    "errors",
    "gpu",
    "history",
    "versions",
}
READING |= {
    "predictions",
    "iter_predictions",
    "tree",
    "files",
    "summary",
    "moves",
    "schema",
    "permission_sets",
}
# The state that the job, test or person of an example has to be in; else: running.
STATES = {
    **dict.fromkeys(("jobs.claim", "users.create"), "pending"),
    **dict.fromkeys(("jobs.launched", "jobs.pause"), "launched"),
    **dict.fromkeys(("jobs.stream", "jobs.watch", "tests.watch", "tests.summary", "tests.delete"), "ended"),
    **dict.fromkeys(
        ("tests.archive", "tests.restore", "tests.predictions", "tests.iter_predictions"), "ended"
    ),
    **dict.fromkeys(("jobs.resume", "jobs.errors"), "failed"),
}


@pytest.fixture(scope="module")
def launching(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API that starts runs, at a server which stands in for Prefect's."""
    with stand_in() as prefect:
        prefect.deployments |= {f"{flow}/gpu": str(uuid4()) for flow in ("pipeline", "predict", "tabular")}
        options = UNLIMITED | {"prefect_api_url": prefect.url, "database_url": None}
        with served(Settings(tuneyard_home=tmp_path_factory.mktemp("sdk"), **options)) as running:
            yield running


@pytest.fixture(scope="module")
def shop(launching: Served) -> Iterator[Office]:
    found = Office(launching)
    yield found
    found.http.close()


def test_both_clients_have_the_same_resources_and_say_what_each_does() -> None:
    sync, later = dict(methods_of(Client(URL, KEY))), dict(methods_of(AsyncClient(URL, KEY)))
    assert {name.split(".")[1] for name in sync} >= RESOURCES
    assert {name.replace("aclose", "close") for name in later} == sync.keys()
    for name, method in later.items():
        hints = inspect.signature(method)
        assert hints.return_annotation is not inspect.Signature.empty, name
        assert all(one.annotation is not one.empty for one in hints.parameters.values()), name
        assert re.search(r"\b(client|run|mine)\b", example_in(method) or ""), f"{name} has no example"


@pytest.mark.parametrize("name", METHODS)
def test_an_example_runs(
    name: str, shop: Office, tmp_path: Path, config_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = example_in(METHODS[name]) or ""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEYARD_API_URL", shop.served.url)
    monkeypatch.setenv("TUNEYARD_API_KEY", shop.key("training"))
    things = Things(shop, tmp_path, STATES.get(name.removeprefix("client."), "running"))
    assert name.rpartition(".")[2] in code
    run(code, name, NAMES | things.named_in(code))


async def _read_all(things: Things, url: str, key: str) -> int:
    """Every async example that reads, one after another; how many there were."""
    count = 0
    async with AsyncClient(url, key, patience=0) as client:
        for name, method in methods_of(client):
            if name.startswith("client.auth.") or name.rpartition(".")[2] not in READING:
                continue
            code = example_in(method) or ""
            names = NAMES | things.named_in(code) | {"client": client}
            await eval(compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), names)
            count += 1
    return count


def test_the_async_examples_run_as_their_twins_do(
    launching: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that read; the others differ from the sync ones, which all run, by `await` alone."""
    monkeypatch.chdir(tmp_path)
    office = Office(launching)
    things = Things(office, tmp_path, "ended")
    assert asyncio.run(_read_all(things, office.served.url, office.key("admin"))) > 30
    things.client.close()
    office.http.close()


def _code_at_its_lines(page: str) -> str:
    """The python blocks alone, each line where it stands on the page."""
    lines, inside = [], False
    for line in page.splitlines():
        fence = line.startswith("```")
        inside = line == "```python" if fence else inside
        lines.append("" if fence or not inside else line)
    return "\n".join(lines)


def test_the_page_about_the_sdk_runs_from_its_first_line_to_its_last(
    launching: Served, tmp_path: Path, config_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    office = Office(launching)
    things = Things(office, tmp_path, "ended")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TUNEYARD_API_URL", office.served.url)
    monkeypatch.setenv("TUNEYARD_API_KEY", office.key("admin"))
    assert all((things.job_id, things.production, things.uuid))
    page = (ROOT / "docs" / "sdk.md").read_text()
    said: dict[str, Any] = {"about": things.client}
    run(_code_at_its_lines(page), "docs/sdk.md", said)
    assert (said["job"].status, said["found"].verdict) == ("completed", "better")
    assert len(said["frame"]) == 3
    assert (tmp_path / "losses.svg").read_text().startswith("<svg")
    office.http.close()
