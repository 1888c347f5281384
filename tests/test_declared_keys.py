"""Keys that the host declares, in the environment, in `.env` or in a file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from api.access.declared import DeclaredKeys
from api.access.pepper import Pepper
from api.settings import Settings
from tests.api_fixtures import served
from tuneyard.errors import BadInput

JOBS = "/api/v1/jobs"
CLIENT, MINER, ADMIN = "client_dev_key_1_valid", "miner_dev_key_1_valid", "admin_dev_key_1_valid"


@contextmanager
def serving(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, **declared: str) -> Iterator[httpx.Client]:
    for name, value in declared.items():
        monkeypatch.setenv(name, value)
    with (
        served(Settings(tuneyard_home=tmp_path, database_url=None, tuneyard_pepper=None)) as running,
        httpx.Client(base_url=running.url) as http,
    ):
        yield http


def status(http: httpx.Client, key: str, path: str = JOBS, header: str = "X-Api-Key") -> int:
    return http.get(path, headers={header: key}).status_code


def test_a_declared_key_opens_what_its_role_may(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    declared = {
        "CLIENT_API_KEYS": json.dumps([CLIENT, "client_dev_key_2_valid"]),
        "MINER_API_KEYS": f" {MINER} , ,",
        "ADMIN_API_KEYS": json.dumps([ADMIN]),
        "CHAPKIT_API_KEYS": "sk_ml_train_0123456789,sk_ml_predict_0123456789",
    }
    with serving(tmp_path, monkeypatch, **declared) as http:
        assert [status(http, key) for key in (CLIENT, MINER, ADMIN, "sk_ml_predict_0123456789")] == [200] * 4
        assert status(http, CLIENT, header="X-Workspace-API-Key") == 200
        assert status(http, CLIENT + "x") == status(http, CLIENT[:-1]) == 401
        claims = [
            http.post(f"{JOBS}/x/claim", headers={"X-Api-Key": key}, json={"host": "h", "pid": 1}).status_code
            for key in (CLIENT, MINER)
        ]
        assert claims == [403, 404]
        assert [status(http, key, "/api-keys") for key in (CLIENT, MINER, ADMIN)] == [403, 403, 200]
        made = http.post(
            "/api-keys", headers={"X-Api-Key": ADMIN}, json={"name": "n", "scopes": ["training"]}
        )
        assert made.status_code == 201
        assert status(http, made.json()["key"]) == 200
        assert status(http, CLIENT, "/v1/nothing-here") == 404
        assert status(http, "another_key_that_is_long", "/v1/nothing-here") == 401


def test_a_file_of_keys_is_read_again_when_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = "old_key_0123456789abc", "new_key_0123456789abc"
    file = tmp_path / "keys"
    file.write_text(f"# of the notebook\n{old}  # until March\n\n")
    with serving(tmp_path, monkeypatch, CHAPKIT_API_KEYS_FILE=str(file)) as http:
        assert (status(http, old), status(http, new)) == (200, 401)
        file.write_text(f"{old}\n{new}\n")
        assert (status(http, old), status(http, new)) == (200, 200)
        file.write_text(f"{new}\n")
        assert (status(http, old), status(http, new)) == (401, 200)
        file.unlink()
        assert status(http, new) == 401
        file.write_text(f"{new}\n")
        assert status(http, new) == 200


def test_keys_are_read_from_a_dotenv_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "home").mkdir()
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f'APP_ENV=dev\nCLIENT_API_KEYS=["{CLIENT}"]\n')
    with serving(tmp_path / "home", monkeypatch) as http:
        assert (status(http, CLIENT), status(http, MINER)) == (200, 401)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("CLIENT_API_KEYS", '["fifteen_letters"]', "key 1 is shorter than 16"),
        ("MINER_API_KEYS", f"{MINER},short", "key 2 is shorter than 16"),
        ("ADMIN_API_KEYS", '["a', "not a JSON list"),
        ("ADMIN_API_KEYS", "[1]", "a JSON list of texts"),
        ("TUNEYARD_API_KEYS_FILE", "/nowhere/keys", "cannot read /nowhere/keys"),
    ],
)
def test_keys_that_cannot_be_used_stop_the_start_by_name(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(BadInput) as refused:
        DeclaredKeys(Settings(), Pepper(b"p" * 16))
    assert variable in str(refused.value)
    assert words in str(refused.value)
    assert "fifteen" not in str(refused.value)


def test_declared_keys_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLIENT_API_KEYS", CLIENT)
    settings = Settings()
    found = DeclaredKeys(settings, Pepper(b"p" * 16)).find(CLIENT)
    assert found
    assert len(found.id) == 12
    for text in (repr(settings), repr(found), settings.model_dump_json()):
        assert CLIENT not in text
