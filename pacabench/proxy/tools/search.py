"""Looks through a request for what the provider would do by itself.

Everything is looked at but what is known to be the agent's own data: so a place that a provider
has added since is found all the same. What is met that has two meanings is refused, because the
provider may take the other one.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any, Literal, TypeAlias

from pacabench.provider_tools import ProviderTool
from pacabench.proxy.body import too_many
from pacabench.proxy.client import Refused
from pacabench.proxy.tools.rules import ToolRules, beginning, folded

MAX_DEPTH = 64
"""Of a request, its schemas and arguments aside."""
MAX_NESTED = 50_000
"""Objects and arrays of a request, schemas and arguments aside."""
MAX_KEYS = 10_000
"""Of one object, and models of one request."""
MAX_MODELS = 1_000
CODE = "provider_tool_denied"
_BAD_REQUEST, _FORBIDDEN, _TOO_LARGE = 400, 403, 413
_PAUSE_EVERY = 500
"""Objects, arrays and tools: so many take less than five milliseconds."""
_URL_ENDS = ("url", "uri", "urls", "uris")
_DATA_KEYS = frozenset({"data", "filedata", "image", "images", "audio", "video", "file"})
"""Keys of bytes, where some providers take a URL as well."""
_SCHEME = re.compile(r"\s*[a-z][a-z0-9+.-]{0,30}://", re.IGNORECASE)
_EXACT = {"model": "model", "stream": "stream", "streamoptions": "stream_options"}
"""Keys that decide what a call is counted as: written in another case, some read them, and others
do not."""
_MODELS: Mapping[str, ProviderTool] = {
    r".*:online": "web_search",
    r"(~?perplexity/.*|sonar(-.*)?)": "web_search",
    r".*-search-(preview|api)(-.*)?": "web_search",
    r".*deep-research.*": "web_search",
    r"(groq/)?compound(-.*)?": "web_search",
    r".*@preset/.*": "stored_state",
}
_MODEL_RULES = [(re.compile(pattern), tool) for pattern, tool in _MODELS.items()]
_MAX_PLACE = 120
_COMMON_LENGTH = 512
"""Of all keys of an object. Longer ones are not remembered: agents must not fill the memory."""
_MOST_KEPT = 4096
_NESTS = frozenset({dict, list})

Place: TypeAlias = "tuple[Place, str | int] | None"
"""The way to a value, from its end to the request itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the provider would do."""

    tool: ProviderTool
    where: str


def refuse_ways_out(found: Iterable[Finding], *, allowed: Collection[str]) -> None:
    """Let a request pass that asks for what was ``found``.

    Raises:
        Refused: something of it is not in ``allowed``; says what, where in the request, and how it
            is allowed.
    """
    denied: dict[ProviderTool, str] = {}
    for finding in found:
        if finding.tool not in allowed:
            denied.setdefault(finding.tool, finding.where)
    if not denied:
        return
    what = ", ".join(f"{tool} ({where})" for tool, where in denied.items())
    raise Refused(
        _FORBIDDEN,
        f"The request asks the provider for more than an answer: {what}. That leads out of the "
        "sandbox and is refused. Whoever runs the benchmark can allow it, below config.proxy or "
        f"for this agent alone, with allow_provider_tools: [{', '.join(denied)}]",
        CODE,
    )


def ways_out(
    rules: ToolRules, request: dict[str, Any], path_model: str | None
) -> Sequence[Finding]:
    """All that ``request`` asks for beside an answer, of ``path_model`` if its path names one.

    Raises:
        Refused: it can be read in two ways, is nested too deeply, or too large to be looked into.
    """
    found: list[Finding] = []
    for _ in searching(rules, request, path_model, found):
        pass
    return found


def searching(
    rules: ToolRules, request: dict[str, Any], path_model: str | None, found: list[Finding]
) -> Iterator[None]:
    """As ``ways_out``, into ``found``. Pauses now and then, so that others can have a turn."""
    top = _shape_of(_shapes(rules, top=True), request, None)
    found += _of_request(rules, top, request, path_model)
    shapes, kinds = _shapes(rules, top=False), _kinds(rules)
    waiting: list[tuple[Any, Place, int]] = [(request, None, 0)]
    seen = 0
    while waiting:
        seen += 1
        if seen % _PAUSE_EVERY == 0:
            _refuse_many(seen)
            yield
        value, place, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if type(value) is list:
            waiting += _nested_in(value, place, depth)
            continue
        shape = top if place is None else _shape_of(shapes, value, place)
        if shape.type_key is not None and isinstance(kind := value[shape.type_key], str):
            known = kinds[kind]
            if known is not None:
                found += () if known == "opaque" else (Finding(known, _shown((place, "type"))),)
                continue
        if shape.marked:
            yield from _look_at(rules, shape, value, place, found)
        for key in shape.open:  # as in ``_nested_in``, which would be a call for each object
            item = value[key]
            if item and type(item) in _NESTS:
                waiting.append((item, (place, key), depth + 1))


def _refuse_many(seen: int) -> None:
    if seen > MAX_NESTED:
        raise too_many("objects and arrays")


def _nested_in(listed: list[Any], place: Place, depth: int) -> list[tuple[Any, Place, int]]:
    """The objects and arrays in an array, to be looked into."""
    return [
        (item, (place, index), depth + 1)
        for index, item in enumerate(listed)
        if item and type(item) in _NESTS
    ]


def _of_request(
    rules: ToolRules, top: "_Shape", request: dict[str, Any], path_model: str | None
) -> Sequence[Finding]:
    """What a request asks for by its models, and by what no table can say."""
    found = _of_models(top, request, path_model)
    if not top.asks_more:
        return found
    by_name = {name: request[key] for name, key in top.names.items()}
    return [*found, *(Finding(tool, where) for tool, where in rules.more(by_name))]


def _look_at(
    rules: ToolRules, shape: "_Shape", value: dict[str, Any], place: Place, found: list[Finding]
) -> Iterator[None]:
    """What the marked keys of an object ask for."""
    for key, sort, tool in shape.marked:
        item = value[key]
        if item is None or item is False or item == []:
            continue
        if tool is not None:
            found.append(Finding(tool, _shown((place, key))))
        elif sort == "tools":
            yield from _look_at_tools(rules, item, (place, key), 0, found)
        elif _is_remote(item, bytes_too=sort == "bytes"):
            found.append(Finding("remote_urls", _shown((place, key))))


def _look_at_tools(
    rules: ToolRules, value: Any, place: Place, depth: int, found: list[Finding]
) -> Iterator[None]:
    """The tools in a list of them. One that stands by itself is one: Google's readers take it."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    shapes = _shapes(rules, top=False)
    listed = value if type(value) is list else [value]
    for index, tool in enumerate(listed, 1):
        if index % _PAUSE_EVERY == 0:
            yield
        where: Place = (place, index - 1) if listed is value else place
        if type(tool) is not dict:
            found.append(Finding("other_tools", _shown(where)))
            continue
        names = _shape_of(shapes, tool, where).names
        asked = rules.judge({name: tool[key] for name, key in names.items()})
        found += [Finding(one, _shown(where)) for one in asked]
        for name in rules.tools & names.keys():
            inner: Place = (where, names[name])
            yield from _look_at_tools(rules, tool[names[name]], inner, depth + 1, found)


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is to be done with objects that have certain keys."""

    names: Mapping[str, str]
    """The keys by their folded names."""
    type_key: str | None
    marked: tuple[tuple[str, Literal["asks", "tools", "url", "bytes"], ProviderTool | None], ...]
    open: tuple[str, ...]
    """Keys whose objects and lists are looked into."""
    asks_more: bool
    """A request: ``ToolRules.more`` has something to look at."""


class _Shapes(dict[tuple[str, ...], _Shape]):
    """Shapes by keys. Most objects have the same few, so each is worked out once."""

    def __init__(self, rules: ToolRules, *, top: bool) -> None:
        super().__init__()
        self._rules, self._top = rules, top

    def __missing__(self, keys: tuple[str, ...]) -> _Shape:
        shape = _shape(self._rules, keys, top=self._top)
        if sum(map(len, keys)) <= _COMMON_LENGTH:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[keys] = shape
        return shape


@cache
def _shapes(rules: ToolRules, *, top: bool) -> _Shapes:
    return _Shapes(rules, top=top)


class _Kinds(dict[str, ProviderTool | Literal["opaque"] | None]):
    """What objects of a ``type`` are: the provider's doing, the agent's data, or neither."""

    def __init__(self, rules: ToolRules) -> None:
        super().__init__()
        self._rules = rules

    def __missing__(self, kind: str) -> ProviderTool | Literal["opaque"] | None:
        name = folded(kind)
        known = beginning(name, self._rules.types)
        found: ProviderTool | Literal["opaque"] | None = None
        if name in self._rules.opaque_types:
            found = "opaque"
        elif known is not None:
            found = self._rules.types[known]
        if len(kind) <= _COMMON_LENGTH:
            if len(self) >= _MOST_KEPT:
                self.clear()
            self[kind] = found
        return found


@cache
def _kinds(rules: ToolRules) -> _Kinds:
    return _Kinds(rules)


def _shape_of(shapes: _Shapes, value: dict[str, Any], place: Place) -> _Shape:
    try:
        return shapes[tuple(value)]
    except _TwiceError as error:
        both = " and ".join(_shown((place, key)) for key in error.args)
        raise Refused(_BAD_REQUEST, f"The request says the same thing twice: {both}.") from error


def _shape(rules: ToolRules, keys: tuple[str, ...], *, top: bool) -> _Shape:
    if len(keys) > MAX_KEYS:
        raise Refused(_TOO_LARGE, f"An object in the request has more than {MAX_KEYS:,} keys.")
    names = _names(keys)
    if top and (wrong := [key for name, key in names.items() if _EXACT.get(name, key) != key]):
        raise Refused(_BAD_REQUEST, f"Write the key {_EXACT[folded(wrong[0])]!r} just so.")
    marked: list[tuple[str, Literal["asks", "tools", "url", "bytes"], ProviderTool | None]] = []
    further: list[str] = []
    for name, key in names.items():
        if name in rules.opaque:
            continue
        tool = (rules.top.get(name) if top else None) or rules.keys.get(name)
        if tool is not None:
            marked.append((key, "asks", tool))
            continue
        if name in rules.tools:
            marked.append((key, "tools", None))
            continue
        if name.endswith(_URL_ENDS) and name not in rules.harmless_urls:
            marked.append((key, "url", None))
        elif name in _DATA_KEYS:
            marked.append((key, "bytes", None))
        further.append(key)
    asks_more = top and not rules.more_keys.isdisjoint(names)
    type_key = None if top else names.get("type")
    return _Shape(names, type_key, tuple(marked), tuple(further), asks_more)


class _TwiceError(Exception):
    """Two keys of an object that some take for the same."""


def _names(keys: Iterable[str]) -> dict[str, str]:
    """The keys of an object by their folded names."""
    names: dict[str, str] = {}
    for key in keys:
        name = folded(key)
        if name in names:
            raise _TwiceError(names[name], key)
        names[name] = key
    return names


def _of_models(
    top: _Shape, request: Mapping[str, Any], path_model: str | None
) -> Sequence[Finding]:
    names = [path_model, request[top.names["model"]] if "model" in top.names else None]
    others = request[top.names["models"]] if "models" in top.names else None
    if isinstance(others, list):
        if len(others) > MAX_MODELS:
            raise Refused(_BAD_REQUEST, f"The request names more than {MAX_MODELS:,} models.")
        names += others
    return [
        Finding(tool, "model")
        for name in names
        if isinstance(name, str)
        for tool in (_of_model if len(name) <= _COMMON_LENGTH else _of_model.__wrapped__)(name)
    ]


@lru_cache(maxsize=1024)
def _of_model(name: str) -> Sequence[ProviderTool]:
    bare = name.strip().lower()
    return tuple(tool for rule, tool in _MODEL_RULES if rule.fullmatch(bare))


def _is_remote(value: Any, *, bytes_too: bool) -> bool:
    """Whether ``value`` is a place that the provider would go to: no ``data:`` URL, or no bytes."""
    texts = [text for text in (value if isinstance(value, list) else [value]) if text]
    if bytes_too:
        return any(isinstance(text, str) and _SCHEME.match(text) for text in texts)
    return any(isinstance(text, str) and text[:5].lower() != "data:" for text in texts)


def _too_deep() -> Refused:
    return Refused(_BAD_REQUEST, f"The request is nested more than {MAX_DEPTH} deep.")


def _shown(place: Place) -> str:
    """``place`` as people write it; keys are the agent's words, so they are cut and escaped."""
    parts: list[str] = []
    while place is not None:
        place, key = place
        parts.append(f"[{key}]" if isinstance(key, int) else f".{key[:40]}")
    text = "".join(reversed(parts)).lstrip(".")
    return text.encode("ascii", "backslashreplace").decode()[:_MAX_PLACE]
