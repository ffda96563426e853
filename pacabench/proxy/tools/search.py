"""Looks through a request for what the provider would do by itself.

Everything is looked at but what is known to be the agent's own data: so a place that a provider
has added since is found all the same. What is met that has two meanings is refused, because the
provider may take the other one.
"""

import re
from collections.abc import Collection, Generator, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

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
            inside = yield from _of_object(rules, value, place)
        else:
            inside = enumerate(value)
        waiting += [
            (item, (place, key), depth + 1) for key, item in inside if isinstance(item, dict | list)
        ]


def _of_object(
    rules: ToolRules, value: dict[str, Any], place: Place
) -> Generator[Finding, None, Iterable[tuple[str | int, Any]]]:
    """What an object asks for; gives what is to be looked into further."""
    names = _names(value, place)
    kind = value[names["type"]] if place is not None and "type" in names else None
    if isinstance(kind, str):
        name = folded(kind)
        if name in rules.opaque_types:
            return ()
        if (known := beginning(name, rules.types)) is not None:
            yield Finding(rules.types[known], _shown((place, "type")))
            return ()
    further: list[tuple[str | int, Any]] = []
    for name, key in names.items():
        item = value[key]
        if name in rules.opaque or item is None or item is False or item == []:
            continue
        asked = (rules.top.get(name) if place is None else None) or rules.keys.get(name)
        if asked is not None:
            yield Finding(asked, _shown((place, key)))
        elif name in rules.tools:
            yield from _of_tools(rules, item, (place, key), 0)
        elif _is_remote(rules, name, item):
            yield Finding("remote_urls", _shown((place, key)))
        else:
            further.append((key, item))
    return further


def _names(value: Mapping[str, Any], place: Place) -> dict[str, str]:
    """The keys of an object by their folded names."""
    names: dict[str, str] = {}
    for key in value:
        name = folded(key)
        if name in names:
            both = f"{_shown((place, names[name]))} and {_shown((place, key))}"
            raise Refused(_BAD_REQUEST, f"The request says the same thing twice: {both}.")
        names[name] = key
        if place is None and key != _EXACT.get(name, key):
            raise Refused(_BAD_REQUEST, f"Write the key {_EXACT[name]!r} as it stands here.")
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
        names = _names(tool, where)
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


def _is_remote(rules: ToolRules, name: str, value: Any) -> bool:
    """Whether ``value`` is a place that the provider would go to; bytes may be in a URL too."""
    texts = [text for text in (value if isinstance(value, list) else [value]) if text]
    if name.endswith(_URL_ENDS) and name not in rules.harmless_urls:
        return any(isinstance(text, str) and text[:5].lower() != "data:" for text in texts)
    return name in _DATA_KEYS and any(
        isinstance(text, str) and _SCHEME.match(text) for text in texts
    )


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
