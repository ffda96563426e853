"""An answer in text, before it has a format."""

import math
import re
from dataclasses import dataclass
from typing import Any

import orjson

_PIECE = re.compile(r"\s*\S+|\s+\Z")
_CHARACTERS_PER_TOKEN = 4


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a reply is billed as: parts are inside their sums, whatever a format makes of it."""

    prompt: int
    completion: int = 0
    cached: int = 0
    reasoning: int = 0
    cache_write: int = 0
    """Part of the prompt, as ``cached``."""
    cache_write_1h: int = 0
    """Part of ``cache_write``."""


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer in text, to be sent in any of the formats."""

    reply_id: str
    """Unique; the formats put their own prefix before it."""
    model: str
    text: str
    tokens: Tokens
    created: int
    """Unix time, seconds."""
    is_cut: bool = False
    """It ended at the limit of its output."""


def count_tokens(text: str) -> int:
    """One token per four characters, begun ones counted: simple, and the same everywhere."""
    return math.ceil(len(text) / _CHARACTERS_PER_TOKEN)


def pieces(text: str) -> list[str]:
    """``text`` cut before its words, as a model streams it."""
    return _PIECE.findall(text)


def event(data: dict[str, Any], *, name: str | None = None) -> bytes:
    """A server-sent event with ``data`` as JSON."""
    head = b"" if name is None else f"event: {name}\n".encode()
    return head + b"data: " + orjson.dumps(data) + b"\n\n"
