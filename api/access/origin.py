"""A browser sends the cookie whoever's page makes it ask: what changes something must come from our own.

The rule is Go's `http.CrossOriginProtection` (https://pkg.go.dev/net/http#CrossOriginProtection): every browser of
today says `Sec-Fetch-Site`; an older one says `Origin`; what says neither is no browser. A log-in keeps it too, cookie
or none: another site's page must not be able to put somebody into an account of its own choice.
"""

from fastapi import Request

from api.problems import Problem

COOKIE = "tuneyard_session"
_HARMLESS = ("GET", "HEAD", "OPTIONS")


def demand_same_origin(request: Request) -> None:
    """403 where another site's page makes a browser change something here."""
    if request.method in _HARMLESS:
        return
    site = request.headers.get("Sec-Fetch-Site")
    if site in ("same-origin", "none"):
        return
    origin = request.headers.get("Origin")
    # Not parsed: an origin is `scheme://host` and no more, and a broken one is nobody's.
    if site is None and (origin is None or origin.partition("://")[2] == request.headers.get("Host")):
        return
    raise Problem(
        403, "This comes from another site's page: only our own may log in, or change something with a cookie"
    )
