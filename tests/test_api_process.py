"""`python -m api` as a process: starts on a fresh host, says what is wrong in one line, keeps what it was given."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from pydantic import SecretStr, ValidationError
from sqlalchemy import text
from sqlmodel import SQLModel

from api.access.pepper import load_pepper, make_pepper
from api.database import Database
from api.schema_head import make_ready, migrate
from api.serving import listen
from api.settings import Settings
from tuneyard import keys
from tuneyard.errors import BadInput

ROOT = Path(__file__).parent.parent


def environment(home: Path, **more: str) -> dict[str, str]:
    clean = {
        name: value for name, value in os.environ.items() if name not in ("DATABASE_URL", "TUNEYARD_PEPPER")
    }
    return clean | {"TUNEYARD_HOME": str(home)} | more


def api(home: Path, *words: str, **more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "api", *words]
    return subprocess.run(
        command, cwd=ROOT, env=environment(home, **more), capture_output=True, text=True, timeout=60
    )


@contextmanager
def serving(home: Path, *words: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A real server, ready: its process and its address."""
    command = [sys.executable, "-m", "api", "serve", "--port", "0", *words]
    process = subprocess.Popen(command, cwd=ROOT, env=environment(home), stderr=subprocess.PIPE, text=True)
    assert process.stderr
    try:
        found = next(found for line in process.stderr if (found := re.search(r"http://\S+:\d+", line)))
        yield process, found[0]
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_the_first_admin_is_made_once_under_a_name_and_its_key_works_after_a_kill(tmp_path: Path) -> None:
    home = tmp_path / "home"
    assert "python -m api pepper" in refusal(api(home, "first-admin", "alice"))
    assert api(home, "pepper").returncode == api(home, "pepper").returncode == 0
    made = api(home, "first-admin", "alice")
    key = made.stdout.strip()
    assert (made.returncode, made.stdout) == (0, key + "\n")
    assert keys.parse(key)
    assert home.stat().st_mode & 0o777 == 0o700
    assert (home / "pepper").stat().st_mode & 0o777 == 0o600
    assert "alice" in refusal(api(home, "first-admin", "alice"))
    assert keys.parse(api(home, "first-admin", "bob").stdout.strip())
    headers = {"X-API-Key": key}
    with serving(home) as (process, url):
        assert (
            httpx.post(f"{url}/api/v1/jobs", headers=headers, json={"id": "j", "model": "m"}).status_code
            == 201
        )
        process.send_signal(signal.SIGKILL)
        process.wait(10)
    with serving(home) as (process, url):
        assert httpx.get(f"{url}/api/v1/jobs/j", headers=headers).json()["model"] == "m"
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr
        log = process.stderr.read()
    assert "Traceback" not in log
    assert re.search(r"\[[0-9A-Z]{26}\] GET /api/v1/jobs/j 200", log)
    assert key not in log


def test_several_workers_serve_one_record_and_leave_together(tmp_path: Path) -> None:
    api(tmp_path, "pepper")
    key = api(tmp_path, "first-admin", "a").stdout.strip()
    with serving(tmp_path, "--workers", "2") as (process, url):
        for number in range(6):
            body = {"id": f"j{number}", "model": "m"}
            answer = httpx.post(f"{url}/api/v1/jobs", headers={"X-API-Key": key}, json=body, timeout=30)
            assert answer.status_code == 201
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0


def test_a_port_in_use_is_one_clear_line(tmp_path: Path) -> None:
    with listen("127.0.0.1", 0) as taken:
        port = str(taken.getsockname()[1])
        line = refusal(api(tmp_path, "serve", "--port", port))
    assert port in line
    assert "--port" in line


def test_a_home_that_cannot_be_written_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "TUNEYARD_HOME" in refusal(api(tmp_path / "file" / "home", "serve", "--port", "0"))


@pytest.mark.parametrize("words", [("serve", "--port", "0"), ("migrate",), ("first-admin", "a")])
def test_a_database_that_nobody_answers_on_is_one_clear_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    url = "postgres://me:hush-hush@127.0.0.1:9/none"
    line = refusal(api(tmp_path, *words, DATABASE_URL=url))
    assert "DATABASE_URL" in line
    assert "hush-hush" not in line


def test_a_database_url_of_another_kind_is_one_clear_line(tmp_path: Path) -> None:
    for url in ("mysql://me@here/x", "nonsense"):
        assert "DATABASE_URL" in refusal(api(tmp_path, "migrate", DATABASE_URL=url))


def fresh(url: str | None, home: Path) -> Database:
    settings = Settings(tuneyard_home=home, database_url=SecretStr(url) if url else None)
    return Database(settings.database, 5)


def test_a_database_that_is_behind_is_refused_until_it_is_migrated(tmp_path: Path) -> None:
    database = fresh(None, tmp_path)
    with database.connection_for_writing() as connection:
        connection.execute(text("CREATE TABLE something (x INTEGER)"))
    with pytest.raises(BadInput, match="python -m api migrate"):
        make_ready(database)
    assert "python -m api migrate" in refusal(api(tmp_path, "first-admin", "a"))
    assert api(tmp_path, "migrate").returncode == 0
    make_ready(database)
    with database.connection_for_writing() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(BadInput, match="newer"):
        make_ready(database)
    database.close()


@pytest.mark.parametrize("kind", ["sqlite", "postgres"])
def test_the_migrated_schema_is_the_tables(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> None:
    url = None
    if kind == "postgres":
        server = request.getfixturevalue("postgres_url")
        maker = fresh(server, tmp_path)
        with maker.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("CREATE DATABASE migrated"))
        maker.close()
        url = server.removesuffix("/postgres") + "/migrated"
    database = fresh(url, tmp_path)
    migrate(database)
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_server_default": True})
        assert compare_metadata(context, SQLModel.metadata) == []
    database.close()


def test_an_empty_database_is_filled_once_by_however_many_find_it(tmp_path: Path) -> None:
    databases = [fresh(None, tmp_path) for _ in range(6)]
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(make_ready, databases))
    for database in databases:
        database.close()


def test_two_that_make_the_pepper_at_once_agree_on_it(tmp_path: Path) -> None:
    settings = Settings(tuneyard_home=tmp_path, tuneyard_pepper=None)

    def digest(_: int) -> str:
        make_pepper(tmp_path)
        return load_pepper(settings).digest("x")

    with ThreadPoolExecutor(8) as pool:
        digests = set(pool.map(digest, range(32)))
    assert len(digests) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["pepper"]


def test_settings_are_read_from_the_environment_and_show_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgres://me:hush-hush@db/x")
    monkeypatch.setenv("TUNEYARD_PEPPER", "p" * 16)
    settings = Settings()
    assert settings.database.drivername == "postgresql+psycopg"
    assert "hush-hush" not in repr(settings)
    assert "p" * 16 not in repr(settings)
    monkeypatch.setenv("TUNEYARD_PEPPER", "short")
    with pytest.raises(ValidationError):
        Settings()
