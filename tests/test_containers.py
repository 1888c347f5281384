"""Images and compose file, as far as a machine without a container engine can look: linted, held against the Compose
specification and against the code, and their commands run as processes on a real PostgreSQL."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import prefect.settings
import psycopg
import pytest

from api.settings import Settings
from deployments.local_stack import REPOSITORY
from deployments.make_secrets import make_secrets
from tests.api_fixtures import POSTGRES
from tests.container_files import FOLDER, Composed, compose, ignored, images, secrets_of

BIN = Path(sys.executable).parent
OURS = ("migrate", "api", "prefect", "deploy", "store-key", "worker")
STARTING = 200.0
UNLISTED = "PREFECT_SERVER_ENCRYPTION_KEY"  # read by Prefect where it encrypts


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = compose()["services"]
    return found


@pytest.mark.parametrize(
    "words",
    [
        ["hadolint", "Dockerfile"],
        ["check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml"],
    ],
)
def test_linters_find_nothing(words: list[str]) -> None:
    done = subprocess.run([BIN / words[0], *words[1:]], cwd=FOLDER, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_all_that_the_compose_file_names_is_there() -> None:
    document, built = compose(), images()
    for name, service in services().items():
        assert set(secrets_of(service).values()) <= set(document["secrets"]), name
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            assert source in document["volumes"] or (FOLDER / source).is_file(), volume
        for other, wanted in service.get("depends_on", {}).items():
            needed = services()[other]
            if wanted["condition"] == "service_healthy":
                assert "healthcheck" in needed or built[needed["build"]["target"]].all("HEALTHCHECK")
        if build := service.get("build"):
            assert (FOLDER / build["context"] / build["dockerfile"]).is_file()
            assert build["target"] in built


def test_an_image_holds_what_it_runs() -> None:
    built = images()
    for name in OURS:
        service = services()[name]
        image = built[service["build"]["target"]]
        assert all((REPOSITORY / source).exists() for source in image.copied)
        assert not [one for one in image.copied if ignored().match_file(one)]
        for module in re.findall(r"python -m (\w+)", " ".join(service["command"])):
            assert module in image.copied
            assert importlib.util.find_spec(f"{module}.__main__")
        assert image.all("USER")[-1] == "10001"
        assert image.words("ENTRYPOINT")[0] == "tini"
    assert set(built["worker"].copied) >= {
        "flows",
        "tasks",
        "blocks",
        "deployments",
        "tuneyard",
        "prefect.yaml",
    }
    assert ignored().match_file("deployments/secrets/tuneyard_pepper.txt")
    assert ignored().match_file(".tuneyard/pepper")


def test_every_variable_is_one_that_somebody_reads() -> None:
    api = {name.upper() for name in Settings.model_fields} | {"TUNEYARD_SECRETS_DIR"}
    elsewhere = {"TUNEYARD_HOME", "TUNEYARD_ARTIFACTS", "DO_NOT_TRACK", "HOME", "PATH"}
    elsewhere |= {"PYTHONDONTWRITEBYTECODE", "PYTHONUNBUFFERED"}
    built = images()
    for name in OURS:
        service = services()[name]
        target = service["build"]["target"]
        named = set(service.get("environment", {})) | set(built[target].environment)
        for variable in named - elsewhere - (api if target == "api" else set()):
            setting = variable.removesuffix("_FILE")
            assert setting == UNLISTED or hasattr(prefect.settings, setting), (name, variable)


def test_secrets_are_files_that_a_service_is_given_and_nothing_else_holds_one(tmp_path: Path) -> None:
    make_secrets(tmp_path / "secrets")
    texts = {path.stem: path.read_text().strip() for path in (tmp_path / "secrets").iterdir()}
    assert set(texts) == set(compose()["secrets"])
    for name, service in services().items():
        said = f"{service.get('environment', {})} {service.get('command', '')}"
        given = set(secrets_of(service))
        assert set(re.findall(r"/run/secrets/(\w+)", said)) <= given, name
        if "TUNEYARD_SECRETS_DIR" in service.get("environment", {}):
            given -= set(Settings.model_fields)
        unused = {one for one in given if one not in said}
        assert unused <= {"tuneyard_db_password", "prefect_db_password"}, (name, unused)  # the init script's
        for variable in service.get("environment", {}):
            assert not re.search(r"(PASSWORD|API_KEYS?|PEPPER|AUTH_STRING|DATABASE\w*_URL)$", variable), (
                variable
            )


def test_only_this_machine_reaches_the_api_and_prefect_and_only_the_worker_has_the_gpus() -> None:
    ports = {name: service["ports"] for name, service in services().items() if "ports" in service}
    assert ports == {"api": ["127.0.0.1:8400:8400"], "prefect": ["127.0.0.1:4200:4200"]}
    assert [name for name, service in services().items() if "deploy" in service] == ["worker"]
    assert "GPUS" not in str(services())


def test_secrets_are_made_once_in_a_folder_of_its_owner_s(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    made = make_secrets(folder)
    kept = {path.name: path.read_text() for path in folder.iterdir()}
    assert len(made) == len(set(kept.values())) == len(kept)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made} == {0o444}
    assert make_secrets(folder) == []
    assert {path.name: path.read_text() for path in folder.iterdir()} == kept


def test_the_api_reads_a_setting_from_a_file_of_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TUNEYARD_PEPPER", raising=False)
    (tmp_path / "tuneyard_pepper").write_text("a pepper from a file\n")
    monkeypatch.setenv("TUNEYARD_SECRETS_DIR", str(tmp_path))
    found = Settings().tuneyard_pepper
    assert found is not None
    assert found.get_secret_value() == "a pepper from a file"
    monkeypatch.setenv("TUNEYARD_PEPPER", "the environment's own")
    found = Settings().tuneyard_pepper
    assert found is not None
    assert found.get_secret_value() == "the environment's own"


@pytest.fixture
def composed(postgres_url: str, tmp_path: Path) -> Iterator[Composed]:
    """With both databases, made by the script that PostgreSQL's image would run."""
    port = int(postgres_url.rpartition(":")[2].partition("/")[0])
    found = Composed(tmp_path, port)
    lying = tmp_path / "db-secrets"
    lying.mkdir()
    for target, source in secrets_of(found.services["db"]).items():
        (lying / target).write_text(found.secret(source))
    environment = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(port),
        "POSTGRES_USER": "tester",
        "PATH": f"{POSTGRES}:/usr/bin:/bin",
    }
    script = ["sh", str(FOLDER / "init_databases.sh")]
    done = subprocess.run(
        script, env=environment | {"SECRETS_DIR": str(lying)}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    try:
        yield found
    finally:
        found.stop()


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_the_compose_file_s_commands_make_a_stack_on_postgresql(
    composed: Composed, postgres_url: str
) -> None:
    assert "The database is at" in composed.once("migrate")
    api, server = composed.start("api"), composed.start("prefect")
    api.wait_until(lambda: composed.is_healthy("api"), STARTING)
    server.wait_until(lambda: composed.is_healthy("prefect"), STARTING)
    composed.once("deploy")
    assert "Stored in the block 'tuneyard'" in composed.once("store-key")
    worker = composed.start("worker")
    worker.wait_until(lambda: worker.has_said("started!"), STARTING)
    _is_as_promised(composed)
    _each_database_is_its_user_s(postgres_url)
    with psycopg.connect(postgres_url.removesuffix("postgres") + "prefect") as database:
        [(blocks,)] = database.execute(
            "SELECT count(*) FROM block_document WHERE name = 'tuneyard'"
        ).fetchall()
    assert blocks == 1
    logs = "".join(path.read_text() for path in (composed.folder / "logs").iterdir())
    assert not [
        path.stem for path in (composed.folder / "secrets").iterdir() if path.read_text().strip() in logs
    ]
    composed.stop()
    assert api.process.returncode == 0


def _is_as_promised(composed: Composed) -> None:
    api, prefect = (f"http://127.0.0.1:{composed.ports[name]}" for name in ("api", "prefect"))
    assert httpx.get(f"{api}/health").json()["status"] == "healthy"
    for name, status in (("ml_api_keys", 200), ("admin_api_keys", 200), ("tuneyard_pepper", 401)):
        answer = httpx.get(f"{api}/api/v1/jobs", headers={"X-API-Key": composed.secret(name)})
        assert answer.status_code == status, name
    assert httpx.post(f"{prefect}/api/work_pools/filter", json={}).status_code == 401
    auth = tuple(composed.secret("prefect_auth").split(":"))
    [pool] = httpx.post(f"{prefect}/api/work_pools/filter", json={}, auth=auth).json()  # type: ignore[arg-type]
    assert pool["name"] == "gpu"


def _each_database_is_its_user_s(postgres_url: str) -> None:
    names = ("tuneyard", "prefect")
    with psycopg.connect(postgres_url) as database:
        for role, other in (names, reversed(names)):
            may = "SELECT has_database_privilege(rolname, rolname, 'CONNECT'), rolpassword LIKE 'SCRAM%%', "
            may += "has_database_privilege(rolname, %s::text, 'CONNECT') FROM pg_authid WHERE rolname = %s"
            [found] = database.execute(may, [other, role]).fetchall()
            assert found == (True, True, False)
