"""What Prefect holds for us: the address of the API and a key to it, and those of endpoints that are tested or judge.

`prefect block register -m blocks.credentials` makes the types known to a Prefect server.
Prefect encrypts `SecretStr` fields at rest and masks them in its UI and API; a plain `Secret` block would
hand a key made of digits back as a number, so the key has a type of its own.
"""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr, field_validator

from tuneyard import Client
from tuneyard.addresses import base_of, secret_header
from tuneyard.errors import BadInput

SHORTEST_KEY = 8


class TuneyardCredentials(Block):
    """How a flow reaches the tuneyard API."""

    _block_type_name = "Tuneyard credentials"
    _block_type_slug = "tuneyard-credentials"
    _description = "The address of a tuneyard API and a service key for it (scope `worker`)."

    api_url: str = Field(description="Where the API answers, such as http://127.0.0.1:8400.")
    api_key: SecretStr = Field(description="A key with the scope `worker`.")

    def client(self, patience: float = 30.0) -> Client:
        """A client that retries for `patience` seconds while the API does not answer; close it after use."""
        return Client(self.api_url, self.api_key.get_secret_value(), patience=patience)


class EndpointCredentials(Block):
    """How a flow reaches an OpenAI-compatible endpoint."""

    _block_type_name = "Endpoint credentials"
    _block_type_slug = "endpoint-credentials"
    _description = "The address of an OpenAI-compatible endpoint, a key to it and the model to ask for."

    base_url: str = Field(
        description="What stands before /chat/completions, such as http://127.0.0.1:8000/v1."
    )
    api_key: SecretStr = Field(SecretStr(""), description="Left empty where the endpoint wants none.")
    model: str = Field("", description="Asked for where a config names none.")

    @field_validator("base_url")
    @classmethod
    def _address_alone(cls, given: str) -> str:
        return base_of(given)

    @field_validator("api_key")
    @classmethod
    def _recognisable(cls, given: SecretStr) -> SecretStr:
        """Where a server's answer repeats the key it is taken out: a short one could not be told from a word."""
        key = given.get_secret_value().strip()
        if key:
            secret_header("api_key", "", key)
        if key and len(key) < SHORTEST_KEY:
            raise BadInput(
                f"a key has at least {SHORTEST_KEY} characters; leave it empty for an endpoint that wants none",
                field="api_key",
            )
        return SecretStr(key)
