"""A batch test as one HTML page that needs nothing beside itself; whatever a model said in it stays text."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import func
from sqlmodel import Session, col, select

from api import tables
from api.access.owned import owned
from api.comparability import HOW_ANSWERED, Run, has_all_answers, setting
from api.comparison import ARTIFACT, compare_runs
from api.routes.batch_tests import find_run
from api.summaries import summary_of
from tuneyard.batch_shapes import ChangedPrompt, CompareRequest, Comparison

if TYPE_CHECKING:
    from jinja2 import Template

# The page holds no script, and a browser would run none.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
MOST_EXAMPLES = 50
MOST_LETTERS, MOST_WORDS = 2000, 250
VERDICTS = {
    "better": "Better",
    "worse": "Worse",
    "same": "The same",
    "insufficient_data": "Too little to say",
}
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")
_PREDICTION = tables.Prediction


def report_page(session: Session, run: Run, against: str | None) -> str:
    """The page of a run, beside the run of the id `against` if there is one.

    Raises:
        Problem: There is no such run, or the two cannot be compared.
    """
    job, _ = run
    sides, comparison = [run], None
    if against is not None:
        sides.insert(0, find_run(session, job.workspace_id, against))
        asked = CompareRequest(baseline=against, candidate=job.id)
        comparison = compare_runs(session, job.workspace_id, asked)
    return _template().render(
        policy=POLICY.rpartition("; ")[0],  # what a page may not say of itself: who frames it
        sides=[_side(session, side) for side in sides],
        comparison=comparison,
        verdicts=VERDICTS,
        is_whole=has_all_answers(*run),
        examples=_examples(comparison),
        wrong=_answers(session, job.pk, col(_PREDICTION.passed).is_(False), col(_PREDICTION.error).is_(None)),
        errors=_answers(session, job.pk, col(_PREDICTION.error).is_not(None)),
        clip=_clipped,
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(Path(__file__).with_name("report.html.jinja").read_text("utf-8"))


def _side(session: Session, run: Run) -> dict[str, Any]:
    """All that the page says of one run."""
    job, test = run
    config = job.config | ({"suite": test.suite_id} if test.suite_id else {}) | {"model": job.model}
    return {
        "summary": summary_of(session, run),
        "hashes": _hashes(session, run),
        "settings": {name: setting(job.config, name) for name in HOW_ANSWERED},
        "config": json.dumps({"config": config}, indent=2, ensure_ascii=False),
    }


def _hashes(session: Session, run: Run) -> dict[str, str]:
    """What the run was about, to the byte."""
    job, test = run
    found: dict[str, str] = {}
    if job.model.startswith(ARTIFACT):
        of_id = tables.Artifact.id == job.model.removeprefix(ARTIFACT)
        artifact = session.exec(owned(tables.Artifact, job.workspace_id).where(of_id)).first()
        found["model"] = artifact.sha256 or "" if artifact else ""
    columns = (tables.TestSuite.sha256, tables.TestSuite.name, tables.TestSuite.version)
    suites = owned(tables.TestSuite, job.workspace_id).where(tables.TestSuite.id == test.suite_id)
    for sha256, name, version in session.execute(suites.with_only_columns(*columns)):  # type: ignore[call-overload]
        found[f"suite {name} version {version}"] = sha256
    template = col(_PREDICTION.template_sha256)
    mine = select(template).where(_PREDICTION.job_pk == job.pk, template.is_not(None)).distinct()
    templates = sorted(one for one in session.exec(mine) if one)
    found |= {f"chat template {number}": one for number, one in enumerate(templates, 1)}
    return {name: sha256 for name, sha256 in found.items() if sha256}


def _answers(session: Session, job_pk: int, *which: Any) -> dict[str, Any]:
    """The first of such answers, and how many there are."""
    where = (_PREDICTION.job_pk == job_pk, _PREDICTION.step == 0, *which)
    count = session.exec(select(func.count()).select_from(_PREDICTION).where(*where)).one()
    query = select(_PREDICTION).where(*where).order_by(col(_PREDICTION.prompt_index)).limit(MOST_EXAMPLES)
    return {"count": count, "shown": session.exec(query).all()}


def _examples(comparison: Comparison | None) -> dict[str, Any]:
    """The prompts that changed, for the worse and for the better."""
    changed = comparison.changed if comparison else []
    won = [one for one in changed if (one.candidate_score or 0) > (one.baseline_score or 0)]
    lost = changed[: len(changed) - len(won)]
    return {
        "lost": [_example(one) for one in lost[:MOST_EXAMPLES]],
        "lost_count": len(lost),
        "won": [_example(one) for one in won[:MOST_EXAMPLES]],
        "won_count": len(won),
    }


def _example(changed: ChangedPrompt) -> dict[str, Any]:
    before, after = _marked(_clipped(changed.baseline), _clipped(changed.candidate))
    return {"prompt": changed, "before": before, "after": after}


def _marked(before: str, after: str) -> tuple[list[tuple[bool, str]], list[tuple[bool, str]]]:
    """Two texts in pieces: (whether the other lacks it, piece). Long ones are one piece: comparing them takes long."""
    old, new = _WORDS.findall(before), _WORDS.findall(after)
    if max(len(old), len(new)) > MOST_WORDS:
        return [(False, before)], [(False, after)]
    steps = SequenceMatcher(None, old, new, autojunk=False).get_opcodes()
    return _pieces(old, [(kind, a, b) for kind, a, b, _, _ in steps]), _pieces(
        new, [(kind, a, b) for kind, _, _, a, b in steps]
    )


def _pieces(words: Sequence[str], steps: Sequence[tuple[str, int, int]]) -> list[tuple[bool, str]]:
    return [(kind != "equal", "".join(words[a:b])) for kind, a, b in steps if a < b]


def _clipped(text: str | None) -> str:
    if text is None or len(text) <= MOST_LETTERS:
        return text or ""
    return f"{text[:MOST_LETTERS]} … and {len(text) - MOST_LETTERS} more characters"
