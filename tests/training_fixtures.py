"""What the trainer's tests share: rows, a plan, and a stand-in for the API's two answers that a trainer reads."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


def write_rows(path: Path, count: int = 24) -> Path:
    """Short rows of different lengths."""
    rows = [
        {
            "prompt": f"Write as an ISO date: March {day}, 2031" + " please" * (day % 3),
            "completion": f"2031-03-{day:02}",
        }
        for day in range(1, count + 1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def train_plan(folder: Path, model: Path, **config: Any) -> dict[str, Any]:
    """A plan for `tasks.train`: 12 steps of 2 rows in fp32, a report every 5."""
    settings = {"batch_size": 2, "learning_rate": 5e-3, "precision": "fp32", "report_every": 5, **config}
    rows = folder.parent / "rows.jsonl"
    if not rows.exists():
        write_rows(rows)
    return {
        "config": {"model": "tiny", "dataset": str(rows), **settings},
        "model_dir": str(model),
        "output_dir": str(folder / "model"),
        "api_url": None,
        "job_id": "job-1",
    }


def points_in(folder: Path) -> list[dict[str, Any]]:
    """The reported points."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@contextmanager
def stand_in_api(job_status: str) -> Iterator[tuple[str, list[tuple[str, str, dict[str, Any]]]]]:
    """(its URL, the requests it got): takes points and facts, and says that the job is `job_status`."""
    got: list[tuple[str, str, dict[str, Any]]] = []

    class Handler(BaseHTTPRequestHandler):
        def reply(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")
            got.append((self.command, self.path, body))
            job = {"id": "job-1", "kind": "finetune", "name": "x", "status": job_status, "model": "tiny"}
            taken = {"success": True, "count": len(body.get("metrics", [])), "job_status": job_status}
            answer = taken if self.path.endswith("metrics") else {**job, "created_at": "2026-11-21T00:00:00Z"}
            content = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_PUT = do_PATCH = do_POST = reply  # noqa: N815

        def log_message(self, *_: Any) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}", got
        finally:
            server.shutdown()
            thread.join()
