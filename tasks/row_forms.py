"""From one record to what is taught by it, in any of the forms in which people keep such rows.

A form's fields are checked to the last turn. What a form does not use is a fault only in JSON rows of prompt and
completion, which people write for this program: there, it is a slip. Rows of every other form, and tables, come
from elsewhere with ids and scores beside them: the reader says once which of those were not used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from tasks.examples import Example, Passage, Preference, Role, Taught, Turn
from tuneyard.faults import RowFault, quoted

Form = Literal["prompt_completion", "chat", "alpaca", "sharegpt", "text", "preference"]
Record = Mapping[str, Any]

FIELDS: dict[Form, tuple[str, ...]] = {
    "prompt_completion": ("prompt", "completion"),
    "chat": ("messages",),
    "alpaca": ("system", "instruction", "input", "output"),
    "sharegpt": ("system", "conversations"),
    "text": ("text",),
    "preference": ("prompt", "chosen", "rejected", "input", "preferred_output", "non_preferred_output"),
}
ALL_FIELDS = frozenset(name for names in FIELDS.values() for name in names)

# A record that has one of these fields is of this form; the first one that fits decides. The rarest names come
# first: preference data often holds `messages` too, and Alpaca's own holds a `text`.
SIGNS: tuple[tuple[Form, tuple[str, ...]], ...] = (
    ("preference", ("chosen", "rejected", "preferred_output")),
    ("chat", ("messages",)),
    ("sharegpt", ("conversations",)),
    ("prompt_completion", ("completion",)),
    ("alpaca", ("instruction", "output")),
    ("prompt_completion", ("prompt",)),
    ("text", ("text",)),
)
SHAREGPT_ROLES: dict[str, Role] = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "assistant": "assistant",
}
SHAREGPT_ROLES |= {"system": "system", "chatgpt": "assistant", "model": "assistant", "bard": "assistant"}
CHAT_ROLES: dict[str, Role] = {"system": "system", "user": "user", "assistant": "assistant"}
TOOLS = {"tool", "tools", "function", "function_call", "observation", "ipython", "tool_calls", "tool_call"}


def form_of(record: Record) -> Form | None:
    """The form that a data set has if this is its first record; None: its fields are none that we know."""
    return next((form for form, names in SIGNS if any(name in record for name in names)), None)


def taught_by(record: Record, form: Form, line: int, file: str) -> Taught:
    """The example, passage or preference of one record.

    Raises:
        RowFault: it is not such a record.
    """
    if form == "text":
        return Passage(text_in(record, "text"), line, file)
    if form == "preference":
        return _preference(record, line, file)
    return Example(_TURNS[form](record), line, file)


def unused_fields(record: Record, form: Form) -> list[str]:
    """The names in a record that its form has no use for."""
    known = FIELDS[form]
    return [name for name in record if name not in known]


def _prompt_completion(record: Record) -> tuple[Turn, ...]:
    return Turn("user", text_in(record, "prompt")), Turn("assistant", text_in(record, "completion"))


def _alpaca(record: Record) -> tuple[Turn, ...]:
    instruction, extra = text_in(record, "instruction"), _text_or_none(record, "input")
    asked = instruction if extra is None else f"{instruction}\n\n{extra}"
    return (*_system(record), Turn("user", asked), Turn("assistant", text_in(record, "output")))


def _chat(record: Record) -> tuple[Turn, ...]:
    turns = _turns(record, "messages", "role", "content", CHAT_ROLES)
    _demand_order(turns, "messages", last="assistant")
    return turns


def _sharegpt(record: Record) -> tuple[Turn, ...]:
    turns = (*_system(record), *_turns(record, "conversations", "from", "value", SHAREGPT_ROLES))
    _demand_order(turns, "conversations", last="assistant")
    return turns


_TURNS: dict[Form, Callable[[Record], tuple[Turn, ...]]] = {
    "prompt_completion": _prompt_completion,
    "alpaca": _alpaca,
    "chat": _chat,
    "sharegpt": _sharegpt,
}


def _preference(record: Record, line: int, file: str) -> Preference:
    """Chosen and rejected are answers, or whole conversations which then begin with the same turns."""
    record = _openai_preference(record)
    prompt, chosen = _compared(record, "chosen")
    other, rejected = _compared(record, "rejected")
    if prompt != other:
        raise RowFault("wrong_turns", "begins with other turns than chosen", "rejected")
    if "prompt" in record and record["prompt"] is not None:
        said = _asked(record)
        if prompt and prompt != said:
            raise RowFault("wrong_turns", "is not what chosen and rejected begin with", "prompt")
        prompt = said
    if not prompt:
        raise RowFault("wrong_fields", "is missing", "prompt")
    if chosen == rejected:
        raise RowFault("wrong_fields", "is the same as chosen", "rejected")
    return Preference(prompt, chosen, rejected, line, file)


def _openai_preference(record: Record) -> Record:
    """A row as OpenAI's API takes them, in our words; any other as it is."""
    if "preferred_output" not in record:
        return record
    asked = _there(record, "input")
    if not isinstance(asked, Mapping):
        raise RowFault("wrong_fields", "must be an object of messages", "input")
    answers = {"chosen": record["preferred_output"], "rejected": _there(record, "non_preferred_output")}
    return {"prompt": _there(asked, "messages", "input"), **answers}


