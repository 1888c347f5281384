"""A Prefect flow whose key is in a credentials block, where it is encrypted and never shown.

    python -m deployments store-key --block notebooks --api-url http://127.0.0.1:8400 < my.key
    python -m examples.notebooks.prefect_flow notebooks

Its parameter is the block's name: a key would stand in Prefect's page of the run.
"""

import sys

from prefect import flow

from blocks.credentials import TuneyardCredentials


@flow
def count_jobs(credentials: str = "tuneyard") -> int:
    """How many jobs the key sees."""
    block = TuneyardCredentials.load(credentials)
    with block.client() as client:
        return client.jobs.list().total


if __name__ == "__main__":
    print("jobs:", count_jobs(*sys.argv[1:]))
