"""Columns of a row: its keys, or dotted paths into them."""

from typing import Any, Final


class _Missing:
    """The type of ``MISSING``."""


MISSING: Final = _Missing()
"""Not there; None is a value."""


def find(row: dict[str, Any], column: str) -> Any:
    """The value of ``column`` in ``row``, or ``MISSING``.

    A key that is spelled like the whole path comes first. A number is an index where the path
    meets a list.
    """
    if column in row:
        return row[column]
    node: Any = row
    for part in column.split("."):
        if isinstance(node, dict) and part in node:
            node = node[part]
        elif isinstance(node, list) and part.isdecimal() and int(part) < len(node):
            node = node[int(part)]
        else:
            return MISSING
    return node


def root_of(row: dict[str, Any], column: str) -> str:
    """The key of ``row`` that ``column`` is, or that it leads through."""
    return column if column in row else column.partition(".")[0]


def without_root(row: dict[str, Any], column: str) -> dict[str, Any]:
    """``row`` without the key that ``column`` is, or that it leads through."""
    root = root_of(row, column)
    return {key: value for key, value in row.items() if key != root}


def without(row: dict[str, Any], column: str) -> dict[str, Any]:
    """``row`` without ``column``; what stands beside it in the same key stays.

    Where the path leads through a list, the whole key goes.
    """
    if column in row or find(row, column) is MISSING:
        return {key: value for key, value in row.items() if key != column}
    parts = column.split(".")
    nodes = [row]
    for part in parts[:-1]:
        inner = nodes[-1][part]
        if not isinstance(inner, dict):
            return without_root(row, column)
        nodes.append(inner)
    kept: Any = None
    for node, part in zip(reversed(nodes), reversed(parts), strict=True):
        rest = {key: value for key, value in node.items() if key != part}
        kept = {**rest, part: kept} if kept else rest
    return dict(kept)
