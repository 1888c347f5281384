"""The images and the compose file, read as their engine would, and the same commands run without one."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from pathspec import PathSpec

from deployments.local_stack import REPOSITORY
from deployments.make_secrets import make_secrets
from deployments.processes import Server, environment_without, free_port

FOLDER = REPOSITORY / "deployments"
PORTS = {"api": "8400", "prefect": "4200", "db": "5432"}


@dataclass
class Image:
    """One stage of the Dockerfile, with all that it stands on."""

    steps: list[tuple[str, str]] = field(default_factory=list)

    def all(self, instruction: str) -> list[str]:
        return [rest for name, rest in self.steps if name == instruction]

    def words(self, instruction: str) -> list[str]:
        """The last one's, in exec form."""
        found: list[str] = yaml.safe_load(self.all(instruction)[-1])
        return found

    @property
    def environment(self) -> dict[str, str]:
        return dict(word.split("=", 1) for rest in self.all("ENV") for word in shlex.split(rest))

    @property
    def copied(self) -> list[str]:
        """What comes from the repository."""
        sources = [rest.split()[:-1] for rest in self.all("COPY") if "--from" not in rest]
        return [word for words in sources for word in words if not word.startswith("--")]

    @property
    def health(self) -> list[str]:
        found: list[str] = yaml.safe_load(self.all("HEALTHCHECK")[-1].split("CMD", 1)[1])
        return found


def images() -> dict[str, Image]:
    lines = [line for line in (FOLDER / "Dockerfile").read_text().splitlines() if not line.startswith("#")]
    found: dict[str, Image] = {}
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, rest = line.strip().partition(" ")
        if name == "FROM":
            base, _, stage = rest.split()
            found[stage] = image = Image(list(found[base].steps) if base in found else [])
        if found and name:
            image.steps.append((name, rest.strip()))
    return found


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / "compose.yaml").read_text())
    return found


def ignored() -> PathSpec[Any]:
    return PathSpec.from_lines("gitignore", (FOLDER / "Dockerfile.dockerignore").read_text().splitlines())


def secrets_of(service: dict[str, Any]) -> dict[str, str]:
    """Which secret lies in /run/secrets under which name: name -> secret."""
    given = [one if isinstance(one, dict) else {"source": one} for one in service.get("secrets", ())]
    return {one.get("target", one["source"]): one["source"] for one in given}


class Composed:
    """The compose file's services as processes of this machine: its hosts, ports and folders are put in place of the
    containers'; everything else is theirs."""

    def __init__(self, folder: Path, database_port: int) -> None:
        self.folder = folder
        self.services: dict[str, dict[str, Any]] = compose()["services"]
        self.images = images()
        self.ports = {"api": free_port(), "prefect": free_port(), "db": database_port}
        make_secrets(folder / "secrets")
        self.started: list[Server] = []

    def secret(self, name: str) -> str:
        return (self.folder / "secrets" / f"{name}.txt").read_text().strip()

    def put(self, text: str, name: str) -> str:
        """A text of a service's with our places in it."""
        for host, port in PORTS.items():
            text = re.sub(rf"(?<=[/@]){host}:{port}\b", f"127.0.0.1:{self.ports[host]}", text)
            text = re.sub(rf"(?<![\w.]){port}\b", str(self.ports[host]), text)
        text = text.replace("0.0.0.0", "127.0.0.1").replace("/var/lib/tuneyard", str(self.folder / name))
        return text.replace("/models", str(self.folder / "models")).replace(
            "/run/secrets", str(self.folder / f"{name}-secrets")
        )

    def command(self, name: str) -> tuple[list[str], dict[str, str]]:
        """What the service runs, and with which environment; its secret files are laid out."""
        service, folder = self.services[name], self.folder / f"{name}-secrets"
        folder.mkdir(exist_ok=True)
        for target, source in secrets_of(service).items():
            (folder / target).write_text(self.put(self.secret(source), name))
        image = self.images[service["build"]["target"]]
        wrapped = image.words("ENTRYPOINT")[-1] == "with-secrets"
        words = [*(["sh", str(FOLDER / "with_secrets.sh")] if wrapped else []), *service["command"]]
        given = image.environment | service.get("environment", {})
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        kept = {key: self.put(str(value), name) for key, value in given.items() if key != "PATH"}
        kept |= {"PATH": path, "PWD": str(REPOSITORY)}
        return [self.put(word, name) for word in words], environment_without("PREFECT_") | kept

    def once(self, name: str) -> str:
        words, environment = self.command(name)
        done = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, (name, done.stdout, done.stderr)
        return done.stdout + done.stderr

    def start(self, name: str) -> Server:
        words, environment = self.command(name)
        server = Server(name, words, environment, self.folder / "logs" / f"{name}.log", REPOSITORY)
        self.started.append(server)
        return server

    def is_healthy(self, name: str) -> bool:
        """What the image's health check says."""
        image = self.images[self.services[name]["build"]["target"]]
        words = [sys.executable, *(self.put(word, name) for word in image.health[1:])]
        return subprocess.run(words, capture_output=True).returncode == 0

    def stop(self) -> None:
        for server in reversed(self.started):
            server.stop(20)
