"""What opens which path, read from what the routes themselves demand."""

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, iter_route_contexts

from api.access.auth import needed


def permissions_at(app: FastAPI) -> dict[str, set[str]]:
    """By path: the permissions of which each opens something there, as the routes declare them."""
    found: dict[str, set[str]] = {}
    for route in iter_route_contexts(app.routes):
        if isinstance(route.original_route, APIRoute):
            found.setdefault(route.path_format or "", set()).update(_demanded(route.dependant))
    return found


def _demanded(dependant: Dependant) -> set[str]:
    own = needed.get(dependant.call, set()) if dependant.call else set()
    return own.union(*map(_demanded, dependant.dependencies))
