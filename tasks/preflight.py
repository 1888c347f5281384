"""The look at a fine-tune before it starts: everything that is wrong with it, and what it will be like.

Pure: data sets that were read, a tokenizer, a model's shapes and the host's room go in, a Preflight comes out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from tasks.base_weights import FULL_CARD
from tasks.dataset import Dataset
from tasks.examples import Example, Passage, Preference, Taught
from tasks.findings import fault_findings, finding
from tasks.footprint import ModelSize, disk_needed, memory_needed, trainable_parameters
from tasks.hardware import Device, Precision
from tasks.overlap import conflicts, copies, eval_overlap, suite_overlap
from tasks.render import PairRow, TokenRow, pair_rows, token_rows
from tasks.row_length import length_limit
from tasks.text_faults import text_findings
from tasks.token_findings import Limit, pair_findings, token_findings
from tuneyard.configs import FinetuneConfig
from tuneyard.errors import BadInput
from tuneyard.shapes import Diagnostic, PreflightFigures

GIB = 2**30


@dataclass(frozen=True)
class BaseModel:
    """What is known of the base model without its weights. `ends`: ids of the tokens that end an answer."""

    tokenizer: Any
    size: ModelSize
    context: int | None
    ends: set[int]


@dataclass(frozen=True)
class Room:
    """What the host has, in bytes."""

    device: Device
    precision: Precision
    memory: int
    disk: int


def data_findings(
    config: FinetuneConfig,
    train: Dataset,
    held: Dataset | None,
    suites: Mapping[str, Sequence[str]],
    special: Sequence[str] = (),
) -> list[Diagnostic]:
    """What the rows show before a model is asked.

    Args:
        suites: Names and prompts of the test suites that must not be trained on.
        special: The tokenizer's special tokens.
    """
    found = _method_findings(config, train)
    for data in _files(config, train, held):
        found += fault_findings(data)
        found += text_findings(data.rows, special, data.uri)
        found += copies(data.rows, data.uri) + conflicts(data.rows, data.uri)
    found += suite_overlap(train.rows, suites, train.uri)
    if held is not None:
        found += eval_overlap(train.rows, held.rows, train.uri)
    return found


def row_findings(
    config: FinetuneConfig, base: BaseModel, train: Dataset, held: Dataset | None
) -> tuple[list[TokenRow] | list[PairRow], list[Diagnostic]]:
    """(the rows to train on in tokens, what is wrong with them and with those to evaluate on)."""
    kept: list[Any] = []
    found: list[Diagnostic] = []
    for data in _files(config, train, held):
        rows, diagnostics = _tokenised(config, base, data)
        found += diagnostics
        kept = kept or rows  # the first file is the one trained on
    lines = {row.line for row in train.rows}
    return [row for row in kept if row.line in lines], found


def figures_of(
    config: FinetuneConfig,
    base: BaseModel,
    rows: Sequence[TokenRow] | Sequence[PairRow],
    room: Room,
) -> tuple[PreflightFigures, list[Diagnostic]]:
    """(what training on these rows will be like, whether there is room for it)."""
    lengths = [len(row) if isinstance(row, PairRow) else len(row.ids) for row in rows]
    if not lengths:
        return PreflightFigures(rows=0), []
    memory = _memory(config, base.size, room, max(lengths))
    disk = disk_needed(base.size, config, room.precision)
    steps = _Steps.of(config, base, rows, lengths)
    ordered = sorted(lengths)
    figures = PreflightFigures(
        rows=len(rows),
        tokens=sum(_tokens(row) for row in rows),
        learnt_tokens=sum(_learnt(row) for row in rows),
        length_p50=_quantile(ordered, 0.5),
        length_p90=_quantile(ordered, 0.9),
        length_p99=_quantile(ordered, 0.99),
        length_max=ordered[-1],
        padding_percent=steps.padding_percent,
        steps_per_epoch=steps.an_epoch,
        total_steps=steps.total,
        parameters=base.size.parameters,
        trainable_parameters=trainable_parameters(base.size, config),
        memory_needed_gb=round(memory / GIB, 2),
        memory_gb=round(room.memory / GIB, 2),
        disk_needed_gb=round(disk / GIB, 2),
        disk_free_gb=round(room.disk / GIB, 2),
        device=room.device.words,
    )
    return figures, _room_findings(memory, disk, room)


def _method_findings(config: FinetuneConfig, train: Dataset) -> list[Diagnostic]:
    problem = None
    if (config.method == "dpo") != (train.form == "preference"):
        problem = f"rows of the form {train.form} cannot be trained on by the method {config.method}"
    elif config.long_rows == "split" and train.form != "text":
        problem = f"long_rows: split is for plain text, and the rows are of the form {train.form}"
    if problem is None:
        return []
    field = "method" if config.long_rows != "split" or "method" in problem else "long_rows"
    return [Diagnostic(severity="error", code="wrong_form", message=problem, field=field, file=train.uri)]


def _files(config: FinetuneConfig, train: Dataset, held: Dataset | None) -> list[Dataset]:
    """Each data file with all its rows, also where a part of them is held back."""
    if held is None:
        return [train]
    if config.eval_dataset is not None:
        return [train, held]
    return [replace(train, rows=sorted([*train.rows, *held.rows], key=lambda row: row.line))]


def _tokenised(config: FinetuneConfig, base: BaseModel, data: Dataset) -> tuple[list[Any], list[Diagnostic]]:
    tokens, whose = length_limit(config.max_length, base.context)
    limit = Limit(tokens, whose, config.long_rows)
    rows, found = _written(config, base, data)
    if data.form == "preference":
        kept, more = pair_findings(rows, limit, data.uri)
        return kept, found + more
    fitting, more = token_findings(rows, limit, base.ends, data.uri)
    return fitting, found + more


def _written(config: FinetuneConfig, base: BaseModel, data: Dataset) -> tuple[list[Any], list[Diagnostic]]:
    """All rows in tokens at once; where the model's template refuses one, one by one, to find all that it refuses."""
    try:
        return _make(config, base, data.rows), []
    except BadInput:
        pass
    rows, refused = [], dict[str, list[int]]()
    for row in data.rows:
        try:
            rows += _make(config, base, [row])
        except BadInput as error:
            refused.setdefault(error.problem, []).append(row.line)
    found = [
        diagnostic
        for problem, lines in refused.items()
        for diagnostic in finding("error", "template_refuses", problem, data.uri, lines)
    ]
    return rows, found


