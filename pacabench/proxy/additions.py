"""What the proxy puts into a request, and the request with it.

A member is spliced in, so that all other bytes reach the provider as the agent wrote them. Bodies
were read before (``body.py``): each is one JSON object in UTF-8, and no key stands in it twice.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from json import JSONDecoder
from json.decoder import scanstring  # type: ignore[attr-defined]
from json.scanner import make_scanner
from typing import Any, TypeAlias

import orjson

Path: TypeAlias = tuple[str, ...]
"""The names of an object's member, and of those that it lies in, the outermost first."""

_NO_MORE = re.compile(rb"[ \t\r\n]*\}")
_BLANK = " \t\r\n"
_SCAN: Callable[[str, int], tuple[Any, int]] = make_scanner(JSONDecoder())  # type: ignore[arg-type]
_READ_NAME: Callable[[str, int], tuple[str, int]] = scanstring


@dataclass(frozen=True, slots=True)
class Addition:
    """One member to be set."""

    path: Path
    value: int | bool
    is_new: bool = False
    """The request has no member of the first name: it need not be looked for."""


@dataclass(frozen=True, slots=True)
class Additions:
    """All that the proxy adds to one request. Without any of it the request is as it came."""

    usage: Addition | None = None
    """Asks for usage."""
    limits: Sequence[Addition] = ()
    """Limit the output."""
    output_limit: int | None = None
    """What they limit each answer to."""
    is_needed: bool = False
    """Without the limit the request must not go out: its model may say more than was reserved."""

    def without_limit(self) -> "Additions":
        """The same for a provider that does not take the limit."""
        return replace(self, limits=(), output_limit=None)

    def without_usage(self) -> "Additions":
        """The same for a provider that does not know how to be asked for usage."""
        return replace(self, usage=None)

    def added_to(self, body: bytes) -> bytes:
        """``body`` with all of it."""
        for addition in (*self.limits, *(() if self.usage is None else (self.usage,))):
            body = with_member(body, addition)
        return body


NOTHING_ADDED = Additions()


def with_member(body: bytes, addition: Addition) -> bytes:
    """``body`` with the member set; as it is where something else than an object is in its way."""
    path, value = addition.path, addition.value
    if addition.is_new:
        place = body.index(b"{") + 1
        more = b"" if _NO_MORE.match(body, place) else b","
        member = _below(path, value)[1:-1].encode()
        return b"".join((body[:place], member, more, body[place:]))
    text = body.decode()
    at = _past_blank(text, 0)
    for depth in range(len(path)):
        if text[at] != "{":
            return body
        found = _find(text, at, path[depth])
        if found is None:
            return _insert(text, at, path[depth:], value)
        at, end = found
        inner = path[depth + 1 :]
        if not inner or text[at:end] == "null":
            return (text[:at] + _below(inner, value) + text[end:]).encode()
    raise AssertionError("a path without names")


def _insert(text: str, start: int, path: Path, value: int | bool) -> bytes:
    """The object at ``start`` with a member more, its first."""
    place = start + 1
    comma = "" if text[_past_blank(text, place)] == "}" else ","
    member = f"{_below(path, value)[1:-1]}{comma}"
    return (text[:place] + member + text[place:]).encode()


def _below(path: Path, value: int | bool) -> str:
    """``value`` as JSON, in an object for each name of ``path``."""
    written: Any = value
    for name in reversed(path):
        written = {name: written}
    return orjson.dumps(written).decode()


def _find(text: str, start: int, name: str) -> tuple[int, int] | None:
    """Where the value of the member ``name`` of the object at ``start`` begins and ends."""
    at = _past_blank(text, start + 1)
    while text[at] != "}":
        found, at = _READ_NAME(text, at + 1)
        begin = _past_blank(text, _past_blank(text, at) + 1)
        end = _SCAN(text, begin)[1]
        if found == name:
            return begin, end
        at = _past_blank(text, end)
        if text[at] == ",":
            at = _past_blank(text, at + 1)
    return None


def _past_blank(text: str, at: int) -> int:
    while text[at] in _BLANK:
        at += 1
    return at
