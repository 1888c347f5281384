"""`python3 -m deployments.make_secrets`: the secret files of compose.yaml, each made once. Needs Python alone."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

FOLDER = Path(__file__).with_name("secrets")


def make_secrets(folder: Path) -> list[Path]:
    """What is not there yet, made; what is there stays, for databases and keys hang on it.

    The folder is its owner's alone. The files in it are readable to all: Compose hands each to a container as it
    lies there, whose user is another.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    made: list[Path] = []
    for name in ("postgres_password", "tuneyard_db_password", "prefect_db_password", "tuneyard_pepper"):
        _keep(folder, name, secrets.token_hex(32), made)
    for name in ("admin_api_keys", "worker_api_key", "ml_api_keys"):
        _keep(folder, name, f"sk_{name.partition('_')[0]}_{secrets.token_hex(24)}", made)
    _keep(folder, "prefect_auth", f"tuneyard:{secrets.token_hex(24)}", made)
    _keep(folder, "prefect_encryption_key", base64.urlsafe_b64encode(secrets.token_bytes(32)).decode(), made)
    _keep(folder, "database_url", _url(folder, "postgresql", "tuneyard"), made)
    _keep(folder, "prefect_database_url", _url(folder, "postgresql+asyncpg", "prefect"), made)
    return made


def _url(folder: Path, driver: str, name: str) -> str:
    password = (folder / f"{name}_db_password.txt").read_text().strip()
    return f"{driver}://{name}:{password}@db:5432/{name}"


def _keep(folder: Path, name: str, secret: str, made: list[Path]) -> None:
    path = folder / f"{name}.txt"
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(handle, "w") as file:
        file.write(secret + "\n")
    path.chmod(0o444)
    made.append(path)


def main() -> None:
    """Make them beside compose.yaml, and say which; never what is in them."""
    made = make_secrets(FOLDER)
    print(f"{FOLDER}: made {', '.join(path.stem for path in made) if made else 'nothing, all are there'}")


if __name__ == "__main__":
    main()
