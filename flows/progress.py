"""What Prefect's page of a run shows while it goes on: a progress bar and pictures, refreshed in place."""

from __future__ import annotations

import base64
import time
from uuid import UUID

import httpx
from prefect import get_run_logger, runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate


class Progress:
    """A progress bar and pictures under keys that begin with `kind`, such as `finetune-progress`."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._ids: dict[str, UUID] = {}
        self._shown_at: dict[str, float] = {}

    def due(self, name: str, seconds: float) -> bool:
        """Whether `name` was last put `seconds` or more ago: Prefect's database has other work."""
        return time.monotonic() - self._shown_at.get(name, -seconds) >= seconds

    def bar(self, percent: float, text: str) -> None:
        """Set the progress bar (0 to 100) and its words."""
        self._put("progress", "progress", percent, text)

    def picture(self, name: str, svg: str, text: str) -> None:
        """Show an SVG."""
        data = base64.b64encode(svg.encode()).decode()
        self._put("image", name, f"data:image/svg+xml;base64,{data}", text)

    def table(self, name: str, markdown: str, text: str) -> None:
        """Show markdown, a table of results say."""
        self._put("markdown", name, markdown, text)

    def _put(self, kind: str, name: str, data: float | str, text: str) -> None:
        """Make the artifact the first time, afterwards change it where it is, so that no versions pile up.

        A Prefect server that blinks costs a refresh, not the run.
        """
        self._shown_at[name] = time.monotonic()
        try:
            with get_client(sync_client=True) as prefect:
                if known := self._ids.get(name):
                    prefect.update_artifact(known, ArtifactUpdate(data=data, description=text))
                else:
                    self._ids[name] = prefect.create_artifact(self._new(kind, name, data, text)).id
        except httpx.HTTPError as problem:
            get_run_logger().warning("Prefect did not take the %s: %s", name, problem)

    def _new(self, kind: str, name: str, data: float | str, text: str) -> ArtifactCreate:
        return ArtifactCreate(
            type=kind,
            key=f"{self.kind}-{name}",
            data=data,
            description=text,
            flow_run_id=UUID(runtime.flow_run.id),
        )
