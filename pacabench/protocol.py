"""What goes over an agent's stdin and stdout, one JSON object per line.

To the agent: ``{"case_id", "dataset_name", "input", "history", "metadata", ...}``, where ``...``
are the metadata's own keys that clash with none of the fixed ones. Never the expected answer.

From the agent: ``{"output": ..., "error": null}``. A line that is no such object is its log.
See ``docs/agent-protocol.md``.
"""

import json
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from pacabench.model import JSON, Case

MAX_LINE_BYTES = 32 * 1024**2
"""Longest line that can be an answer."""


_ZEROS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG_NUMBER = b"0" * 19


@dataclass(frozen=True, slots=True)
class Answer:
    """The agent's answer to a case."""

    output: JSON
    error: str | None
    case_id: str | None = None
    """Optional echo; an answer to another case is no answer to this one."""


def encode_case(case: Case, *, shown_id: str, files: Sequence[str] | None = None) -> bytes:
    """The line for ``case``, newline included. ``shown_id`` is what the agent sees as case id.

    ``files`` are the paths of the case's files as the agent sees them; None: its data set has none.
    """
    placed = {} if files is None else {"files": list(files)}
    fixed = {
        **placed,
        "case_id": shown_id,
        "dataset_name": case.dataset,
        "input": case.input,
        "history": list(case.history),
        "metadata": case.metadata,
    }
    return orjson.dumps({**case.metadata, **fixed}) + b"\n"


def parse_answer(line: bytes) -> Answer | None:
    """The answer in ``line``, or None when the line is no answer but log.

    An object is an answer when it has ``output``, or an ``error`` that is not null. Untrusted:
    orjson refuses invalid UTF-8, lone surrogates, NaN and deep nesting; such a line is log.
    """
    text = line.strip()
    if not text.startswith(b"{") or len(text) > MAX_LINE_BYTES:
        return None
    try:
        message = orjson.loads(text)
        if _LONG_NUMBER in text.translate(_ZEROS):
            # orjson makes a float of an integer past 64 bits, which is another number.
            message = json.loads(text)
    except (orjson.JSONDecodeError, RecursionError):
        return None
    error = message.get("error")
    if "output" not in message and error is None:
        return None
    case_id = message.get("case_id")
    return Answer(
        output=message.get("output"),
        error=None if error is None else _text_of(error),
        case_id=case_id if isinstance(case_id, str) else None,
    )


def _text_of(error: JSON) -> str:
    """Text as it is, anything else as JSON. What can be read cannot always be written again."""
    if isinstance(error, str):
        return error
    try:
        return orjson.dumps(error).decode()
    except orjson.JSONEncodeError:  # an integer past 64 bits, or more than 254 levels
        return f"an error that is no text: {reprlib.repr(error)}"
