"""How a wire format writes down what a provider does by itself. The tables are in ``tables.py``."""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeAlias

from pacabench.provider_tools import ProviderTool

Found: TypeAlias = Iterable[tuple[ProviderTool, str]]
"""Tools, and where in the request they are asked for."""
Judge: TypeAlias = Callable[[Mapping[str, Any]], Iterable[ProviderTool]]
"""What of an entry of a list of tools the provider would do; it gets the entry by folded keys."""
_LONGEST_NAME = 64
"""No key that a provider knows is longer."""
_NOT_LETTERS = str.maketrans("", "", "_-")


@dataclass(frozen=True, slots=True, eq=False)
class ToolRules:
    """What to look for in requests of one format.

    Keys and types are written as :func:`folded` gives them. A type is known by how it begins,
    because providers put dates and previews behind the name.
    """

    judge: Judge
    tools: frozenset[str] = frozenset({"tools"})
    """Keys whose value is a tool, or a list of them."""
    top: Mapping[str, ProviderTool] = field(default_factory=dict)
    """Keys of the request itself that ask for something by being there."""
    keys: Mapping[str, ProviderTool] = field(default_factory=dict)
    """The same at any depth."""
    types: Mapping[str, ProviderTool] = field(default_factory=dict)
    """Objects whose ``type`` begins so ask for something, or are what came of it."""
    opaque: frozenset[str] = frozenset()
    """Keys below which the data is the agent's own: arguments, results, schemas."""
    opaque_types: frozenset[str] = frozenset()
    """The same for objects of exactly this ``type``."""
    harmless_urls: frozenset[str] = frozenset()
    """Keys that end like a URL's and are not followed."""
    more: Callable[[Mapping[str, Any]], Found] = lambda _: ()
    """What no table can say. It gets the request by folded keys."""
    more_keys: frozenset[str] = frozenset()
    """Of the request: without one of them ``more`` has nothing to say."""


def folded(name: str) -> str:
    """``name`` as the most lenient reader compares it: no case, no ``_`` and no ``-``.

    Go's JSON takes keys in any case, Google's in camel case and with underscores.
    """
    return _folded(name) if len(name) <= _LONGEST_NAME else name


@lru_cache(maxsize=4096)
def _folded(name: str) -> str:
    return name.casefold().translate(_NOT_LETTERS)


def beginning(name: str, table: Mapping[str, Any]) -> str | None:
    """The longest key of ``table`` that ``name`` begins with, both folded."""
    found = [known for known in table if name.startswith(known)]
    return max(found, key=len, default=None)


def by_type(
    own: re.Pattern[str], hosted: Mapping[str, ProviderTool], tool: Mapping[str, Any]
) -> Iterable[ProviderTool]:
    """Judge a tool by its ``type``: one of the agent's ``own``, or else the provider's."""
    kind = tool.get("type")
    if kind is None or (isinstance(kind, str) and own.fullmatch(kind)):
        return
    known = beginning(folded(kind), hosted) if isinstance(kind, str) else None
    yield "other_tools" if known is None else hosted[known]


def by_key(
    own: frozenset[str], hosted: Mapping[str, ProviderTool], tool: Mapping[str, Any]
) -> Iterable[ProviderTool]:
    """Judge a tool by its keys: Google and AWS have one for each kind."""
    for name, value in tool.items():
        if name not in own and value is not None:
            known = beginning(name, hosted)
            yield "other_tools" if known is None else hosted[known]
