"""Prompts from a data set's rows: their `prompt` or `messages`, whatever else is in them."""

from __future__ import annotations

from tasks.data_source import open_source
from tasks.dataset import records_of
from tuneyard.batch_shapes import Prompt
from tuneyard.errors import BadInput
from tuneyard.faults import Fault, RowFault, refuse
from tuneyard.suite_files import read_prompt

WANTED = ("prompt", "messages")


def read_prompts(uri: str) -> list[Prompt]:
    """A prompt a row; a table without rows has none.

    Args:
        uri: As `tasks.data_source.open_source` takes it.

    Raises:
        BadInput: it cannot be had, or rows of it are no prompts; names all of those.
    """
    source = open_source(uri)
    records = records_of(source, frozenset(WANTED))
    if records.columns is not None and not set(WANTED) & {*records.columns}:
        raise BadInput("there is no column prompt, and none called messages", file=source.uri)
    prompts, faults = list[Prompt](), list[Fault](records.faults)
    for line, row in records.rows:
        try:
            asked = {name: row[name] for name in WANTED if row.get(name) is not None}
            prompts.append(read_prompt(asked, in_table=records.columns is not None))
        except RowFault as fault:
            faults.append(fault.at(source.uri, line))
    if faults:
        refuse(sorted(faults, key=lambda fault: fault.line or 0))
    return prompts
