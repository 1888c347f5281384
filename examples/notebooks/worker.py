"""A worker's task that reads with a key from the environment: ASTRID_API_KEY, or TUNEYARD_API_KEY.

Under Dramatiq, put `@dramatiq.actor` above the function. Run by itself it says what it has found.
"""

import os

import httpx


def collect_training_data() -> list[str]:
    """The names of the data sets that there are."""
    url = os.environ.get("TUNEYARD_API_URL", "http://127.0.0.1:8400")
    key = os.environ.get("ASTRID_API_KEY") or os.environ["TUNEYARD_API_KEY"]
    answer = httpx.get(f"{url}/training/datasets", headers={"X-API-Key": key}, timeout=30)
    return [one["name"] for one in answer.raise_for_status().json()["data"]]


if __name__ == "__main__":
    print("data sets:", *collect_training_data())
