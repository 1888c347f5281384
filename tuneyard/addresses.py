"""Where requests go and what opens the door: base URLs, paths of objects, the header of a secret."""

from __future__ import annotations

from urllib.parse import quote

import httpx

from tuneyard.errors import BadInput


def base_of(url: str) -> str:
    """The base URL without its trailing slash.

    Raises:
        BadInput: Not an http(s) URL with a host, or one that carries a user, a query or a fragment.
    """
    try:
        parsed = httpx.URL(url.strip())
    except httpx.InvalidURL:
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        shown = url.rpartition("@")[2]  # what stands before the @ may be a password
        raise BadInput(f"{shown!r} is not an http:// or https:// address", field="base_url")
    if parsed.userinfo or parsed.query or parsed.fragment:
        raise BadInput(
            "an address carries no user, query or fragment; the key goes in api_key", field="base_url"
        )
    return str(parsed).rstrip("/")


def object_path(collection: str, object_id: str, *rest: str) -> str:
    """The path of one object; any character of its id is taken as part of the id.

    Raises:
        BadInput: The id is empty or made of dots: a path has no way to name it.
    """
    if not object_id.strip("."):
        raise BadInput(f"{object_id!r} is not an id", field="id")
    return "/".join(("/api/v1", collection, quote(object_id, safe=""), *rest))


def secret_header(name: str, prefix: str, secret: str | None) -> dict[str, str]:
    """The header that carries a key or token; none for None.

    Raises:
        BadInput: Not printable ASCII without spaces. The message does not hold it.
    """
    if secret is None:
        return {}
    secret = secret.strip()
    if not secret or not all("!" <= character <= "~" for character in secret):
        raise BadInput(f"the value for {name} is empty or holds spaces or other than plain characters")
    return {name: prefix + secret}