def _make(config: FinetuneConfig, base: BaseModel, rows: Sequence[Taught]) -> list[Any]:
    pairs = [row for row in rows if isinstance(row, Preference)]
    if pairs:
        return pair_rows(base.tokenizer, pairs, base.ends)
    plain = [row for row in rows if isinstance(row, Example | Passage)]
    return token_rows(base.tokenizer, plain, base.ends, config.loss_on)


@dataclass(frozen=True)
class _Steps:
    an_epoch: int
    total: int
    padding_percent: float

    @staticmethod
    def of(config: FinetuneConfig, base: BaseModel, rows: Sequence[Any], lengths: Sequence[int]) -> _Steps:
        """As the trainer will group the rows in the first epoch."""
        from tasks.fitting import planned_steps
        from tasks.ordering import LengthGrouped
        from tasks.packing import packed

        if config.packing and config.method != "dpo":
            lengths = [len(block) for block in packed(rows, length_limit(config.max_length, base.context)[0])]
        devices = max(1, config.gpus)
        total, epochs = planned_steps(config, len(lengths), devices)
        order = list(LengthGrouped(lengths, config.batch_size * devices, config.seed))
        size = config.batch_size
        batches = [
            [lengths[at] for at in order[start : start + size]] for start in range(0, len(order), size)
        ]
        padded = sum(max(batch) * len(batch) for batch in batches)
        return _Steps(round(total / epochs), total, round(100 * (1 - sum(lengths) / padded), 2))


def _memory(config: FinetuneConfig, size: ModelSize, room: Room, longest: int) -> int:
    """Bytes at the peak. `auto` keeps activations where they fit and computes them again where they do not."""
    card = room.device.kind == "cuda"
    wish = config.activation_checkpointing
    needed = memory_needed(size, config, room.precision, longest, checkpointed=wish == "on", on_card=card)
    if wish == "auto" and card and needed > FULL_CARD * room.memory:
        return memory_needed(size, config, room.precision, longest, checkpointed=True)
    return needed


def _room_findings(memory: int, disk: int, room: Room) -> list[Diagnostic]:
    found = []
    if memory > room.memory:
        words = (
            f"a step may need {memory / GIB:.1f} GiB and {room.device.words} has {room.memory / GIB:.1f}; lower "
            "batch_size (and raise gradient_accumulation as much) or max_length, or train an adapter (method: lora)"
        )
        found.append(Diagnostic(severity="warning", code="memory_tight", message=words, field="batch_size"))
    if disk > room.disk:
        words = (
            f"checkpoints and model need {disk / GIB:.1f} GiB and {room.disk / GIB:.1f} are free; free some, or lower "
            "keep_checkpoints"
        )
        found.append(Diagnostic(severity="error", code="disk_full", message=words, field="keep_checkpoints"))
    return found


def _tokens(row: TokenRow | PairRow) -> int:
    if isinstance(row, PairRow):
        return 2 * len(row.prompt) + len(row.chosen) + len(row.rejected)
    return len(row.ids)


def _learnt(row: TokenRow | PairRow) -> int:
    if isinstance(row, PairRow):
        return len(row.chosen) + len(row.rejected)
    return sum(stop - max(start, 1) for start, stop in row.learnt)


def _quantile(ordered: Sequence[int], part: float) -> int:
    """The smallest length that this part of the rows does not exceed."""
    return ordered[max(0, -(-int(part * 100) * len(ordered) // 100) - 1)]
