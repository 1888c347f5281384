"""A batch test's report as markdown, for Prefect's page of the run: pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from tuneyard.batch_shapes import ChangedPrompt, Comparison, Interval, Prediction, TestSummary

MOST_EXAMPLES = 10
MOST_LETTERS = 200
_MEANS_SOMETHING = re.compile(r"([\\`*_\[\]|#~<>&$!])")


def report_markdown(summary: TestSummary, found: Comparison | None, wrong: Sequence[Prediction]) -> str:
    """Scores, tags, what was won and lost (or what is wrong, where there is no comparison), latency, tokens."""
    parts = [
        [_head(summary)],
        _verdict(found) if found else [],
        _scores(summary, found),
        _tags(summary, found),
        _changes(found) if found else _wrong(wrong),
        _latency(summary),
        _again(summary, found),
    ]
    return "\n\n".join("\n".join(lines) for lines in parts if lines) + "\n"


def _head(summary: TestSummary) -> str:
    test = summary.test
    done = test.completed_prompts + test.failed_prompts
    counts = (
        f"{done} of {test.total_prompts} answered, {test.passed_prompts} right, {test.failed_prompts} errors"
    )
    return f"## {counts}\n\nModel {_plain(test.model)}, suite {_plain(test.suite)}."


def _verdict(found: Comparison) -> list[str]:
    verdict = "NO EFFECT" if found.no_effect else found.verdict.replace("_", " ")
    notes = [f"- {_plain(note)}" for note in found.notes if note != found.reason]
    against = f"against batch test {found.baseline.id}, {_plain(found.baseline.model)}"
    return [f"### Verdict: {verdict}", "", f"{_plain(found.reason)} ({against})", "", *notes]


def _scores(summary: TestSummary, found: Comparison | None) -> list[str]:
    rows = [("score", _interval(summary.overall.score))]
    rows += [(_plain(name), _interval(one)) for name, one in summary.scorers.items()]
    if found and found.difference:
        rows.append((f"difference, {found.pairs} pairs", _interval(found.difference)))
    return [*_table(["", "value and 95 % interval"], rows)]


def _tags(summary: TestSummary, found: Comparison | None) -> list[str]:
    if found and found.tags:
        columns = ["tag", "pairs", "baseline", "candidate", "won", "lost"]
        compared = [
            (
                _plain(tag),
                one.prompts,
                f"{one.baseline_score:.3f}",
                f"{one.candidate_score:.3f}",
                one.gained,
                one.lost,
            )
            for tag, one in found.tags.items()
        ]
        return [*_table(columns, compared)]
    rows = [(_plain(tag), one.prompts, one.passed, _interval(one.score)) for tag, one in summary.tags.items()]
    return [*_table(["tag", "prompts", "right", "score"], rows)] if rows else []


def _changes(found: Comparison) -> list[str]:
    lost = [one for one in found.changed if (one.candidate_score or 0) <= (one.baseline_score or 0)]
    won = found.changed[len(lost) :]
    return [*_examples("Lost", lost), "", *_examples("Won", won)]


def _examples(title: str, changed: Sequence[ChangedPrompt]) -> list[str]:
    rows = [
        (_plain(one.prompt), _plain(one.expected), _plain(one.baseline), _plain(one.candidate))
        for one in changed[:MOST_EXAMPLES]
    ]
    heading = [f"### {title}: {len(changed)}", ""]
    return [*heading, *_table(["prompt", "expected", "before", "now"], rows)] if rows else heading


def _wrong(wrong: Iterable[Prediction]) -> list[str]:
    rows = [(_plain(one.prompt), _plain(one.expected), _plain(one.error or one.response)) for one in wrong]
    return ["### Wrong", "", *_table(["prompt", "expected", "answer"], rows)] if rows else []


def _latency(summary: TestSummary) -> list[str]:
    latency = [(f"latency {name}", f"{value:.1f} ms") for name, value in summary.latency_ms.items()]
    tokens = [("tokens read", summary.input_tokens), ("tokens written", summary.output_tokens)]
    return [*_table(["", ""], [*latency, *tokens])]


def _again(summary: TestSummary, found: Comparison | None) -> list[str]:
    test = summary.test.id
    commands = [f"tuneyard tests report {test} --to report.html      # the config to repeat it stands in it"]
    if found:
        commands.insert(0, f"tuneyard tests compare {found.baseline.id} {test}")
    return ["```", *commands, "```"]


def _table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[str]:
    yield _row(columns)
    yield _row("---" for _ in columns)
    yield from (_row(row) for row in rows)


def _row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(str(cell) for cell in cells)} |"


def _interval(one: Interval | None) -> str:
    return "-" if one is None else f"{one.value:.3f} ({one.low:.3f} to {one.high:.3f})"


def _plain(text: str | None) -> str:
    """One line in which nothing is markdown or HTML."""
    return _MEANS_SOMETHING.sub(r"\\\1", " ".join((text or "").split())[:MOST_LETTERS])
