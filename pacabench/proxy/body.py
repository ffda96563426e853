"""The JSON of a request, read once and as strictly as the strictest of its readers.

What a provider makes of a request has to be what the proxy made of it. So what readers take in
different ways goes no further: a key that stands there twice, and what is no JSON object.

It is read in one go, while no other agent is served. So there are bounds, which no agent's own
request comes near to.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from json.scanner import make_scanner
from typing import Any

from pacabench.proxy.client import Refused

MAX_OBJECTS = 50_000
MAX_BRACKETS = 250_000
MAX_COLONS = 200_000
MAX_COMMAS = 1_000_000
"""Objects, arrays, members and values of one body: each takes many times its length in memory, and
time. All but objects are counted before anything is read, those in texts as well."""
_FEW_BYTES = 256 * 1024
"""A body of so many is read whatever is in it: that takes some hundredths of a second."""
_UNCOUNTED = bytes(set(range(256)) - set(b"{[:,"))
_BAD_REQUEST, _TOO_LARGE = 400, 413
_NOT_AN_OBJECT = "The request's body has to be one JSON object in UTF-8"


@dataclass(frozen=True, slots=True)
class RequestBody:
    """A request's body as it came, and what it says."""

    raw: bytes = b""
    said: dict[str, Any] = field(default_factory=dict)


def read_body(raw: bytes) -> RequestBody:
    """The body of a request that has to have one.

    Raises:
        Refused: it is no JSON object, too large to be looked into, or it can be read in two ways.
    """
    objects = _objects_at_most(raw) if len(raw) > _FEW_BYTES else 0
    try:
        said = _read(raw.decode(), counted=objects > MAX_OBJECTS)
    except _RepeatedError as error:
        raise Refused(_BAD_REQUEST, f"The request says {str(error)[:80]!r} twice.") from error
    except (ValueError, RecursionError) as error:
        kind = "" if isinstance(error, UnicodeDecodeError) else f": {error}"
        raise Refused(_BAD_REQUEST, f"{_NOT_AN_OBJECT}{kind}.") from error
    if type(said) is not dict:
        raise Refused(_BAD_REQUEST, f"{_NOT_AN_OBJECT}.")
    return RequestBody(raw, said)


def _objects_at_most(raw: bytes) -> int:
    """How many objects there may be in ``raw``.

    Raises:
        Refused: there may be too many values of some kind.
    """
    marks = raw.translate(None, _UNCOUNTED)  # one pass over long texts in place of four
    objects = marks.count(b"{")
    if objects + marks.count(b"[") > MAX_BRACKETS:
        raise too_many("objects and arrays")
    if marks.count(b":") > MAX_COLONS or marks.count(b",") > MAX_COMMAS:
        raise too_many("values")
    return objects


def too_many(what: str) -> Refused:
    """A request that is too large to be looked into."""
    return Refused(_TOO_LARGE, f"The request's body has too many {what} in it.")


def _read(text: str, *, counted: bool) -> Any:
    if counted:
        return json.loads(text, object_pairs_hook=_Bounded().made)
    try:
        said, end = _SCAN(text, 0)
    except StopIteration:
        said, end = None, -1
    # White space around it, or an error, which the long way puts into words.
    return said if end == len(text) else _DECODER.decode(text)


class _RepeatedError(Exception):
    """A key that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RepeatedError(
            next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        )
    return made


class _Bounded:
    """Makes objects, but not too many."""

    def __init__(self) -> None:
        self._left = MAX_OBJECTS

    def made(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """One more."""
        self._left -= 1
        if self._left < 0:
            raise too_many("objects")
        return _object(pairs)


_DECODER = json.JSONDecoder(object_pairs_hook=_object)
_SCAN: Callable[[str, int], tuple[Any, int]] = make_scanner(_DECODER)  # type: ignore[arg-type]
"""What the decoder calls after several steps of its own, which short requests would notice."""
