"""Log in, or use a key, in a notebook: run this file, or copy it into a cell.

    authenticate_user("admin@example.com", "password")
    api_key = create_api_key("prefect-workflows", "For Prefect automated workflows")
    authenticate_with_api_key(api_key)

Then AUTH_HEADERS goes with every request: httpx.get(f"{API_BASE}/training/datasets", headers=AUTH_HEADERS).
"""

import os

import httpx

API_BASE = os.environ.get("TUNEYARD_API_URL", "http://127.0.0.1:8400")
AUTH_HEADERS: dict[str, str] = {}


def _use(headers: dict[str, str]) -> None:
    AUTH_HEADERS.clear()
    AUTH_HEADERS.update(headers)


def authenticate_user(email: str, password: str) -> bool:
    """Log in; the session's token goes into AUTH_HEADERS."""
    answer = httpx.post(f"{API_BASE}/auth/login", json={"email": email, "password": password}, timeout=30)
    if answer.is_error:
        print(f"Authentication failed: {answer.json()['detail']}")
        return False
    found = answer.json()["data"]
    _use({"Authorization": f"Bearer {found['access_token']}"})
    print(f"Authenticated as {found['user']['email']} ({found['user']['role']})")
    return True


def authenticate_with_api_key(api_key: str) -> bool:
    """Put a key into AUTH_HEADERS, if the server knows it."""
    _use({"X-API-Key": api_key})
    answer = httpx.get(f"{API_BASE}/auth/me", headers=AUTH_HEADERS, timeout=30)
    print(f"Using the key {answer.json()['name']}" if answer.is_success else answer.json()["detail"])
    return answer.is_success


def create_api_key(
    name: str,
    description: str | None = None,
    permission_set: str = "training_pipeline",
    days: int | None = None,
) -> str | None:
    """Make a key, as an admin who is logged in. It is in this answer and in no other: keep it."""
    wanted = {"name": name, "description": description, "permission_set": permission_set}
    wanted |= {"expires_in_days": days} if days else {}
    answer = httpx.post(f"{API_BASE}/api-keys/", json=wanted, headers=AUTH_HEADERS, timeout=30)
    if answer.is_error:
        print(f"No key was made: {answer.json()['detail']}")
        return None
    made = answer.json()["data"]
    print(f"Made the key {made['name']}; it ends {made['expires_at']}")
    key: str = made["key"]
    return key
