"""When two requests are the same: their method, path, query and body, in one form of writing.

A JSON body is compared by what it says: the order of members, white space, escapes and the form of
numbers (``1``, ``1.0``, ``1e0``) do not matter. What is no JSON is compared byte for byte. What the
configuration names by JSON pointers (RFC 6901) is left out first.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from pacabench.json_pointer import Pointer, without

_OUTLINE_PARTS = 96
"""Of one request, to say what differs. What is beyond them is one part together."""
_EXACT = 2**53
"""From here on not every whole number is a float."""


def request_digest(
    method: str,
    path: str,
    query: Iterable[tuple[str, str]],
    body: bytes,
    ignore: Sequence[Pointer] = (),
) -> str:
    """Hex digits that are the same for the same request."""
    line = orjson.dumps([method, path, sorted([name, value] for name, value in query)])
    digest = hashlib.blake2b(line, digest_size=16)
    digest.update(b"\n")
    digest.update(canonical_body(body, ignore))
    return digest.hexdigest()


def canonical_body(body: bytes, ignore: Sequence[Pointer] = ()) -> bytes:
    """``body`` in the one form of writing; as it is, and marked so, where it is no JSON."""
    try:
        value = without(orjson.loads(body), ignore)
        return b"json\n" + orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS)
    except (orjson.JSONDecodeError, orjson.JSONEncodeError, RecursionError):
        return b"raw\n" + body


def outline(body: bytes, ignore: Sequence[Pointer] = ()) -> dict[str, str]:
    """Pointers to the parts of a request, each with a short hash: enough to say what differs.

    Members of the body, and the elements of those that are arrays.
    """
    try:
        value = _plain(without(orjson.loads(body), ignore))
    except (orjson.JSONDecodeError, RecursionError):
        return {"": _short(body)}
    if not isinstance(value, dict):
        return {"": _short(orjson.dumps(value))}
    parts: dict[str, str] = {}
    rest = hashlib.blake2b(digest_size=8)
    for pointer, part in _parts(value):
        written = orjson.dumps(part, option=orjson.OPT_SORT_KEYS)
        if len(parts) < _OUTLINE_PARTS:
            parts[pointer] = _short(written)
        else:
            rest.update(written)
            parts["..."] = rest.hexdigest()
    return parts


def differing(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """The pointers at which two outlines differ, in the order of the new one."""
    return [
        *(pointer for pointer in new if old.get(pointer) != new[pointer]),
        *(pointer for pointer in old if pointer not in new),
    ]


def _parts(value: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    for name in sorted(value):
        pointer = "/" + name[:80].replace("~", "~0").replace("/", "~1")
        if isinstance(value[name], list) and value[name]:
            for place, element in enumerate(value[name]):
                yield f"{pointer}/{place}", element
        else:
            yield pointer, value[name]


def _plain(value: Any) -> Any:
    """Whole numbers without a point, wherever that says the same."""
    if isinstance(value, float):
        return int(value) if value.is_integer() and abs(value) < _EXACT else value
    if isinstance(value, dict):
        return {name: _plain(member) for name, member in value.items()}
    if isinstance(value, list):
        return [_plain(element) for element in value]
    return value


def _short(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=8).hexdigest()
