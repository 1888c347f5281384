"""Every page's commands, typed into a shell one after another: what a reader types works, in the order it stands there.

Put in their place are the models (a tiny one for the 135 million parameters), the ports, and the words in capitals that
stand for an id which a command before has printed.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from deployments.local_stack import REPOSITORY, Stack
from deployments.processes import environment_without, free_port
from deployments.up import write_env
from tests.api_fixtures import POSTGRES, Office
from tests.pages import PAGES, Block, Shell, blocks, without_comment
from tuneyard import Client

# Blocks that are not run, by their first command, and why.
NOT_RUN = {
    "make demo": "takes minutes: test_demo.py runs it",
    "make up": "goes on until Ctrl-C: what it runs is the stack of these tests",
    "make test": "is this",
    "tuneyard jobs watch JOB": "pausing needs a job at work: test_pause.py, test_resume.py, test_cancel.py",
    "python -m deployments store-endpoint gpt --base-url http://127.0.0.1:8000/v1 --model small < llm.key": (
        "needs a model behind an endpoint: test_endpoint_runs.py"
    ),
    "tuneyard tests cancel TEST": "needs a test at work, or deletes: test_cli_tests.py, test_stopped_tests.py",
    "tuneyard models moves production": "needs a model that is better: test_pipeline.py, test_aliases.py",
    "tuneyard gpus history GPU-8c5a… --since 2026-11-21": "needs a GPU: test_gpu_record.py, test_cli.py",
    "tuneyard auth login --user ada": "asks for a password: test_cli_auth.py",
    "python -m api pepper && python -m api first-admin ada && python -m api serve --host 127.0.0.1 --port 8400": (
        "docs/machines.md has it line by line, and is run"
    ),
    "prefect worker start --pool gpu --work-queue jobs --work-queue pipelines --work-queue monitoring "
    "--work-queue host-gpu-2": "is for a second host",
    "docker build -f deployments/Dockerfile --target worker -t tuneyard-worker .": "needs a container engine",
    "python3 -m deployments.make_secrets": "needs a container engine: test_containers.py",
    "export TUNEYARD_API_URL=http://127.0.0.1:8400 TUNEYARD_API_KEY_FILE=deployments/secrets/admin_api_keys.txt": (
        "needs the containers"
    ),
    "prometheus --config.file deployments/prometheus.yml": "needs Prometheus: test_grafana.py, test_scrape.py",
}
ELSEWHERE = {"docs/sdk.md", "docs/clients.md"}  # with tests of their own, as all of docs/clients/
# What a command may come to beside 0, where the tiny model decides, or what the machine lacks.
MAY_END = {"tuneyard tests compare": {3, 8, 9}, "tuneyard pipeline": {3}, "tuneyard doctor": {1}}
IDS: dict[str, Callable[[Client], str]] = {
    "JOB": lambda client: client.jobs.list(kind="finetune").items[0].id,
    "TEST": lambda client: client.tests.list().items[0].id,
    "BASE": lambda client: next(one.id for one in client.tests.list().items if one.name == "dates"),
    "TUNED": lambda client: next(one.id for one in client.tests.list().items if one.name == "tuned"),
    "MODEL": lambda client: made(client, "model"),
    "TABULAR": lambda client: made(client, "tabular"),
    "ADAPTER": lambda client: made(client, "adapter"),
    "DATASET": lambda client: client.datasets.list().items[0].id,
    "SUITE": lambda client: client.suites.list().items[0].id,
    "CONFIG": lambda client: client.configs.list().items[0].id,
    "KEY": lambda client: next(one.id for one in client.keys.list().items if one.name == "notebook"),
}


def made(client: Client, kind: str) -> str:
    return next(one.id for one in client.artifacts.list(limit=100).items if one.kind == kind)


@dataclass
class Reader:
    """Who reads a page: a folder to work in, an environment, and what is put in a command's place."""

    folder: Path
    environment: dict[str, str]
    client: Client | None = None
    places: dict[str, str] = field(default_factory=dict)
    ids: dict[str, str] = field(default_factory=dict)

    def reads(self, page: str) -> None:
        shell = Shell(self.folder, self.environment)
        try:
            for block in blocks(REPOSITORY / page):
                for command in runs(block, self.folder):
                    self._type(shell, command)
        finally:
            shell.close()

    def _type(self, shell: Shell, command: str) -> None:
        text = without_comment(command)
        for word, there in self.places.items():
            text = text.replace(word, there)
        for word in set(re.findall(r"\b[A-Z]+\b", text)) & set(IDS):
            text = re.sub(rf"\b{word}\b", self._id(word), text)
        code, said = shell(text)
        print(f"$ {text}\n{said}")
        others = next((codes for start, codes in MAY_END.items() if text.startswith(start)), set())
        assert code in {0} | others, f"exit {code}: {text}\n{said}"

    def _id(self, word: str) -> str:
        """The same all over a page."""
        assert self.client
        if word not in self.ids:
            self.ids[word] = IDS[word](self.client)
        return self.ids[word]


