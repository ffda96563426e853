"""The JSON of a request, read once and as strictly as the strictest of its readers.

What a provider makes of a request has to be what the proxy made of it. So what readers take in
different ways goes no further: a key that stands there twice, and what is no JSON object.
"""

import json
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from pacabench.proxy.client import Refused

MAX_NESTED = 250_000
MAX_VALUES = 2_000_000
"""Objects and arrays, and values, of one body. Each takes many times its length in memory, and time
in which no other agent is served."""
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
    if raw.count(b"{") + raw.count(b"[") > MAX_NESTED or raw.count(b",") > MAX_VALUES:
        raise Refused(_TOO_LARGE, "The request's body has too many values in it.")
    try:
        said = json.loads(raw.decode(), object_pairs_hook=_object)
    except _RepeatedError as error:
        raise Refused(_BAD_REQUEST, f"The request says {str(error)[:80]!r} twice.") from error
    except (ValueError, RecursionError) as error:
        kind = "" if isinstance(error, UnicodeDecodeError) else f": {error}"
        raise Refused(_BAD_REQUEST, f"{_NOT_AN_OBJECT}{kind}.") from error
    if not isinstance(said, dict):
        raise Refused(_BAD_REQUEST, f"{_NOT_AN_OBJECT}.")
    return RequestBody(raw, said)


class _RepeatedError(Exception):
    """A key that an object has twice."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise _RepeatedError(
            next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        )
    return made
