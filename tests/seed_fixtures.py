"""What the tests of the seeds share: a real API with a Prefect beside it, and the lines that readers type."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import SecretStr

from api.settings import Settings
from tests.api_fixtures import UNLIMITED, Office, Served, served
from tests.people_fixtures import person as known_person
from tests.prefect_fixtures import StandIn
from tests.prefect_fixtures import prefect as prefect
from tests.prefect_fixtures import prefect_server as prefect_server

CLIENT, MINER, ADMIN = "test_client_key_16_chars", "miner_dev_key_1_valid", "admin_dev_key_1_valid"


@pytest.fixture(scope="module")
def seeded(prefect_server: StandIn, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """An API with the keys of seed 004 declared, and Prefect within reach."""
    options: dict[str, Any] = UNLIMITED | {
        "prefect_api_url": prefect_server.url,
        "client_api_keys": SecretStr(json.dumps([CLIENT, "client_dev_key_1_valid"])),
        "miner_api_keys": SecretStr(json.dumps([MINER])),
        "admin_api_keys": SecretStr(json.dumps([ADMIN])),
    }
    home = tmp_path_factory.mktemp("seeds")
    with served(Settings(tuneyard_home=home, database_url=None, tuneyard_pepper=None, **options)) as running:
        yield running


@pytest.fixture(scope="module")
def host(seeded: Served) -> Iterator[Office]:
    """A workspace of it."""
    office = Office(seeded)
    yield office
    office.http.close()


def curl(host: Office, line: str, **words: str) -> tuple[int, dict[str, str], Any]:
    """Type a line as the document has it; the status, the headers and the body of the answer.

    Args:
        words: What stands in the line -> what it is here. Hosts are replaced as well; `jq` is left out.
    """
    line = re.sub(
        r"HOST|http://(?:localhost|127\.0\.0\.1):\d+(?=/)", host.served.url, line.replace("\\\n", " ")
    )
    for name, value in words.items():
        line = line.replace(name, value)
    typed = shlex.split(line.partition("| jq")[0].strip().removeprefix("curl "))
    done = subprocess.run(
        ["curl", "-s", "-i", *typed], capture_output=True, text=True, timeout=30, check=True
    )
    head, _, body = done.stdout.replace("\r\n", "\n").partition("\n\n")
    first, *rest = head.splitlines()
    headers = {name.lower(): value for name, _, value in (header.partition(": ") for header in rest)}
    return int(first.split()[1]), headers, json.loads(body) if body else None


def session(host: Office, role: str = "admin") -> str:
    """A person's session token: what stands where the seeds have a JWT."""
    return known_person(host, role).token
