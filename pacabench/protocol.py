"""What goes over an agent's stdin and stdout, one JSON object per line.

To the agent: ``{"case_id", "dataset_name", "input", "history", "metadata", ...}``, where ``...``
are the metadata's own keys that clash with none of the fixed ones. Never the expected answer.

From the agent: ``{"output": ..., "error": null}``. A line that is no such object is its log.
See ``docs/agent-protocol.md``.
"""

from dataclasses import dataclass

import orjson

from pacabench.model import JSON, Case

MAX_LINE_BYTES = 32 * 1024**2
"""Longest line that can be an answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The agent's answer to a case."""

    output: JSON
    error: str | None
    case_id: str | None = None
    """Optional echo; an answer to another case is no answer to this one."""


def encode_case(case: Case, *, shown_id: str) -> bytes:
    """The line for ``case``, newline included. ``shown_id`` is what the agent sees as case id."""
    fixed = {
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
    except orjson.JSONDecodeError:
        return None
    error = message.get("error")
    if "output" not in message and error is None:
        return None
    case_id = message.get("case_id")
    return Answer(
        output=message.get("output"),
        error=None
        if error is None
        else error
        if isinstance(error, str)
        else orjson.dumps(error).decode(),
        case_id=case_id if isinstance(case_id, str) else None,
    )
