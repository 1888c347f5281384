"""No key and no job token lies anywhere it could be read: one look through everything the stack wrote."""

from __future__ import annotations

import json
import re
import sqlite3
from collections.abc import Iterator

from deployments.local_stack import Stack
from tests.deployed import artifacts, flow_run, logs

KEY = re.compile(rb"wak_[0-9A-Za-z]{12}_[0-9A-Za-z]{38}")
TOKEN_SHAPED = re.compile(rb"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")


def _everything(stack: Stack, run_id: str) -> Iterator[tuple[str, bytes]]:
    """Every file of the home, databases and write-ahead logs included, and what Prefect shows of the run."""
    for path in stack.home.rglob("*"):
        if path.is_file():
            yield str(path), path.read_bytes()
    yield "flow run", json.dumps(flow_run(stack, run_id)).encode()
    yield "artifacts", json.dumps(artifacts(stack, run_id)).encode()
    yield "logs", logs(stack, run_id).encode()


def _job_token_digests(stack: Stack) -> set[bytes]:
    with sqlite3.connect(stack.home / "tuneyard.db") as database:
        rows = database.execute("SELECT token_digest FROM job WHERE token_digest IS NOT NULL").fetchall()
    return {row[0] if isinstance(row[0], bytes) else bytes.fromhex(row[0]) for row in rows}
