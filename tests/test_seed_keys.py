"""The key flow of seed 004, as the curl lines that its readers type."""

from __future__ import annotations

from tests.api_fixtures import Office
from tests.seed_fixtures import ADMIN, CLIENT, MINER, curl
from tests.seed_fixtures import host as host
from tests.seed_fixtures import prefect_server as prefect_server
from tests.seed_fixtures import seeded as seeded


def test_seed_004_role_keys_tell_a_wrong_key_from_a_missing_path(host: Office) -> None:
    line = """-X POST HOST/v1/nothing -H "X-Api-Key: KEY" -d '{"prompt": "test"}'"""
    refused = curl(host, line, KEY="another_key_of_16_chars")
    assert refused[0] == 401
    assert curl(host, line, KEY=CLIENT)[0] == 404
    claim = """HOST/api/v1/jobs/x/claim -H "X-Api-Key: KEY" -H "Content-Type: application/json"
               -d '{"host": "h", "pid": 1}'"""
    assert [curl(host, claim, KEY=key)[0] for key in (CLIENT, MINER, ADMIN)] == [403, 404, 404]
    users = 'HOST/api/v1/users -H "X-Api-Key: KEY"'
    assert [curl(host, users, KEY=key)[0] for key in (CLIENT, MINER, ADMIN)] == [403, 403, 200]
