"""Make an API key, asked for line by line: python examples/notebooks/create_api_key.py

TUNEYARD_API_URL says where the API is. The key is the last line, and is printed here alone.
"""

import sys
from getpass import getpass

import auth_template as auth
import httpx

email = input("Email: ").strip()
password = getpass("Password: ") if sys.stdin.isatty() else input("Password: ").strip()
if not auth.authenticate_user(email, password):
    sys.exit(1)
answer = httpx.get(f"{auth.API_BASE}/api-keys/permission-sets", headers=auth.AUTH_HEADERS, timeout=30)
for set_name, members in answer.raise_for_status().json()["data"].items():
    print(f"  {set_name}: {', '.join(members)}")
name = input("API key name: ").strip()
description = input("Description (optional): ").strip() or None
chosen = input("Permission set (default: training_pipeline): ").strip() or "training_pipeline"
days = input("Expires in days (default: 90): ").strip()
key = auth.create_api_key(name, description, chosen, int(days) if days else None)
if key is None:
    sys.exit(1)
print(key)
