"""JSON that nobody vouches for, read without raising."""

import json
import re
from collections.abc import Iterator
from typing import Any

import orjson

MAX_NAME = 256
MAX_ERROR = 500
_SPACE_OR_COMMA = re.compile(r"[\s,\[]*")
_DECODER = json.JSONDecoder(parse_constant=lambda _: None)
_BOM = b"\xef\xbb\xbf"


def json_object(data: bytes) -> dict[str, Any] | None:
    """The object in ``data``, or None where it is something else."""
    if data[:1] != b"{" and data.removeprefix(_BOM).lstrip()[:1] != b"{":
        return None
    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError:
        found = _read_leniently(data)
    return found if isinstance(found, dict) else None


def _read_leniently(data: bytes) -> Any:
    """As SDKs read it: half a character and ``-Infinity`` in a text's place spoil nothing else."""
    try:
        return _DECODER.decode(data.decode("utf-8-sig", "replace"))
    except (ValueError, RecursionError):
        return None


def json_objects(data: bytes) -> Iterator[dict[str, Any]]:
    """The objects of the array in ``data``, those before the place where it breaks off."""
    text = data.decode("utf-8", "replace").lstrip()
    if not text.startswith("["):
        return
    place = 0
    while True:
        match = _SPACE_OR_COMMA.match(text, place)
        place = match.end() if match else place
        try:
            found, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError):
            return
        if isinstance(found, dict):
            yield found


def mapping(value: Any) -> dict[str, Any]:
    """``value`` where it is an object; an empty one otherwise."""
    return value if isinstance(value, dict) else {}


def mappings(value: Any) -> list[dict[str, Any]]:
    """The objects in ``value`` where it is a list."""
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def short_name(value: Any) -> str | None:
    """A model's name, or whatever else is a short text; what no record can hold is ``?`` in it."""
    if not isinstance(value, str):
        return None
    name = value[:MAX_NAME]
    return name if name.isascii() else name.encode("utf-8", "replace").decode()


def error_text(value: Any) -> str | None:
    """The message in an error, whatever its shape; None where there is no error.

    What no record can hold is ``?`` in it.
    """
    if not value:
        return None
    message = value.get("message") if isinstance(value, dict) else value
    text = (message if isinstance(message, str) else repr(value))[:MAX_ERROR]
    return text.encode("utf-8", "replace").decode()
