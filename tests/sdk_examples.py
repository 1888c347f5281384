"""What the SDK's examples need: a record with something of everything in it, made when an example asks for it."""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from textwrap import dedent
from typing import Any
from uuid import uuid4

from tests.api_fixtures import Office
from tests.kept_fixtures import Shelf
from tests.people_fixtures import PASSWORD, person
from tests.test_aliases import Lab
from tuneyard import Client, batch_configs, batch_shapes, configs, shapes

CONFIG = {"model": "org/base", "dataset": "rows.jsonl"}
NAMES: dict[str, Any] = {
    **vars(shapes),
    **vars(batch_shapes),
    **vars(configs),
    **vars(batch_configs),
    **{"Path": Path, "UTC": UTC, "datetime": datetime, "timedelta": timedelta},
    "Client": Client,
}


def example_in(method: Callable[..., Any]) -> str | None:
    """The code under `Example:` in a method's docstring."""
    found = re.search(r"^Example:\n((?:    .*\n?|\n)+)", inspect.getdoc(method) or "", re.M)
    return dedent(found[1]) if found else None


def run(code: str, where: str, names: dict[str, Any]) -> None:
    """Run it, line numbers as they are, and close whatever clients it has named."""
    try:
        exec(compile(code, where, "exec"), names)
    finally:
        for one in names.values():
            if isinstance(one, Client):
                one.close()


def names_in(code: str) -> set[str]:
    return {node.id for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Name)}


def methods_of(client: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every public method of a client and of its resources, by the name that it is called by."""
    yield from _methods("client", client)
    for name, resource in vars(client).items():
        if type(resource).__module__.startswith("tuneyard.") and not name.startswith("_"):
            yield from _methods(f"client.{name}", resource)


def _methods(prefix: str, owner: object) -> Iterator[tuple[str, Callable[..., Any]]]:
    for name, method in inspect.getmembers(owner, callable):
        if not name.startswith("_"):
            yield f"{prefix}.{name}", method


class Things:
    """What an example may name; each is made once, the first time that it is named.

    Args:
        state: Of the job that `job_id` names: pending, launched, running, failed or ended.
    """

    def __init__(self, office: Office, folder: Path, state: str) -> None:
        self._office, self._state = office, state
        self._lab, self._shelf = Lab(office), Shelf(office)
        self._worker = office.key("worker")
        rows = [{"prompt": f"{at} + 1?", "completion": str(at + 1)} for at in range(3)]
        (folder / "rows.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))

    @cached_property
    def client(self) -> Client:
        return Client(self._office.served.url, self._office.key("admin"), patience=0)

    @cached_property
    def _job(self) -> tuple[str, str]:
        """A job's id, and the token of its run."""
        if self._state == "launched":
            return self.client.jobs.train(configs.FinetuneConfig.model_validate(CONFIG)).id, ""
        if self._state == "pending":
            return self._office.new_job(), ""
        job_id, token = self._office.claimed_job(name="dates", config=CONFIG)
        points = [{"step": at, "train_loss": 1 / (at + 1)} for at in range(3)]
        self._office.call("PUT", f"/api/v1/jobs/{job_id}/metrics", token, json={"metrics": points})
        if self._state in ("failed", "ended"):
            self._office.end(job_id, token, "failed" if self._state == "failed" else "completed")
        return job_id, token

    @cached_property
    def job_id(self) -> str:
        return self._job[0]

    @cached_property
    def run(self) -> Client:
        """A client of the run that has the job, or the running test where an example is about one."""
        token = self._test[1] if "_test" in vars(self) else self._job[1]
        return Client(self._office.served.url, job_token=token, patience=0)

    @cached_property
    def run_key(self) -> str | None:
        return self.client.jobs.get(self.job_id).run_key

    @cached_property
    def flow_run_id(self) -> str | None:
        return self.client.jobs.get(self.job_id).flow_run_id

    @cached_property
    def suite_id(self) -> str:
        return self._lab.suite

    @cached_property
    def _test(self) -> tuple[str, str]:
        if self._state != "running":
            return self._lab.test("base", 12), ""
        new = {"suite": "s", "suite_id": self._lab.suite, "model": "m"}
        test: str = self._office.call("POST", "/api/v1/batch-tests", self._worker, json=new).json()["id"]
        return test, self._office.claim(test)

    @cached_property
    def test_id(self) -> str:
        return self._test[0]

    @cached_property
    def baseline(self) -> str:
        return self._lab.test("base", 0)

    @cached_property
    def candidate(self) -> str:
        return self._lab.test(f"artifact:{self.artifact_id}", 18)

    @cached_property
    def artifact_id(self) -> str:
        return self._shelf.keep({"config.json": b"{}"})

    @cached_property
    def adapter_id(self) -> str:
        return self._shelf.keep({"adapter.bin": b"a"}, kind="adapter", base_model="org/base")

    @cached_property
    def production(self) -> str:
        """An alias that stands for the artifact."""
        if self._lab.holder() is None:
            answer = self._lab.promote(self.artifact_id, self.baseline, self.candidate)
            assert answer.status_code == 200, answer.text
        return "production"

    @cached_property
    def dataset_id(self) -> str:
        return self.client.datasets.upload("rows.jsonl").id

    @cached_property
    def config_id(self) -> str:
        data = configs.FinetuneConfig.model_validate(CONFIG)
        return self.client.configs.create(shapes.NewFinetuneConfig(name="nightly", data=data)).id

    @cached_property
    def uuid(self) -> str:
        card = shapes.GpuSample(uuid=f"GPU-{uuid4()}", index=0)
        sample = shapes.HostSample(host="gpu-1", taken_at=datetime.now(UTC), gpus=[card])
        self.client.gpus.push([sample])
        return card.uuid

    @cached_property
    def key_id(self) -> str:
        return self.client.keys.create(shapes.NewApiKey(name="k", scopes=["training"])).id

    @cached_property
    def _person(self) -> Any:
        return person(self._office)

    @cached_property
    def user(self) -> str:
        return f"new-{uuid4().hex}" if self._state == "pending" else str(self._person.name)

    @cached_property
    def password(self) -> str:
        return PASSWORD

    @cached_property
    def mine(self) -> Client:
        """A person's own."""
        return Client(self._office.served.url, session_token=self._person.token, patience=0)

    def named_in(self, code: str) -> dict[str, Any]:
        """What the code names, made now."""
        if '"production"' in code or "alias:production" in code:
            _ = self.production
        there = [name for name in names_in(code) if isinstance(vars(Things).get(name), cached_property)]
        given = {name: getattr(self, name) for name in sorted(there, reverse=True)}
        return given | {"client": self.client}
