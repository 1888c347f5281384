"""Make a key, read with it, revoke it, and see that it is refused: python examples/notebooks/test_api_keys.py

For an admin: asks for email and password.
"""

import sys
from getpass import getpass

import auth_template as auth
import httpx


def main() -> int:
    email = input("Email: ").strip()
    password = getpass("Password: ") if sys.stdin.isatty() else input("Password: ").strip()
    if not auth.authenticate_user(email, password):
        return 1
    admin = dict(auth.AUTH_HEADERS)
    key = auth.create_api_key("test-key", "Test API key")
    if key is None or not auth.authenticate_with_api_key(key):
        return 1
    data = f"{auth.API_BASE}/training/datasets"
    reads = httpx.get(data, headers=auth.AUTH_HEADERS, timeout=30)
    page = httpx.get(f"{auth.API_BASE}/api-keys/", headers=admin, timeout=30).raise_for_status()
    made = next(one for one in page.json()["data"] if key.startswith("wak_" + one["key_prefix"]))
    httpx.post(f"{auth.API_BASE}/api-keys/{made['id']}/revoke", headers=admin, timeout=30).raise_for_status()
    after = httpx.get(data, headers=auth.AUTH_HEADERS, timeout=30)
    print(f"with the key: {reads.status_code}; once it is revoked: {after.status_code}")
    return 0 if (reads.status_code, after.status_code) == (200, 401) else 1


if __name__ == "__main__":
    sys.exit(main())
