"""JSON pointers (RFC 6901): how a part of a document is named, and what is left without it."""

from collections.abc import Sequence
from typing import Any, TypeAlias

Pointer: TypeAlias = tuple[str, ...]
"""Its parts."""

_ESCAPES = ("~0", "~1")
_MOST_DIGITS = 15


def parse_pointer(text: str) -> Pointer:
    """The pointer's parts.

    Raises:
        ValueError: it is none, or it points at the whole document.
    """
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no JSON pointer to a part of a request: it begins with `/`")
    parts = text[1:].split("/")
    for part in parts:
        rest = part.replace(_ESCAPES[0], "").replace(_ESCAPES[1], "")
        if "~" in rest:
            raise ValueError(f"{text!r} is no JSON pointer: after `~` comes 0 or 1")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in parts)


def without(value: Any, ignore: Sequence[Pointer]) -> Any:
    """``value``, changed in place, without what the pointers name; what is not there is no matter.

    All are looked up first, so that taking one element out of an array moves none that another
    pointer names.
    """
    found: dict[int, tuple[list[Any], set[int]]] = {}
    members: list[tuple[dict[str, Any], str]] = []
    for pointer in ignore:
        holder: Any = value
        for part in pointer[:-1]:
            holder = _step(holder, part)
        last = pointer[-1]
        if isinstance(holder, dict) and last in holder:
            members.append((holder, last))
        elif isinstance(holder, list) and _index(holder, last) is not None:
            found.setdefault(id(holder), (holder, set()))[1].add(int(last))
    for holder, name in members:
        holder.pop(name, None)
    for elements, places in found.values():
        for place in sorted(places, reverse=True):
            del elements[place]
    return value


def _step(holder: Any, part: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(part)
    if isinstance(holder, list) and (place := _index(holder, part)) is not None:
        return holder[place]
    return None


def _index(holder: list[Any], part: str) -> int | None:
    """RFC 6901: digits without a leading zero."""
    if not part.isascii() or not part.isdigit() or (part[0] == "0" and part != "0"):
        return None
    if len(part) > _MOST_DIGITS:
        return None
    return int(part) if int(part) < len(holder) else None
