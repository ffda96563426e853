"""Text that somebody else chose, made fit for a terminal or a document.

Agents, data sets and providers choose names, answers and errors. A terminal obeys control
characters and escape sequences (ANSI, OSC), bidirectional overrides show text in another order than
it has, and lone surrogates cannot be encoded at all. Here each of them becomes visible ASCII.
"""

import re
import unicodedata
from collections.abc import Callable
from typing import Any

import orjson

LIMIT = 10_000
"""Characters kept where the caller names no limit."""
_ELLIPSIS = "…"
_JOINERS = frozenset("\u200c\u200d")
"""Zero-width (non-)joiners: Persian, Indic scripts and emoji are not legible without them."""


def printable(text: str, limit: int = LIMIT) -> str:
    r"""``text`` on one line, with every character that is not plain text as an escape (``\x1b``).

    At most ``limit`` characters; the last one is an ellipsis where something was cut off. Rich
    markup is left as it is: wrap the result in ``rich.text.Text``, which does not read markup.
    """
    return _escape(text, limit, _is_plain)


def printable_block(text: str, limit: int = LIMIT) -> str:
    """As :func:`printable`, but lines stay lines and tabs become four spaces."""
    text = text[: limit + 1].replace("\r\n", "\n").replace("\t", "    ")
    return _escape(text, limit, lambda char: char == "\n" or _is_plain(char))


def printable_json(value: Any, limit: int = LIMIT) -> str:
    """A JSON value as people read it: a string as its text, all else as compact JSON."""
    if isinstance(value, str):
        return printable(value, limit)
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        text = repr(value)
    return printable(text, limit)


def markdown_cell(text: str, limit: int = 200) -> str:
    """``text`` for a cell of a Markdown table: nothing in it is markup, HTML or a link."""
    escaped = printable(text, limit).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    escaped = "".join(f"\\{char}" if char in _MARKDOWN else char for char in escaped)
    # Forges turn addresses into links by themselves.
    return _ADDRESS.sub(lambda match: match[0][:-1] + "\\" + match[0][-1], escaped)


_MARKDOWN = frozenset("\\`*_[]#+!|~$@")
_ADDRESS = re.compile(r":/|www\.", re.IGNORECASE)


def _escape(text: str, limit: int, keep: Callable[[str], bool]) -> str:
    cut = len(text) > limit
    text = text[:limit]
    if not all(map(keep, text)):
        text = "".join(char if keep(char) else _as_escape(char) for char in text)
    if cut or len(text) > limit:
        return text[: max(0, limit - 1)] + _ELLIPSIS
    return text


def _is_plain(char: str) -> bool:
    return char.isprintable() or char in _JOINERS or unicodedata.category(char) == "Zs"


def _as_escape(char: str) -> str:
    return char.encode("unicode_escape", "surrogatepass").decode("ascii")
