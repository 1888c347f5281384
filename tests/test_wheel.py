"""What users install: the SDK and CLI alone, small enough for anybody's environment."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import venv
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

from deployments.local_stack import REPOSITORY
from tests.api_fixtures import Office
from tests.sdk_fixtures import config_home as config_home


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built as `pip install` would."""
    folder = tmp_path_factory.mktemp("wheel")
    command = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--wheel-dir",
        str(folder),
        str(REPOSITORY),
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [built] = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def binaries(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment that was empty until the wheel was installed into it."""
    folder = tmp_path_factory.mktemp("user") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    words = ["--python", str(folder / "bin" / "python"), "install", "-q", "--no-compile", str(wheel)]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def said(*words: object, **environment: str) -> str:
    """What a program says that knows nothing of this checkout."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PREFECT"))}
    done = subprocess.run(
        [*map(str, words)], env=kept | environment, cwd="/", capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_wheel_holds_the_sdk_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        assert "tuneyard/py.typed" in archive.namelist()
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tuneyard"}


def test_the_wheel_asks_for_nothing_heavy(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        [name] = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
        metadata = message_from_bytes(archive.read(name))
    assert "keyring" in metadata.get_all("Provides-Extra", [])
    always = [need for need in metadata.get_all("Requires-Dist", []) if "extra ==" not in need]
    assert sorted(need.split("<")[0].split(">")[0] for need in always) == ["click", "httpx", "pydantic"]


def test_installed_it_is_a_handful_of_packages_and_loads_none_before_it_needs_it(binaries: Path) -> None:
    """`import tuneyard` takes milliseconds as it loads nothing else; a client loads its libraries, nothing heavy."""
    listed = "from importlib.metadata import distributions as d; print(len([*d()]))"
    assert int(said(binaries / "python", "-c", listed)) < 15
    loaded = "import json, sys; print(json.dumps([name.partition('.')[0] for name in sys.modules]))"
    at_once = set(json.loads(said(binaries / "python", "-c", f"import tuneyard; {loaded}")))
    assert not at_once & {"httpx", "pydantic", "click", "anyio", "asyncio"}
    for what in ("from tuneyard import Client", "import tuneyard.cli"):
        later = set(json.loads(said(binaries / "python", "-c", f"{what}; {loaded}")))
        assert "httpx" in later
        assert not later & {
            "torch",
            "pandas",
            "numpy",
            "fastapi",
            "sqlmodel",
            "prefect",
            "matplotlib",
            "yaml",
        }


def test_installed_the_command_works_against_an_api(
    binaries: Path, office: Office, config_home: Path, tmp_path: Path
) -> None:
    job_id = office.new_job(name="dates")
    given = {"TUNEYARD_API_URL": office.served.url, "TUNEYARD_API_KEY": office.key("training")}
    given |= {"TUNEYARD_HOME": str(tmp_path), "TUNEYARD_CONFIG_HOME": str(config_home)}
    page = json.loads(said(binaries / "tuneyard", "jobs", "list", "--json", **given))
    assert [job["id"] for job in page["items"]] == [job_id]
    assert "nobody was asked to run it" in said(binaries / "tuneyard", "why", job_id, **given)
    found = json.loads(said(binaries / "tuneyard", "doctor", "--json", **given))
    assert {one["what"]: one["state"] for one in found["findings"]}.items() >= {
        "API": "ok",
        "key": "ok",
    }.items()
