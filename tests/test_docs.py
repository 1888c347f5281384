"""What the pages name is there: every command, option, word of make, file, URL, variable, deployment and link."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import prefect.settings
import pytest
import yaml
from click.exceptions import BadOptionUsage, UsageError
from fastapi import FastAPI
from starlette.routing import compile_path

from api.__main__ import main as api_cli
from api.settings import Settings
from deployments.__main__ import main as deployments_cli
from deployments.local_stack import REPOSITORY
from tests.api_fixtures import Served
from tests.pages import PAGES, blocks, spans, without_comment
from tuneyard.cli import cli

PROGRAMS = {"tuneyard": cli, "python -m api": api_cli, "python -m deployments": deployments_cli}
ROOMS = "api|benchmarks|blocks|deployments|docs|examples|flows|tasks|tests|tuneyard"
MADE = {".tuneyard/env", "deployments/secrets"}  # by commands that the pages show
SOURCES = "\n".join(
    path.read_text()
    for room in ROOMS.split("|")
    for path in sorted((REPOSITORY / room).rglob("*"))
    if path.suffix in {".py", ".yaml", ".sh"} and "__pycache__" not in path.parts and room != "docs"
)
README_MOST = 120


def all_of(page: Path) -> Iterator[str]:
    """Commands without their comments, and what stands `like this`."""
    for block in blocks(page):
        if block.kind in ("sh", "console"):
            yield from map(without_comment, block.commands)
    yield from spans(page)


def calls(text: str) -> Iterator[tuple[str, list[str]]]:
    """Each call of a program of ours in a line: the program, and its words."""
    for program in PROGRAMS:
        for found in re.finditer(rf"(?:^|[|;(&] ?|`){program}( [^|;&<>)]*|$)", text):
            yield program, [word for word in shlex.split(found[1]) if word != "["]


def demand_usable(command: click.Command, words: list[str], *, whole: bool) -> None:
    """That the words are ones the command takes; `whole`: and that no argument is missing."""
    context = click.Context(command, info_name=command.name)
    given, rest, _ = command.make_parser(context).parse_args(list(words))
    if isinstance(command, click.Group):
        name = next(iter(rest), None)
        if name is None:
            return
        found = command.get_command(context, name)
        assert found, f"{command.name} has no command {name}"
        demand_usable(found, words[words.index(name) + 1 :], whole=whole)
        return
    assert not rest, f"{command.name} does not take {rest}"
    if whole:
        for wanted in command.params:
            is_there = isinstance(given.get(wanted.name or ""), str | tuple | list)
            assert is_there or not wanted.required, f"{command.name} lacks {wanted.name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_is_one_that_the_programs_take(page: Path) -> None:
    in_prose = set(spans(page))
    for text in all_of(page):
        for program, words in calls(text):
            try:
                demand_usable(PROGRAMS[program], words, whole=text not in in_prose)
            except (UsageError, AssertionError) as problem:
                without_value = isinstance(problem, BadOptionUsage) and text in in_prose
                if not without_value:
                    pytest.fail(f"{page.name}: {text}: {problem}")
    for text in all_of(page):
        for module in re.findall(r"python3? -m ([\w.]+)", text):
            assert (REPOSITORY / module.replace(".", "/")).with_suffix(".py").exists() or (
                REPOSITORY / module / "__main__.py"
            ).exists(), text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_word_of_make_and_every_deployment_is_there(page: Path) -> None:
    words = set(re.findall(r"^([a-z]+):.*##", (REPOSITORY / "Makefile").read_text(), re.M))
    deployed = yaml.safe_load((REPOSITORY / "prefect.yaml").read_text())["deployments"]
    flows = {one["entrypoint"].split(":")[1].replace("_", "-") + "/" + one["name"] for one in deployed}
    for text in all_of(page):
        assert set(re.findall(r"\bmake ([a-z]+)", text)) <= words, text
        assert set(re.findall(r"prefect deployment run (\S+)", text)) <= flows, text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_and_every_page_that_is_linked_to_is_there(page: Path) -> None:
    for text in all_of(page):
        for name in re.findall(rf"(?<![\w/.$-])(?:{ROOMS})/[\w./-]*[\w]", text):
            kept = any(name.startswith(made) for made in MADE)
            assert kept or (REPOSITORY / name).exists(), f"{page.name} names {name}"
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#?([^)]*)\)", page.read_text()):
        linked = page.parent / target if target else page
        assert linked.exists(), f"{page.name} links to {target}"
        titles = re.findall(r"^#+ (.*)$", linked.read_text(), re.M) if anchor else []
        anchors = {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}
        assert not anchor or anchor in anchors, f"{page.name} links to {target}#{anchor}"


def served_paths(app: FastAPI) -> list[re.Pattern[str]]:
    known: dict[str, Any] = app.openapi()["paths"]
    return [compile_path(path)[0] for path in [*known, "/docs", "/redoc", "/openapi.json"]]


# Those of docs/clients/ also name what is not served, and are run by tests of their own.
OURS = [page for page in PAGES if page.parent.name != "clients"]


@pytest.mark.parametrize("page", OURS, ids=lambda page: page.name)
def test_every_address_is_served(page: Path, sqlite_served: Served) -> None:
    paths = served_paths(sqlite_served.app)
    for text in all_of(page):
        for path in re.findall(
            r"(?<![\w.:])(/(?:api|health|metrics|v1|docs)\b[\w/${}\\-]*)(?!\S*\.\w)", text
        ):
            plain = re.sub(r"\\(?=\$)", "", path)
            if not plain.startswith("/api/health"):  # Prefect's
                assert any(one.fullmatch(plain) for one in paths), f"{page.name} names {plain}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_variable_is_one_that_somebody_reads(page: Path) -> None:
    read = {name.upper() for name in Settings.model_fields}
    for text in all_of(page):
        for name in re.findall(r"(?<![\w-])[A-Z][A-Z0-9]*_[A-Z0-9_]*[A-Z0-9]\b", text):
            known = name in read or re.search(rf"\b{name}\b", SOURCES) or hasattr(prefect.settings, name)
            assert known, f"{page.name} names {name}"


def test_every_setting_is_on_the_page_that_lists_them() -> None:
    page = (REPOSITORY / "docs" / "operate.md").read_text()
    assert [name for name in Settings.model_fields if f"`{name.upper()}`" not in page] == []


def test_the_readme_is_short_and_leads_to_every_page() -> None:
    text = (REPOSITORY / "README.md").read_text()
    tree = re.search(r"<!-- tree -->.*?```.*?```", text, re.S)
    assert tree
    assert len(text.splitlines()) - len(tree[0].splitlines()) <= README_MOST
    for page in (REPOSITORY / "docs").glob("*.md"):
        assert f"docs/{page.name}" in text, page.name
