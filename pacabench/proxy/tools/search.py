"""Looks through a request for what the provider would do by itself.

Everything is looked at but what is known to be the agent's own data: so a place that a provider
has added since is found all the same. What is met that has two meanings is refused, because the
provider may take the other one.
"""

import re
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, TypeAlias

from pacabench.provider_tools import ProviderTool
from pacabench.proxy.client import Refused
from pacabench.proxy.tools.rules import ToolRules, beginning, folded

MAX_DEPTH = 64
"""Of a request, its schemas and arguments aside."""
CODE = "provider_tool_denied"
_BAD_REQUEST, _FORBIDDEN = 400, 403
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
_NESTS = frozenset({dict, list})

Place: TypeAlias = "tuple[Place, str | int] | None"
"""The way to a value, from its end to the request itself."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that the provider would do."""

    tool: ProviderTool
    where: str


def refuse_ways_out(
    rules: ToolRules,
    request: Mapping[str, Any],
    path_model: str | None,
    *,
    allowed: Collection[str],
) -> None:
    """Let ``request`` pass, which is for ``path_model`` where its path says so.

    Raises:
        Refused: the provider would do what is not in ``allowed``, or the request can be read in
            two ways; says what, where in the request, and how it is allowed.
    """
    found: dict[ProviderTool, str] = {}
    for finding in ways_out(rules, request, path_model):
        if finding.tool not in allowed:
            found.setdefault(finding.tool, finding.where)
    if not found:
        return
    what = ", ".join(f"{tool} ({where})" for tool, where in found.items())
    raise Refused(
        _FORBIDDEN,
        f"The request asks the provider for more than an answer: {what}. That leads out of the "
        "sandbox and is refused. Whoever runs the benchmark can allow it with "
        f"config.proxy.allow_provider_tools: [{', '.join(found)}]",
        CODE,
    )


def ways_out(
    rules: ToolRules, request: Mapping[str, Any], path_model: str | None
) -> Iterator[Finding]:
    """All that ``request`` asks for beside an answer.

    Raises:
        Refused: it can be read in two ways, or is nested too deeply.
    """
    by_name = {folded(key): value for key, value in request.items()}
    yield from _of_models(by_name, path_model)
    yield from (Finding(tool, where) for tool, where in rules.more(by_name))
    waiting: list[tuple[Any, Place, int]] = [(request, None, 0)]
    while waiting:
        value, place, depth = waiting.pop()
        if depth > MAX_DEPTH:
            raise _too_deep()
        if isinstance(value, dict):
            keys = yield from _of_object(rules, value, place)
            inside: Iterable[tuple[str | int, Any]] = ((key, value[key]) for key in keys)
        else:
            inside = enumerate(value)
        waiting += [
            (item, (place, key), depth + 1) for key, item in inside if item and type(item) in _NESTS
        ]


def _of_object(
    rules: ToolRules, value: dict[str, Any], place: Place
) -> Generator[Finding, None, Sequence[str]]:
    """What an object asks for; gives the keys that are to be looked into further."""
    shape = _shape_of(rules, value, place)
    if shape.type_key is not None and isinstance(kind := value[shape.type_key], str):
        known = _of_type(rules, kind)
        if known is not None:
            if known != "opaque":
                yield Finding(known, _shown((place, "type")))
            return ()
    for key, sort, tool in shape.marked:
        item = value[key]
        if item is None or item is False or item == []:
            continue
        if tool is not None:
            yield Finding(tool, _shown((place, key)))
        elif sort == "tools":
            yield from _of_tools(rules, item, (place, key), 0)
        elif _is_remote(item, bytes_too=sort == "bytes"):
            yield Finding("remote_urls", _shown((place, key)))
    return shape.open


def _of_type(rules: ToolRules, kind: str) -> ProviderTool | Literal["opaque"] | None:
    return (_type if len(kind) <= _COMMON_LENGTH else _type.__wrapped__)(rules, kind)


@lru_cache(maxsize=4096)
def _type(rules: ToolRules, kind: str) -> ProviderTool | Literal["opaque"] | None:
    name = folded(kind)
    if name in rules.opaque_types:
        return "opaque"
    known = beginning(name, rules.types)
    return None if known is None else rules.types[known]


@dataclass(frozen=True, slots=True)
class _Shape:
    """What is to be done with objects that have certain keys."""

    type_key: str | None
    marked: tuple[tuple[str, Literal["asks", "tools", "url", "bytes"], ProviderTool | None], ...]
    open: tuple[str, ...]
    """Keys whose objects and lists are looked into."""


def _shape_of(rules: ToolRules, value: dict[str, Any], place: Place) -> _Shape:
    keys = tuple(value)
    find = _shape if len("".join(keys)) <= _COMMON_LENGTH else _shape.__wrapped__
    try:
        return find(rules, keys, place is None)
    except _TwiceError as error:
        both = " and ".join(_shown((place, key)) for key in error.args)
        raise Refused(_BAD_REQUEST, f"The request says the same thing twice: {both}.") from error


@lru_cache(maxsize=4096)
def _shape(rules: ToolRules, keys: tuple[str, ...], top: bool) -> _Shape:
    """Most objects of a request have the same few keys, so this is worked out once for each."""
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
    return _Shape(None if top else names.get("type"), tuple(marked), tuple(further))


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


def _of_tools(rules: ToolRules, value: Any, place: Place, depth: int) -> Iterator[Finding]:
    """The tools in a list of them. One that stands by itself is one: Google's readers take it."""
    if depth > MAX_DEPTH:
        raise _too_deep()
    listed = value if isinstance(value, list) else [value]
    for index, tool in enumerate(listed):
        where: Place = (place, index) if listed is value else place
        if not isinstance(tool, dict):
            yield Finding("other_tools", _shown(where))
            continue
        _shape_of(rules, tool, where)
        names = _names(tool)
        for found in rules.judge({name: tool[key] for name, key in names.items()}):
            yield Finding(found, _shown(where))
        for name in rules.tools & names.keys():
            yield from _of_tools(rules, tool[names[name]], (where, names[name]), depth + 1)


def _of_models(request: Mapping[str, Any], path_model: str | None) -> Iterator[Finding]:
    others = request.get("models")
    names = [path_model, request.get("model"), *(others if isinstance(others, list) else ())]
    for name in names:
        if isinstance(name, str):
            for rule, tool in _MODEL_RULES:
                if rule.fullmatch(name.strip().lower()):
                    yield Finding(tool, "model")


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
