"""`tuneyard jobs chart`: a run's curves in the terminal."""

from __future__ import annotations

import json

import click

from tuneyard import options
from tuneyard.braille import Span, plot
from tuneyard.client import Client
from tuneyard.errors import BadInput
from tuneyard.metric_table import MetricTable
from tuneyard.options import connected, example, json_option

USUAL = (
    "train_loss",
    "eval_loss",
    "test_score",
    "learning_rate",
    "tokens_per_second",
    "gpu_utilization_percent",
    "gpu_memory_allocated_gb",
)


@click.command(epilog=example("jobs chart 01KA1B2C3D4E5F6G7H8J9K0MNP --column train_loss --column grad_norm"))
@click.argument("job_id", metavar="ID")
@click.option(
    "--column", "chosen", multiple=True, help="Draw this one; may be given again. Default: the usual."
)
@click.option("--width", type=click.IntRange(30, 400), help="Characters. Default: the terminal's.")
@json_option
@connected
def chart(client: Client, job_id: str, chosen: tuple[str, ...], width: int | None, as_json: bool) -> None:
    """Draw a job's curves: loss, learning rate, speed and GPU; spikes are kept, x marks what is not finite."""
    width = width or options.width()
    found = client.metrics.read(job_id, chosen or None, buckets=2 * width)
    if as_json:
        click.echo(json.dumps({"width": found.width, "columns": found.columns}))
        return
    drawn = {name: _panel(found, name, width) for name in chosen or USUAL}
    if empty := [name for name in chosen if drawn[name] is None]:
        raise BadInput(f"the job has no finite number called {empty[0]}", field="column")
    panels = [panel for panel in drawn.values() if panel is not None]
    click.echo("\n\n".join(panels) if panels else "No numbers yet.")


def _panel(found: MetricTable, name: str, width: int) -> str | None:
    """None where it has no finite number."""
    if f"{name}.mean" not in found.columns:
        return None
    parts = (found[f"{name}.{part}"] for part in ("min", "max", "mean"))
    spans = [Span(*values) for values in zip(found["step"], *parts, strict=True) if values[1] is not None]
    if not spans:
        return None
    low, high = min(span.low for span in spans), max(span.high for span in spans)
    title = f"{name}  {low:.4g} to {high:.4g}, last {spans[-1].mean:.4g}"
    broken = [step for step, count in zip(found["step"], found["not_finite"], strict=True) if count]
    return "\n".join([title[:width], *plot(spans, broken, (found["step"][0], found["step"][-1]), width)])
