"""What the server has done since it started, counted for Prometheus.

Each process counts in memory; where `serve` runs several, they count in files that all of them read, and a process
that has ended is still in the sum. Routes are named by their templates, so that nobody's ids or paths become labels.
"""

import os
from collections.abc import MutableMapping
from importlib.metadata import version
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram, disable_created_metrics
from prometheus_client.core import InfoMetricFamily
from prometheus_client.exposition import generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from api.metric_body import RawRoute

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # read by prometheus_client when it is first imported
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0)
_REFUSED = {403: "forbidden", 429: "rate_limited"}
# Several processes have none, and one is to have the same series.
disable_created_metrics()  # type: ignore[no-untyped-call]


class Counts:
    """One process's counters."""

    def __init__(self) -> None:
        self._registry = mine = CollectorRegistry()
        self._requests = Counter(
            "tuneyard_http_requests", "Requests answered.", ("method", "route", "status"), registry=mine
        )
        self._seconds = Histogram(
            "tuneyard_http_request_duration_seconds",
            "Seconds until an answer began.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=mine,
        )
        self._points = Counter("tuneyard_ingest_points", "Metric points stored.", registry=mine)
        self._bytes = Counter("tuneyard_ingest_bytes", "Bytes of their reports, as sent.", registry=mine)
        self._ingest_refused = Counter(
            "tuneyard_ingest_refused", "Reports of metrics refused.", ("status",), registry=mine
        )
        self._auth_refused = Counter(
            "tuneyard_auth_refused", "Requests refused for who asked.", ("kind",), registry=mine
        )
        for kind in ("missing", "invalid", "password", "other", *_REFUSED.values()):
            self._auth_refused.labels(kind)
        self._known: dict[tuple[str, str, int], tuple[Any, Any]] = {}

    def answered(self, scope: MutableMapping[str, Any], status: int, seconds: float) -> None:
        """Count an answer to the request that the ASGI scope is of."""
        method, route = scope["method"], _template(scope)
        known = self._known.get((method, route, status))
        if known is None:
            named = method if method in METHODS else "other"
            known = self._requests.labels(named, route, status), self._seconds.labels(named, route)
            if named == method:
                self._known[method, route, status] = known
        known[0].inc()
        known[1].observe(seconds)
        if status >= 400:
            self._refused(scope, status)

    def _refused(self, scope: MutableMapping[str, Any], status: int) -> None:
        kind = _REFUSED.get(status) if status != 401 else scope["state"].get("refusal", "other")
        if kind is not None:
            self._auth_refused.labels(kind).inc()
        if isinstance(scope.get("route"), RawRoute) and scope["method"] != "GET":
            self._ingest_refused.labels(status).inc()

    def stored(self, points: int, size: int) -> None:
        """Count a report of metrics that was stored."""
        self._points.inc(points)
        self._bytes.inc(size)

    def shown(self) -> bytes:
        """Every process's counts together, in Prometheus's text format."""
        registry = self._registry
        if FOLDER in os.environ:
            registry = CollectorRegistry()
            MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry) + generate_latest(_Build())


def _template(scope: MutableMapping[str, Any]) -> str:
    """The route's path, an included one's with its prefix; `none` for what is no route."""
    route = scope.get("fastapi", {}).get("effective_route_context") or scope.get("route")
    return getattr(route, "path", "none")


class _Build(Collector):
    def collect(self) -> Any:
        yield InfoMetricFamily("tuneyard_build", "What is running.", {"version": version("tuneyard")})
