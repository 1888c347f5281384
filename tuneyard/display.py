"""Shapes as text for a terminal: pure, and free of control characters whatever a name holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from tuneyard.batch_shapes import BatchTest, Prediction
from tuneyard.shapes import Job, JobKind, MetricRow

SHORTEST = 10
_KINDS = {
    JobKind.FINETUNE: "tune",
    JobKind.BATCH_TEST: "test",
    JobKind.CHECK: "check",
    JobKind.MERGE: "merge",
    JobKind.PIPELINE: "gate",
    JobKind.TABULAR: "table",
    JobKind.PREDICT: "predict",
}


class Column(NamedTuple):
    """`elastic` columns give way, down to `SHORTEST`, when a table is wider than its place."""

    title: str
    elastic: bool = False
    right: bool = False


def plain(value: object) -> str:
    """One line of printable text; `-` for None."""
    text = "-" if value is None else " ".join(str(value).split())
    return "".join(character if character.isprintable() else "?" for character in text)


def table(columns: Sequence[Column], rows: Iterable[Sequence[object]], width: int) -> str:
    """Rows under their titles; no line is wider than `width` where the elastic columns allow it."""
    cells = [[column.title for column in columns], *([plain(value) for value in row] for row in rows)]
    widths = [max(len(line[at]) for line in cells) for at in range(len(columns))]
    over = sum(widths) + 2 * (len(widths) - 1) - width
    # The widest gives way first, so that short texts stay whole.
    while over > 0:
        at = max(
            (at for at, column in enumerate(columns) if column.elastic), key=widths.__getitem__, default=None
        )
        if at is None or widths[at] <= SHORTEST:
            break
        widths[at] -= 1
        over -= 1
    return "\n".join(_line(columns, line, widths) for line in cells)


def _line(columns: Sequence[Column], line: Sequence[str], widths: Sequence[int]) -> str:
    parts = [
        clipped(text, width).rjust(width) if column.right else clipped(text, width).ljust(width)
        for column, text, width in zip(columns, line, widths, strict=True)
    ]
    return "  ".join(parts).rstrip()


def clipped(text: str, width: int) -> str:
    return text if len(text) <= width else text[: max(0, width - 3)] + "..."


def fields(pairs: Iterable[tuple[str, object]]) -> str:
    """One `label  value` line a pair; pairs without a value are left out."""
    shown = [(label, plain(value)) for label, value in pairs if value not in (None, "")]
    widest = max((len(label) for label, _ in shown), default=0)
    return "\n".join(f"{label.ljust(widest)}  {value}" for label, value in shown)


def short_time(moment: datetime | None, now: datetime) -> str | None:
    """A UTC time for a table: `10:02` today, `Nov 20 10:02` within the year, else `2025-11-20`."""
    if moment is None:
        return None
    moment, now = moment.astimezone(UTC), now.astimezone(UTC)
    if moment.date() == now.date():
        return f"{moment:%H:%M}"
    return f"{moment:%b %d %H:%M}" if moment.year == now.year else f"{moment:%Y-%m-%d}"


def long_time(moment: datetime | None, now: datetime) -> str | None:
    """`2026-11-21 10:02:33 UTC (3 min ago)`."""
    if moment is None:
        return None
    seconds = (now - moment).total_seconds()
    distance = f"{duration(seconds)} ago" if seconds >= 0 else f"in {duration(-seconds)}"
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC ({distance})"


def duration(seconds: float) -> str:
    """Two units at most: `42 s`, `3 min`, `2 h 5 min`, `4 days`."""
    whole = int(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min"
    if whole < 86_400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86_400} days" if whole >= 172_800 else "1 day"


def number(value: float | None, form: str, unit: str = "") -> str | None:
    return None if value is None else f"{value:{form}}{unit}"


def of_total(count: object, total: object) -> str | None:
    if count is None:
        return None
    return f"{count}" if total is None else f"{count}/{total}"


def progress_line(job: Job) -> str:
    """What a run is doing: its numbers once it trains, its stage before."""
    if job.current_step is None:
        return plain(job.wait_reason or job.stage or job.status)
    steps = of_total(job.current_step, job.total_steps)
    parts = [
        f"step {steps}",
        "diverged" if job.diverged else number(job.loss, ".4f", " loss"),
        number(job.tokens_per_second, ".0f", " tok/s"),
        number(job.gpu_memory_allocated_gb, ".1f", " GiB GPU"),
        None if job.status == "running" else str(job.status),
    ]
    return "  ".join(part for part in parts if part)


def test_line(test: BatchTest) -> str:
    """What a batch test has come to: its answers once there are some, its stage before."""
    done = test.completed_prompts + test.failed_prompts
    if not done:
        return plain(test.stage or test.status)
    parts = [
        f"{of_total(done, test.total_prompts)} answered",
        f"{test.passed_prompts} right",
        f"{test.failed_prompts} failed" if test.failed_prompts else None,
        None if test.status == "running" else str(test.status),
    ]
    return "  ".join(part for part in parts if part)


def jobs_table(jobs: Iterable[Job], now: datetime, width: int) -> str:
    columns = [
        Column("ID"),
        Column("KIND"),
        Column("STATUS"),
        Column("DONE", right=True),
        Column("CREATED (UTC)"),
        Column("NAME", elastic=True),
    ]
    rows = [
        (
            job.id,
            _KINDS[job.kind],
            job.status,
            f"{job.progress:.2f}%",
            short_time(job.created_at, now),
            job.name,
        )
        for job in jobs
    ]
    return table(columns, rows, width)


def job_card(job: Job, now: datetime) -> str:
    return fields(
        [
            ("Job", job.id),
            ("Name", job.name),
            ("Kind", job.kind),
            ("Status", job.status),
            ("Stage", job.stage),
            ("Waits", job.wait_reason),
            ("Before it", job.queue_position),
            ("Error", job.error),
            ("Progress", f"{job.progress:.2f}%"),
            ("Step", of_total(job.current_step, job.total_steps)),
            ("Epoch", of_total(number(job.current_epoch, ".2f"), number(job.total_epochs, "g"))),
            ("Loss", "not finite: it has diverged" if job.diverged else number(job.loss, ".4f")),
            ("Eval loss", number(job.eval_loss, ".4f")),
            ("Speed", number(job.tokens_per_second, ".0f", " tokens/s")),
            ("GPU memory", number(job.gpu_memory_allocated_gb, ".2f", " GiB")),
            ("Model", job.model),
            ("Data set", job.dataset),
            ("Device", job.device),
            ("Host", f"{job.host} (process {job.pid})" if job.host else None),
            ("Cards", ", ".join(job.gpu_uuids)),
            ("Cards freed", long_time(job.gpu_released_at, now)),
            ("Attempt", job.attempt or None),
            ("Restarts", f"{job.restarts} of {job.max_restarts}" if job.restarts else None),
            ("Checkpoint", _step(job.last_checkpoint)),
            ("Best", _step(job.best_checkpoint)),
            ("Prefect run", job.flow_run_id),
            ("Created", long_time(job.created_at, now)),
            ("Claimed", long_time(job.claimed_at, now)),
            ("Started", long_time(job.started_at, now)),
            ("Ended", long_time(job.ended_at, now)),
            ("Resumed", long_time(job.resumed_at, now)),
            ("Last report", long_time(job.last_report_at, now)),
            ("Heartbeat", long_time(job.heartbeat_at, now)),
        ]
    )


def _step(checkpoint: int | None) -> str | None:
    return None if checkpoint is None else f"step {checkpoint}"


def metrics_table(rows: Iterable[MetricRow], now: datetime, width: int) -> str:
    titles = [
        "STEP",
        "TRY",
        "EPOCH",
        "LOSS",
        "EVAL LOSS",
        "LR",
        "GRAD NORM",
        "TOK/S",
        "GPU GIB",
        "TIME (UTC)",
    ]
    cells = [
        (
            row.step,
            row.attempt,
            number(row.epoch, ".2f"),
            number(row.train_loss, ".4f"),
            number(row.eval_loss, ".4f"),
            number(row.learning_rate, ".2e"),
            number(row.grad_norm, ".3f"),
            number(row.tokens_per_second, ".0f"),
            number(row.gpu_memory_allocated_gb, ".1f"),
            short_time(row.timestamp, now),
        )
        for row in rows
    ]
    return table([Column(title, right=True) for title in titles], cells, width)


def tests_table(tests: Iterable[BatchTest], now: datetime, width: int) -> str:
    columns = [
        Column("ID"),
        Column("STATUS"),
        Column("SCORE", right=True),
        Column("DONE", right=True),
        Column("CREATED (UTC)"),
        Column("NAME", elastic=True),
    ]
    rows = [
        (
            test.id,
            test.status,
            number(test.score, ".3f"),
            of_total(test.completed_prompts + test.failed_prompts, test.total_prompts),
            short_time(test.created_at, now),
            test.name,
        )
        for test in tests
    ]
    return table(columns, rows, width)


def test_card(test: BatchTest, now: datetime) -> str:
    done = test.completed_prompts + test.failed_prompts
    return fields(
        [
            ("Test", test.id),
            ("Name", test.name),
            ("Status", test.status),
            ("Stage", test.stage),
            ("Error", test.error),
            ("Score", number(test.score, ".3f")),
            ("Passed", of_total(test.passed_prompts, done)),
            ("Answered", of_total(test.completed_prompts, test.total_prompts)),
            ("With errors", test.failed_prompts),
            ("Model", test.model),
            ("Suite", test.suite),
            ("Suite id", test.suite_id),
            ("Prefect run", test.flow_run_id),
            ("Created", long_time(test.created_at, now)),
            ("Started", long_time(test.started_at, now)),
            ("Ended", long_time(test.ended_at, now)),
            ("Archived", long_time(test.archived_at, now)),
        ]
    )


def predictions_table(predictions: Iterable[Prediction], width: int) -> str:
    columns = [
        Column("#", right=True),
        Column("RESULT"),
        Column("PROMPT", elastic=True),
        Column("EXPECTED", elastic=True),
        Column("ANSWER", elastic=True),
    ]
    rows = [
        (
            one.prompt_index,
            "error" if one.error else {True: "pass", False: "fail", None: "-"}[one.passed],
            one.prompt,
            one.expected,
            one.error or one.response,
        )
        for one in predictions
    ]
    return table(columns, rows, width)