def runs(block: Block, folder: Path) -> list[str]:
    """What a block comes to in a shell. Python that leaves something out is no program."""
    if block.kind == "python" and "…" not in block.text:
        (folder / "shown.py").write_text(block.text)
        return ["python shown.py"]
    return block.commands if block.kind == "sh" else []


@pytest.fixture
def folder(tmp_path: Path, tiny_model: Path) -> Path:
    """Where a reader stands: the examples, about a model that takes seconds."""
    shutil.copytree(REPOSITORY / "examples", tmp_path / "examples")
    for path in (tmp_path / "examples" / "dates").glob("*.json"):
        content = json.loads(path.read_text())
        tune = content["config"].get("finetune", content["config"])
        tune["model"] = str(tiny_model)
        if "dataset" in tune:
            tune["max_steps"] = 6
        path.write_text(json.dumps(content))
    (tmp_path / ".tuneyard" / "keys").mkdir(parents=True)
    return tmp_path


def outside(folder: Path, **more: str) -> dict[str, str]:
    """A terminal in which nothing of tuneyard's or Prefect's is set, and nobody has logged in."""
    clean = {name: value for name, value in environment_without("PREFECT_").items() if "TUNEYARD" not in name}
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}:{POSTGRES}"
    ours = {"PATH": path, "PYTHONPATH": str(REPOSITORY), "TUNEYARD_CONFIG_HOME": str(folder / "config")}
    return clean | ours | {"PYTHON_KEYRING_BACKEND": "keyring.backends.fail.Keyring"} | more


@pytest.fixture
def reader(stack: Stack, folder: Path) -> Iterator[Reader]:
    """In a second terminal beside `make up`."""
    shutil.copy(write_env(stack), folder / ".tuneyard" / "env")
    for name in ("admin", "user"):
        shutil.copy(stack.key_file(name), folder / ".tuneyard" / "keys")
    with stack.client("admin") as client:
        yield Reader(folder, outside(folder), client)


def inside(reader: Reader, stack: Stack) -> Reader:
    """Who has typed `. .tuneyard/env` on the page before."""
    named = ("TUNEYARD_HOME", "TUNEYARD_API_URL", "PREFECT_HOME", "PREFECT_API_URL")
    reader.environment |= {name: stack.environment[name] for name in named}
    reader.environment["TUNEYARD_API_KEY_FILE"] = str(stack.key_file("user"))
    return reader


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_first_page_can_be_typed_as_it_stands(reader: Reader) -> None:
    reader.reads("docs/start.md")


def test_the_page_of_keys_can_be_typed_as_it_stands(office: Office, folder: Path) -> None:
    (folder / ".tuneyard" / "keys" / "admin.key").write_text(office.key("admin"))
    ada = f"ada-{office.workspace_id}"  # a person's name is one of its kind
    environment = outside(folder, TUNEYARD_API_URL=office.served.url)
    with Client(office.served.url, office.key("admin")) as client:
        Reader(folder, environment, client, {"users create ada": f"users create {ada}"}).reads("docs/keys.md")


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize(
    "pages", [("README.md", "docs/finetune.md"), ("docs/test.md", "docs/read.md")], ids=["tune", "read"]
)
def test_pages_about_work_can_be_typed_as_they_stand(
    reader: Reader, stack: Stack, pages: tuple[str, ...]
) -> None:
    for page in pages:
        reader.ids.clear()
        inside(reader, stack).reads(page)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_about_operating_can_be_typed_as_it_stands(
    reader: Reader, stack: Stack, postgres_url: str
) -> None:
    inside(reader, stack).environment |= {
        "DATABASE_URL": postgres_url,
        "TUNEYARD_API_KEY_FILE": str(stack.key_file("admin")),
        "PYTHONSAFEPATH": "",
    }
    reader.reads("docs/operate.md")


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_page_by_hand_makes_a_stack_from_nothing(folder: Path) -> None:
    places = {"8400": str(free_port()), "4200": str(free_port())}
    homes = {"TUNEYARD_HOME": str(folder / "home"), "PREFECT_HOME": str(folder / "prefect")}
    reader = Reader(folder, outside(folder, **homes), places=places)
    reader.reads("docs/machines.md")


def test_what_is_not_run_is_said_with_its_reason() -> None:
    left = {
        without_comment(block.commands[0])
        for page in PAGES
        for block in ours(page)
        if block.kind == "console"
    }
    assert left == set(NOT_RUN)


def test_every_page_is_run() -> None:
    text = Path(__file__).read_text()
    for page in PAGES:
        with_commands = [block for block in ours(page) if block.kind == "sh"]
        assert not with_commands or page.name in text, page.name


def ours(page: Path) -> list[Block]:
    name = str(page.relative_to(REPOSITORY))
    return [] if name in ELSEWHERE or name.startswith("docs/clients/") else list(blocks(page))
