"""What the API reads from its environment, and what it keeps on disk."""

import os
from pathlib import Path
from typing import Literal

from pydantic import ByteSize, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from tuneyard.errors import BadInput


class Settings(BaseSettings):
    """Read from the environment, else from `.env` in the working directory, else from TUNEYARD_SECRETS_DIR: a folder
    of files, each with one setting's name and value, as containers are given their secrets. An empty variable counts
    as absent. No repr shows a password, a key or the pepper."""

    model_config = SettingsConfigDict(env_ignore_empty=True, env_file=".env", extra="ignore")

    tuneyard_home: Path = Field(Path("~/.tuneyard"), description="Everything kept on disk lies under it.")
    database_url: SecretStr | None = Field(None, description="Default: a SQLite file in the home.")
    tuneyard_pepper: SecretStr | None = Field(None, min_length=16, description="Default: a file in the home.")
    tuneyard_database_patience: float = Field(
        5.0, gt=0, description="Seconds that a request waits for a locked or silent database before its 503."
    )
    tuneyard_session_days: float = Field(7.0, gt=0, le=365, description="How long a log-in lasts.")
    tuneyard_artifacts: str | None = Field(
        None, description="Where flows keep artifacts: a folder or a URL for fsspec; default: in the home."
    )
    tuneyard_upload_limit: ByteSize = Field(
        ByteSize(2 * 2**30), gt=0, description="The largest data set that is taken: bytes, or such as 5GiB."
    )
    tuneyard_gpu_idle_minutes: float = Field(
        15.0, ge=0, description="A card that was not used for so long is reported as idle."
    )
    tuneyard_gpu_zombie_minutes: float = Field(
        2.0, ge=0, description="Memory that no live job accounts for is reported after so long."
    )
    tuneyard_gpu_raw_days: float = Field(
        7.0, gt=0, le=36_500, description="Older readings of cards are summed up, five minutes to a row."
    )
    tuneyard_gpu_keep_days: float = Field(400.0, gt=0, le=36_500, description="Older ones are deleted.")
    tuneyard_gpu_hour_price: float | None = Field(None, ge=0, description="The tariff: for a GPU-hour,")
    tuneyard_kwh_price: float | None = Field(None, ge=0, description="for a kilowatt-hour,")
    tuneyard_currency: str = Field("EUR", min_length=1, max_length=10, description="in this currency.")
    tuneyard_log_format: Literal["text", "json"] = Field("text", description="How log lines are written.")
    client_api_keys: SecretStr | None = Field(None, description="Keys declared here; see access/declared.py.")
    miner_api_keys: SecretStr | None = None
    admin_api_keys: SecretStr | None = None
    tuneyard_api_keys: SecretStr | None = None
    chapkit_api_keys: SecretStr | None = None
    client_api_keys_file: Path | None = None
    miner_api_keys_file: Path | None = None
    admin_api_keys_file: Path | None = None
    tuneyard_api_keys_file: Path | None = None
    chapkit_api_keys_file: Path | None = None
    api_rate_limit_per_key: int = Field(100, ge=1, description="Requests a window for each key and session.")
    api_rate_limit_window_ms: int = Field(
        60_000, ge=1000, le=86_400_000, description="The window's length, rounded up to whole seconds."
    )
    api_rate_limit_failures: int = Field(
        600, ge=1, description="Refused keys a window for each address; above it, 429 in place of 401."
    )
    api_rate_limit_storage: SecretStr | None = Field(
        None, description="redis://… to share the counts between processes; default: each counts by itself."
    )

    prefect_api_url: str | None = Field(
        None, description="Where jobs are run; none: this API starts no runs."
    )
    prefect_api_auth_string: SecretStr | None = None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        folder = os.environ.get("TUNEYARD_SECRETS_DIR") or None
        files = SecretsSettingsSource(settings_cls, secrets_dir=folder)
        return init_settings, env_settings, dotenv_settings, files

    @property
    def home(self) -> Path:
        """The home as an absolute path; not made here."""
        return self.tuneyard_home.expanduser().absolute()

    @property
    def artifacts(self) -> str:
        """The one place that artifacts are downloaded from."""
        return self.tuneyard_artifacts or str(self.home / "artifacts")

    @property
    def datasets(self) -> Path:
        """Where uploaded data sets lie; made with the first."""
        return self.home / "datasets"

    @property
    def database(self) -> URL:
        """Where the database is, with the driver that we use.

        Raises:
            BadInput: DATABASE_URL is no URL, or names a database that is neither SQLite nor PostgreSQL.
        """
        if self.database_url is None:
            return URL.create("sqlite", database=str(self.home / "tuneyard.db"))
        try:
            url = make_url(self.database_url.get_secret_value())
        except (ArgumentError, ValueError):
            raise BadInput(
                "not a database URL: write postgresql://… or sqlite:///…", field="DATABASE_URL"
            ) from None
        if url.drivername in ("postgres", "postgresql"):
            return url.set(drivername="postgresql+psycopg")
        if url.drivername not in ("sqlite", "postgresql+psycopg"):
            raise BadInput(f"{url.drivername} is not served: use postgresql or sqlite", field="DATABASE_URL")
        return url


def make_home(home: Path) -> None:
    """Make the home, readable by its owner alone, if it is not there.

    Raises:
        BadInput: It cannot be made or written.
    """
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        probe = home / ".writable"
        probe.touch()
        probe.unlink(missing_ok=True)
    except OSError as problem:
        raise BadInput(
            f"cannot write in {home} ({problem.strerror}): make it writable, or name another folder",
            field="TUNEYARD_HOME",
        ) from None
