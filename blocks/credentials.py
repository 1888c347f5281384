"""What Prefect holds for us: the address of the API and a key to it.

`prefect block register -m blocks.credentials` makes the type known to a Prefect server.
Prefect encrypts `SecretStr` fields at rest and masks them in its UI and API; a plain `Secret` block would
hand a key made of digits back as a number, so the key has a type of its own.
"""

from __future__ import annotations

from prefect.blocks.core import Block
from pydantic import Field, SecretStr

from tuneyard import Client


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