def _asked(record: Record) -> tuple[Turn, ...]:
    if isinstance(record["prompt"], str):
        return (Turn("user", text_in(record, "prompt")),)
    turns = _turns(record, "prompt", "role", "content", CHAT_ROLES)
    _demand_order(turns, "prompt", last="user")
    return turns


def _compared(record: Record, field: str) -> tuple[tuple[Turn, ...], str]:
    """(the turns before the answer, the answer)."""
    if isinstance(record.get(field), str):
        return (), text_in(record, field)
    turns = _turns(record, field, "role", "content", CHAT_ROLES)
    if len(turns) > 1 or turns[0].role != "assistant":
        _demand_order(turns, field, last="assistant")
    return turns[:-1], turns[-1].text


def _system(record: Record) -> tuple[Turn, ...]:
    system = _text_or_none(record, "system")
    return () if system is None else (Turn("system", system),)


def _turns(
    record: Record, field: str, role: str, content: str, roles: Mapping[str, Role]
) -> tuple[Turn, ...]:
    """The turns in a record's field, where `role` and `content` are the names of a turn's two fields."""
    value = _there(record, field)
    if not isinstance(value, Sequence) or isinstance(value, str | bytes):
        raise RowFault("wrong_fields", "must be a list of turns", field)
    if not value:
        raise RowFault("empty_text", "is empty", field)
    return tuple(_turn(turn, f"{field}.{at}", role, content, roles) for at, turn in enumerate(value))


def _turn(turn: Any, where: str, role: str, content: str, roles: Mapping[str, Role]) -> Turn:
    if not isinstance(turn, Mapping):
        raise RowFault("wrong_fields", f"must be an object of {role} and {content}", where)
    for name, value in turn.items():
        if name not in (role, content) and value not in (None, [], {}):
            words = "tool calls cannot be taught yet" if name in TOOLS else f"a turn has {role} and {content}"
            raise RowFault("wrong_fields", f"unknown field; {words}", f"{where}.{quoted(name)}")
    speaker = _there(turn, role, where)
    if not isinstance(speaker, str) or speaker not in roles:
        if isinstance(speaker, str) and speaker in TOOLS:
            raise RowFault("wrong_turns", "turns of tools cannot be taught yet", f"{where}.{role}")
        raise RowFault("wrong_turns", f"must be one of {', '.join(roles)}", f"{where}.{role}")
    return Turn(roles[speaker], text_in(turn, content, where))


def _demand_order(turns: Sequence[Turn], field: str, last: Role) -> None:
    """A system turn first or nowhere, then user and assistant by turns."""
    begun = 1 if turns and turns[0].role == "system" else 0
    expected: tuple[Role, Role] = ("user", "assistant")
    for at, turn in enumerate(turns[begun:]):
        if turn.role != expected[at % 2]:
            words = f"is {turn.role}'s turn, where {expected[at % 2]}'s was due"
            raise RowFault("wrong_turns", words, f"{field}.{at + begun}")
    if turns[-1].role != last:
        raise RowFault("wrong_turns", f"the last turn must be {last}'s", field)


def _there(record: Record, field: str, where: str = "") -> Any:
    if field not in record:
        raise RowFault("wrong_fields", "is missing", f"{where}.{field}" if where else field)
    return record[field]


def _text_or_none(record: Record, field: str) -> str | None:
    """A field that may be left out, null or blank."""
    value = record.get(field)
    if value is None or (isinstance(value, str) and not value.strip()):
        return None
    return text_in(record, field)


def text_in(record: Record, field: str, where: str = "") -> str:
    """A record's text as it stands. Raises RowFault where it is missing, blank, no text or not Unicode."""
    value, name = _there(record, field, where), f"{where}.{field}" if where else field
    if not isinstance(value, str):
        raise RowFault("wrong_fields", "must be text", name)
    if not value.strip():
        raise RowFault("empty_text", "is empty", name)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise RowFault("unreadable_row", "is not UTF-8 text, or holds half a surrogate pair", name) from None
    return value
