"""What this machine remembers: readable by its owner alone, whole whatever happens, and for one address each."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.sdk_fixtures import KEY
from tests.sdk_fixtures import config_home as config_home
from tests.unasync import ROOT
from tuneyard import Client, credentials, stored_keys
from tuneyard.errors import BadInput

HERE = "http://here.test"
SESSION = "wst_" + "t" * 43

pytestmark = pytest.mark.usefixtures("config_home")


@pytest.fixture
def keyring(config_home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The real package over a backend in memory; `.trouble` is what the backend raises, if anything."""
    monkeypatch.delitem(sys.modules, "keyring")
    package = pytest.importorskip("keyring")
    backend = pytest.importorskip("keyring.backend")

    class InMemory(backend.KeyringBackend):  # type: ignore[misc, name-defined]
        priority = 5
        held: dict[tuple[str, str], str]
        trouble: Exception | None

        def _demand_calm(self) -> None:
            if self.trouble:
                raise self.trouble

        def get_password(self, service: str, username: str) -> str | None:
            self._demand_calm()
            return self.held.get((service, username))

        def set_password(self, service: str, username: str, password: str) -> None:
            self._demand_calm()
            self.held[service, username] = password

        def delete_password(self, service: str, username: str) -> None:
            self._demand_calm()
            del self.held[service, username]

    before = package.get_keyring()
    memory = InMemory()
    memory.held, memory.trouble = {}, None
    package.set_keyring(memory)
    yield memory
    package.set_keyring(before)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_what_is_kept_is_found_again_and_readable_by_its_owner_alone(config_home: Path) -> None:
    place = stored_keys.keep("client@prod", HERE, KEY)
    assert place == str(config_home / "credentials.json")
    found = stored_keys.find("client@prod")
    assert found == stored_keys.StoredKey("client@prod", HERE, KEY)
    assert KEY not in repr(found)
    assert mode(config_home) == 0o700
    assert {mode(path) for path in config_home.iterdir()} == {0o600}


def test_a_file_that_others_may_read_is_closed_by_the_next_write(config_home: Path) -> None:
    stored_keys.keep("client@prod", HERE, KEY)
    (config_home / "credentials.json").chmod(0o644)
    stored_keys.keep("client@dev", HERE, KEY)
    assert mode(config_home / "credentials.json") == 0o600


def test_names_are_listed_and_forgotten_one_by_one() -> None:
    for label in ("client@prod", "client@dev", "ada@prod"):
        stored_keys.keep(label, HERE, KEY)
    assert stored_keys.labels() == ["ada@prod", "client@dev", "client@prod"]
    assert stored_keys.forget("client@prod")
    assert stored_keys.forget("client@prod")
    assert stored_keys.find("client@prod") is None
    assert stored_keys.labels() == ["ada@prod", "client@dev"]


@pytest.mark.parametrize("environment", ["Prod", "a b", "", "../x", "é", "a@b", "x" * 5 + "\n"])
def test_an_environment_is_small_letters_digits_and_dashes(environment: str) -> None:
    with pytest.raises(BadInput, match="no name for a credential"):
        stored_keys.label_of("client", environment)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b'{"client@default": {"secret": "%s"}}' % KEY.encode()]
)
def test_a_file_that_was_changed_by_hand_is_named_and_not_overwritten(
    config_home: Path, content: bytes
) -> None:
    config_home.mkdir()
    (config_home / "credentials.json").write_bytes(content)
    for use in (stored_keys.labels, lambda: stored_keys.keep("client@dev", HERE, KEY)):
        with pytest.raises(BadInput, match=r"credentials\.json") as caught:
            use()
        assert KEY not in str(caught.value)
        assert caught.value.__context__ is None
    assert (config_home / "credentials.json").read_bytes() == content


def test_a_write_that_fails_leaves_the_file_as_it_was(
    config_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored_keys.keep("client@prod", HERE, KEY)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(BadInput, match="No space left"):
        stored_keys.keep("client@dev", HERE, KEY)
    assert stored_keys.labels() == ["client@prod"]
    assert {path.name for path in config_home.iterdir()} == {"credentials.json", "credentials.lock"}


def test_processes_that_store_at_once_lose_nothing(config_home: Path) -> None:
    code = (
        "import sys; from tuneyard import stored_keys\n"
        "for at in range(20): stored_keys.keep(f'client@{sys.argv[1]}-{at}', 'http://here.test', 'k' * 20)"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(at)], cwd=ROOT) for at in range(4)]
    while any(writer.poll() is None for writer in writers):
        stored_keys.labels()  # a reader never sees half a file
    assert [writer.returncode for writer in writers] == [0] * 4
    assert len(stored_keys.labels()) == 80


