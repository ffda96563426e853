"""One line of a journal file: JSON that carries its own checksum.

    {"crc":"1c291ca3","v":1,"durable":4096,"result":{...}}

``crc`` is the CRC-32 of all bytes after it: from ``"v"`` to the closing brace. ``durable`` is how
many bytes of the file were surely on disk when the line was made, which tells damage to what had
counted from a torn tail that never did. ``docs/journal.md`` describes the format.
"""

import zlib
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import orjson
from pydantic_core import from_json

VERSION = 1
_START = b'{"crc":"'
_BODY = len(b'{"crc":"00000000",')
_THIS_VERSION = b'"v":%d,' % VERSION
_HEAD = _START + b'%08x",' + _THIS_VERSION
_STARTS_TRIED = 8
_DEEPEST = 100
"""Levels of nesting kept where something is too deep. pydantic reads 200, orjson writes 254."""
_INT64 = range(-(2**63), 2**64)


def seal(kind: str, payload: bytes, durable: int) -> bytes:
    """The line for ``payload``, which is JSON, newline included."""
    body = b'"v":%d,"durable":%d,"%s":%s}' % (VERSION, durable, kind.encode(), payload)
    return b'{"crc":"%08x",%s\n' % (zlib.crc32(body), body)


def is_current(line: bytes) -> bool:
    """``line`` is whole and of this version: one look, on the way of every line that is read."""
    head = _HEAD % zlib.crc32(memoryview(line)[_BODY:-1])
    return line.startswith(head) and line.endswith(b"}\n")


def is_whole(line: bytes) -> bool:
    """``line``, with its newline, is exactly what :func:`seal` made."""
    head = b'{"crc":"%08x",' % zlib.crc32(memoryview(line)[_BODY:-1])
    return line.startswith(head) and line.endswith(b"}\n")


def whole_within(line: bytes) -> Iterator[bytes]:
    """A whole line at the end of ``line``, which is none: the newline between them was lost."""
    start = len(line)
    for _ in range(_STARTS_TRIED):  # an answer can hold what looks like a start
        start = line.rfind(_START, 1, start)
        if start < 0:
            return
        if is_whole(line[start:]):
            yield line[start:]
            return


def durable_of(line: bytes) -> int:
    """What a whole line says was on disk before it."""
    return int(
        line[
            line.index(b":", _BODY + len(_THIS_VERSION)) + 1 : line.index(
                b",", _BODY + len(_THIS_VERSION)
            )
        ]
    )


def version_of(line: bytes) -> int:
    """The format version of a whole line."""
    return int(line[line.index(b":", _BODY) + 1 : line.index(b",", _BODY)])


def encode(record: Any) -> bytes:
    """``record`` (a dataclass) as JSON that every reader of the journal can read again.

    Answers are untrusted. What JSON or its readers cannot hold is kept as text: lone surrogates
    as escapes, integers beyond 64 bits as hexadecimal digits, what is nested too deeply as a note.
    """
    try:
        payload = orjson.dumps(record)
        if payload.count(b"[") + payload.count(b"{") > _DEEPEST:
            from_json(b"[[%s]]" % payload, cache_strings=False)
    except (orjson.JSONEncodeError, ValueError):
        return orjson.dumps(_storable(record, 0))
    return payload


def _storable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value in _INT64 else f"0x{value:x}"
    if not isinstance(value, (dict, list, tuple)) and not is_dataclass(value):
        return value
    if depth >= _DEEPEST:
        return f"<nested more than {_DEEPEST} levels deep>"
    if isinstance(value, (list, tuple)):
        return [_storable(item, depth + 1) for item in value]
    if isinstance(value, dict):
        items = value.items()
    else:
        items = {item.name: getattr(value, item.name) for item in fields(value)}.items()
    return {_storable(str(name), 0): _storable(item, depth + 1) for name, item in items}
