"""The laws of the house, read from the code's own imports."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from pydantic import SecretStr

from api import app, dialects, tables
from api.access.pepper import make_pepper
from api.schema_head import make_ready
from api.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("flows", "tasks", "blocks", "deployments", "api", "tuneyard")
EMPTY_NAMES = {"utils", "util", "helpers", "helper", "common", "core", "manager", "service", "base", "misc"}
FILES = sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))

# Which rooms a room may import from, beside itself: three floors, and the ground.
MAY_IMPORT = {
    "tuneyard": set(),
    "api": {"tuneyard"},
    "tasks": {"tuneyard"},
    "blocks": {"tuneyard"},
    "flows": {"tuneyard", "tasks", "blocks"},
    "deployments": {"tuneyard", "blocks"},
}
# Which rooms may import a library.
ONLY_IN = {
    "sqlmodel": {"api"},
    "sqlalchemy": {"api"},
    "alembic": {"api"},
    "sqlite3": {"api"},
    "psycopg": {"api"},
    "fastapi": {"api"},
    "starlette": {"api"},
    "torch": {"tasks"},
    "transformers": {"tasks", "tuneyard"},  # tuneyard/hf.py, which nothing else imports
    "pynvml": {"tasks"},
    "prefect": {"flows", "deployments", "blocks"},
    "requests": set(),
    "aiohttp": set(),
}


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: imports are absolute"
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_imports_only_what_its_room_may(path: Path) -> None:
    room = _room(path)
    for name in _imports(path):
        top = name.split(".")[0]
        if top in ROOMS and top != room:
            assert top in MAY_IMPORT[room], f"{room} may not import {name}"
        if top in ONLY_IN:
            assert room in ONLY_IN[top], f"only {ONLY_IN[top] or 'nobody'} may import {top}"


def test_only_flows_open_a_block() -> None:
    opening = re.compile(r"\b(?:Block|\w+Credentials)\.a?load\(")
    offenders = [p for p in FILES if _room(p) != "flows" and opening.search(p.read_text())]
    assert not offenders


def test_owned_rows_are_reached_through_the_one_door() -> None:
    """Only finding out who asks, the host's own commands and one list that joins select by themselves; rows that
    hang on a job or a card are reached from it."""
    owned = {name for name in vars(tables) if hasattr(getattr(tables, name), "workspace_id")}
    owned -= {
        "Metric",
        "MetricBucket",
        "Prediction",
        "TestRun",
        "HostSample",
        "JobEvent",
        "JobLog",
        "GpuSample",
        "GpuUse",
    }
    may = {
        "access/owned.py",
        "access/door.py",
        "first_admin.py",
        "routes/sessions.py",
        "routes/batch_tests.py",
    }
    selecting = re.compile(rf"\b(?:select|get|get_one|query)\((?:tables\.)?({'|'.join(sorted(owned))})\b")
    for path in (ROOT / "api").rglob("*.py"):
        name = str(path.relative_to(ROOT / "api"))
        if name not in may:
            assert not selecting.findall(path.read_text()), f"{name}: use owned(table, workspace_id)"
    assert {"Job", "ApiKey", "User", "AuditEvent", "LoginSession"} <= owned


# Dialects that ask the database by themselves, and why no canonical route asks that.
ASKING = {
    "aitbc/__init__.py": "its history is narrowed by time; a model's name is tried as an alias and as an artifact",
    "aitbc/words.py": "its states, of which one is a time that has passed, as a condition",
}
DIALECTS = ROOT / "api" / "dialects"


def _dialect_of(name: str) -> str | None:
    """The dialect that a module is or belongs to."""
    first = name.removeprefix("api.dialects.").partition(".")[0]
    known = {path.stem for path in DIALECTS.iterdir() if not path.stem.startswith("__")}
    return first if name.startswith("api.dialects.") and first in known else None


def test_no_dialect_imports_another_and_nothing_else_imports_one() -> None:
    for path in (ROOT / "api").rglob("*.py"):
        own = _dialect_of(".".join(path.relative_to(ROOT).with_suffix("").parts))
        for name in _imports(path):
            assert _dialect_of(name) in (None, own), f"{path} imports {name}"


def test_no_dialect_asks_the_database_what_the_canonical_routes_ask() -> None:
    """It finds single objects by `find`, and calls the routes' functions for the rest."""
    asking = re.compile(r"\b(?:select|owned|text)\(|\.(?:exec|execute|scalars?|query)\(|\bsqlalchemy\b")
    found = {
        str(path.relative_to(DIALECTS)) for path in DIALECTS.rglob("*.py") if asking.search(path.read_text())
    }
    assert found == ASKING.keys()