def test_a_keyring_that_works_holds_the_secret_and_the_file_the_name(keyring: Any, config_home: Path) -> None:
    assert stored_keys.keep("client@default", HERE, KEY) == "the system's keyring"
    assert KEY not in (config_home / "credentials.json").read_text()
    assert keyring.held == {("tuneyard", "client@default"): KEY}
    assert stored_keys.labels() == ["client@default"]
    assert credentials.chosen().api_key == KEY
    assert stored_keys.forget("client@default")
    assert keyring.held == {}


@pytest.mark.parametrize("trouble", [RuntimeError("locked"), KeyError("no such collection")])
def test_a_keyring_that_fails_at_log_in_leaves_it_to_the_file(keyring: Any, trouble: Exception) -> None:
    keyring.trouble = trouble
    assert stored_keys.keep("client@default", HERE, KEY).endswith("credentials.json")
    assert credentials.chosen().api_key == KEY
    assert stored_keys.forget("client@default")


def test_a_keyring_that_fails_later_is_said_and_logging_in_again_helps(keyring: Any) -> None:
    stored_keys.keep("client@default", HERE, KEY)
    keyring.trouble = RuntimeError("locked")
    with pytest.raises(BadInput, match="keyring"):
        credentials.chosen()
    stored_keys.keep("client@default", HERE, KEY)
    assert credentials.chosen().api_key == KEY


def test_a_keyring_that_does_not_let_go_is_told_apart(keyring: Any) -> None:
    stored_keys.keep("client@default", HERE, KEY)
    keyring.trouble = RuntimeError("locked")
    assert not stored_keys.forget("client@default")
    assert stored_keys.labels() == []


def test_a_keyring_without_a_usable_backend_is_passed_by(keyring: Any, config_home: Path) -> None:
    type(keyring).priority = 0
    assert stored_keys.keep("client@default", HERE, KEY) == str(config_home / "credentials.json")


def test_the_variables_come_before_what_is_stored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored_keys.keep("client@default", HERE, "stored-key-of-default")
    assert credentials.chosen().api_key == "stored-key-of-default"
    (tmp_path / "key").write_text("key-from-the-file\n")
    monkeypatch.setenv("TUNEYARD_API_KEY_FILE", str(tmp_path / "key"))
    assert credentials.chosen().api_key == "key-from-the-file"
    monkeypatch.setenv("TUNEYARD_API_KEY", KEY)
    assert credentials.chosen().api_key == KEY


def test_the_environment_says_which_stored_credential(monkeypatch: pytest.MonkeyPatch) -> None:
    stored_keys.keep("client@prod", "http://prod.test", KEY)
    stored_keys.keep("ada@prod", "http://prod.test", SESSION)
    with pytest.raises(BadInput, match="tuneyard auth login"):
        Client.from_env()
    monkeypatch.setenv("TUNEYARD_ENVIRONMENT", "prod")
    with Client.from_env() as client:
        assert client.base_url == "http://prod.test"
    monkeypatch.setenv("TUNEYARD_CREDENTIAL", "ada")
    door = credentials.chosen()
    assert (door.api_key, door.session_token, door.source) == (None, SESSION, "ada@prod")
    assert SESSION not in repr(door)


def test_a_stored_secret_goes_only_to_where_it_was_logged_in(monkeypatch: pytest.MonkeyPatch) -> None:
    stored_keys.keep("client@default", HERE, KEY)
    assert credentials.chosen(f"{HERE}/").url == HERE
    monkeypatch.setenv("TUNEYARD_API_URL", "http://there.test")
    with pytest.raises(BadInput, match=r"http://here\.test.*not sent to http://there\.test") as caught:
        Client.from_env()
    assert KEY not in str(caught.value)


def test_the_file_is_plain_json_by_name(config_home: Path) -> None:
    stored_keys.keep("client@default", HERE, KEY)
    written = json.loads((config_home / "credentials.json").read_text())
    assert written == {"client@default": {"api_url": HERE, "secret": KEY}}