def test_a_sixth_dialect_is_its_own_file_and_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = """
from fastapi import APIRouter
from api.access.auth import AnyCaller

router = APIRouter()
ERROR_WORDS = {"/sixth": lambda body: body | {"oops": body["detail"]}}


@router.get("/sixth/me")
def me(caller: AnyCaller) -> dict[str, str]:
    return {"whoami": caller.name}
"""
    (tmp_path / "sixth.py").write_text(code)
    monkeypatch.setattr(dialects, "__path__", [*dialects.__path__, str(tmp_path)])
    monkeypatch.setattr(app, "DIALECTS", (*app.DIALECTS, "sixth"))
    make_pepper(tmp_path)
    settings = Settings(tuneyard_home=tmp_path, admin_api_keys=SecretStr("a-key-of-the-sixth"))
    api = app.create_app(settings)
    make_ready(api.state.door.database)
    with TestClient(api) as client:
        assert client.get("/sixth/me").json()["oops"] == "Missing authorization header"
        named = client.get("/sixth/me", headers={"X-API-Key": "a-key-of-the-sixth"})
    assert named.json() == {"whoami": "declared admin"}
    sys.modules.pop("api.dialects.sixth")


def test_heavy_libraries_are_not_imported_at_the_top_of_what_a_flow_imports() -> None:
    heavy = ("torch", "transformers", "pynvml", "matplotlib", "accelerate", "safetensors")
    seen: set[str] = set()

    def reach(module: str) -> None:
        path = ROOT / (module.replace(".", "/") + ".py")
        if module in seen or not path.exists():
            return
        seen.add(module)
        for node in ast.parse(path.read_text()).body:
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                assert name.split(".")[0] not in heavy, f"{path} imports {name} at its top"
                reach(name)

    for flow in (ROOT / "flows").glob("*.py"):
        reach(f"flows.{flow.stem}")
    assert "tasks.launch" in seen


def test_a_file_is_named_for_its_concept_and_hides_no_other_module() -> None:
    taken = set(sys.stdlib_module_names) | set(packages_distributions())
    for path in FILES:
        stem = path.stem
        if stem.startswith("__") or "migrations" in path.parts:
            continue
        assert stem not in EMPTY_NAMES, f"{path} says nothing by its name"
        assert stem not in taken, f"{path} hides the module {stem}"


def test_flow_files_keep_no_state() -> None:
    """A flow file may be loaded twice in a process: what it defines at its top is constant."""
    for path in (ROOT / "flows").glob("*.py"):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                assert not isinstance(node.value, ast.Dict | ast.List | ast.Set), f"{path}: {ast.dump(node)}"
                for target in targets:
                    assert isinstance(target, ast.Name), path
                    assert target.id.isupper() or target.id[0].isupper(), f"{path}: {target.id}"


def test_the_readme_draws_the_tree_as_it_is() -> None:
    """Every entry that the README's tree names is there, and every room's file is in it."""
    tree = re.search(r"<!-- tree -->\n```\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    assert tree, "README.md holds no tree"
    drawn: dict[str, set[str]] = {}
    for line in tree[1].splitlines():
        name = line.split()[0]
        if line[0] != " ":
            drawn[name] = there = set()
        else:
            there.add(name)
    for room in ROOMS:
        files = {p.stem for p in (ROOT / room).glob("*.py") if not p.stem.startswith("__")}
        rooms = {f"{p.parent.name}/" for p in (ROOT / room).glob("*/__init__.py")}
        assert drawn[f"{room}/"] == files | rooms
